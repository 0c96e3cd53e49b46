"""What our records say when somebody else has written them."""

from dataclasses import replace

import pytest

from reconciler.core.names import Commit, ModelRef, Slot
from reconciler.core.snapshot import (
    Placement,
    UnreadableRecord,
    decode_owner,
    decode_provenance,
    encode_provenance,
    signed_bytes,
)
from tests.build import OURS

NO_RECORDS = ["", "{", "[]", "null", '{"format": 2}', '{"format": 1}', '{"format": 1, "slots": []}', "[" * 5000]


@pytest.mark.parametrize("text", NO_RECORDS, ids=lambda text: text[:30] or "nothing")
def test_a_record_that_is_none_of_ours_is_no_reason_to_stop(text: str) -> None:
    assert decode_owner(text) == UnreadableRecord(text)
    assert decode_provenance(text) == {}


def test_a_record_that_names_no_receipt_is_written_and_signed_as_before_there_were_any() -> None:
    bare = Placement(Slot("Production"), OURS, None)
    naming = replace(bare, receipt="20260501T100000Z-1f3a9c0b2d")

    assert "receipt" not in encode_provenance({bare.slot: bare})
    assert b"receipt" not in signed_bytes(ModelRef("churn"), bare)
    assert b"20260501T100000Z-1f3a9c0b2d" in signed_bytes(ModelRef("churn"), naming)
    assert decode_provenance(encode_provenance({naming.slot: naming})) == {naming.slot: naming}


def test_what_thousands_of_records_say_alike_is_kept_once() -> None:
    commit = Commit("0" * 40)
    placement = Placement(
        Slot("@champion"), OURS, commit, "v2", "Ada <ada@acme.example>", "2026-05-01T10:00:00Z", "5" * 64, registry="r"
    )
    text = encode_provenance({placement.slot: placement})

    (one,), (other,) = (decode_provenance(text).values() for _ in range(2))

    assert one == other == placement
    shared = ("slot", "repository", "commit", "before", "author", "applied_at", "plan", "registry")
    assert all(getattr(one, name) is getattr(other, name) for name in shared)
