"""Records of checks: what is read back, what proves nothing, and what is left out for want of room."""

import json
from dataclasses import replace

import pytest

from reconciler.core.check_record import (
    CheckOutcome,
    Recorded,
    check_tag,
    decode_record,
    decode_records,
    encode_record,
    fitted,
    signed_bytes,
)
from reconciler.core.names import ModelRef, Version
from reconciler.core.records import Seal, SealKind

RECORD = Recorded(
    check="bias",
    ran="command: python checks/bias.py",
    digest="sha256:" + "ab" * 32,
    started_at="2026-11-23T10:00:00Z",
    ended_at="2026-11-23T10:01:00Z",
    outcome=CheckOutcome.PASSED,
    metrics={"gap": 0.02, "nothing": float("inf")},
    log="runs:/abc/reconciler/checks/bias/20261123T100100Z",
    tool="0.1.0",
    commit="c0ffee",
    seal=Seal(SealKind.HMAC, "0123", "4567"),
)
KEY = "reconciler.check.bias"


def altered(**changes: object) -> str:
    return json.dumps({**json.loads(encode_record(RECORD)), **changes})


def test_a_record_comes_back_as_it_was() -> None:
    assert decode_record(KEY, encode_record(RECORD)) == RECORD


def test_a_record_without_a_signature_comes_back_as_it_was() -> None:
    unsigned = replace(RECORD, seal=None)

    assert decode_record(KEY, encode_record(unsigned)) == unsigned


@pytest.mark.parametrize(
    "text",
    [
        "",
        "passed",
        "[]",
        "null",
        "[" * 100_000,
        encode_record(RECORD)[:-1],
        altered(format=2),
        altered(format=True),
        altered(format="1"),
        altered(outcome="fine"),
        altered(outcome=None),
        altered(metrics={"gap": "0.02"}),
        altered(metrics={"gap": True}),
        altered(metrics=[]),
        altered(metrics_cut=-1),
        altered(digest=5),
        altered(signature={"kind": "rsa", "key": "", "value": ""}),
        altered(signature={"kind": "hmac", "key": "", "value": "", "more": ""}),
        altered(signature="yes"),
        altered(approved=True),
        encode_record(RECORD).replace('{"format":1', '{"format":1,"outcome":"failed"'),
        json.dumps({k: v for k, v in json.loads(encode_record(RECORD)).items() if k != "log"}),
    ],
)
def test_what_cannot_be_read_proves_nothing(text: str) -> None:
    assert decode_record(KEY, text) is None


def test_a_record_under_another_name_proves_nothing() -> None:
    assert decode_record("reconciler.check.fairness", encode_record(RECORD)) is None


def test_records_are_found_among_other_tags() -> None:
    other = replace(RECORD, check="a")
    tags = {KEY: encode_record(RECORD), check_tag("a"): encode_record(other), "x": "1", "reconciler.check.b": "?"}

    assert decode_records(tags) == (other, RECORD)


@pytest.mark.parametrize("name", ["bias", "bias-2", "a.b", "A_1", "x" * 100])
def test_names_that_a_tag_can_have(name: str) -> None:
    assert check_tag(name) == f"reconciler.check.{name}"


@pytest.mark.parametrize("name", ["", "a..b", "../x", "a/b", ".a", "a.", "é", "a b", "x" * 101, "a\n"])
def test_names_that_no_tag_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="is not a valid check name"):
        check_tag(name)


def test_what_does_not_fit_is_cut_and_counted() -> None:
    many = replace(RECORD, metrics={f"metric {n:04}": n / 7 for n in range(1000)}, ran="x" * 9000, log="y" * 9000)

    short = fitted(many)

    seal = Seal(SealKind.SSH, "SHA256:" + "x" * 43, "x" * 1700)
    assert len(encode_record(replace(short, seal=seal))) < 5000
    assert short.digest == many.digest
    assert len(short.metrics) > 20
    assert len(short.metrics) + short.metrics_cut == 1000
    assert list(short.metrics) == sorted(many.metrics)[: len(short.metrics)]
    assert fitted(short) == short


def test_what_fits_is_left_alone() -> None:
    assert fitted(RECORD) == RECORD


def test_a_record_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match=r"takes \d+ characters"):
        encode_record(replace(RECORD, ran="x" * 5000))


def test_the_signature_is_not_signed() -> None:
    model, version = ModelRef("churn"), Version(3)

    assert signed_bytes(model, version, RECORD) == signed_bytes(model, version, replace(RECORD, seal=None))


def test_gates_are_told_whether_it_passed() -> None:
    assert RECORD.as_fact(signed=True).passed
    assert RECORD.as_fact(signed=True).signed
    assert not any(replace(RECORD, outcome=o).as_fact(True).passed for o in CheckOutcome if o != "passed")
