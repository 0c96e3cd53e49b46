"""What our records say when somebody else has written them."""

import pytest

from reconciler.core.snapshot import UnreadableRecord, decode_owner, decode_provenance

NO_RECORDS = ["", "{", "[]", "null", '{"format": 2}', '{"format": 1}', '{"format": 1, "slots": []}', "[" * 5000]


@pytest.mark.parametrize("text", NO_RECORDS, ids=lambda text: text[:30] or "nothing")
def test_a_record_that_is_none_of_ours_is_no_reason_to_stop(text: str) -> None:
    assert decode_owner(text) == UnreadableRecord(text)
    assert decode_provenance(text) == {}
