"""A signature is good for exactly the record, model and version that it was made for."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.checks.signing import HmacSigner, verify
from reconciler.core.check_record import CheckOutcome, Recorded, decode_record, encode_record, fitted, signed_bytes
from reconciler.core.names import ModelRef, Version

KEY = bytes(range(32))
TEXTS = st.text(max_size=40)
NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,10}", fullmatch=True)

RECORDS = st.builds(
    Recorded,
    check=NAMES,
    ran=TEXTS,
    digest=TEXTS,
    started_at=TEXTS,
    ended_at=TEXTS,
    outcome=st.sampled_from(CheckOutcome),
    metrics=st.dictionaries(TEXTS, st.floats(allow_nan=False), max_size=4),
    metrics_cut=st.integers(0, 9),
    log=TEXTS,
    tool=TEXTS,
    commit=TEXTS,
)
MODELS = TEXTS.map(ModelRef)
VERSIONS = st.integers(1, 12).map(Version)


def sealed(model: ModelRef, version: Version, record: Recorded) -> Recorded:
    record = fitted(record)
    return replace(record, seal=HmacSigner(KEY).sign(signed_bytes(model, version, record)))


def is_good(model: ModelRef, version: Version, record: Recorded) -> bool:
    return verify(signed_bytes(model, version, record), record.seal, "", KEY, record.ended_at)


@given(RECORDS, MODELS, VERSIONS)
def test_what_was_signed_verifies_after_it_was_stored(record: Recorded, model: ModelRef, version: Version) -> None:
    signed = sealed(model, version, record)

    read = decode_record(f"reconciler.check.{record.check}", encode_record(signed))

    assert read is not None
    assert read == signed
    assert is_good(model, version, read)


@given(RECORDS, RECORDS, MODELS, VERSIONS, st.data())
def test_no_field_can_be_changed(
    record: Recorded, other: Recorded, model: ModelRef, version: Version, data: st.DataObject
) -> None:
    signed = sealed(model, version, record)
    told: dict[str, Any] = json.loads(encode_record(signed))
    name = data.draw(st.sampled_from(sorted(told.keys() - {"format", "signature"})))
    before, after = told[name], json.loads(encode_record(fitted(other)))[name]
    assume(after != before)
    check = after if name == "check" else record.check

    read = decode_record(f"reconciler.check.{check}", json.dumps({**told, name: after}))

    assert read is not None
    assert not is_good(model, version, read)


@given(RECORDS, MODELS, VERSIONS, MODELS, VERSIONS)
def test_a_record_that_is_copied_elsewhere_is_worth_nothing(
    record: Recorded, model: ModelRef, version: Version, other: ModelRef, another: Version
) -> None:
    assume((model, version) != (other, another))

    signed = sealed(model, version, record)

    assert not is_good(other, another, signed)


@given(RECORDS, MODELS, VERSIONS, st.sampled_from(["kind", "key", "value"]), TEXTS)
def test_nor_can_the_signature(record: Recorded, model: ModelRef, version: Version, part: str, text: str) -> None:
    told: dict[str, Any] = json.loads(encode_record(sealed(model, version, record)))
    assume(told["signature"][part] != text)
    told["signature"][part] = text

    read = decode_record(f"reconciler.check.{record.check}", json.dumps(told))

    assert read is None or not is_good(model, version, read)
