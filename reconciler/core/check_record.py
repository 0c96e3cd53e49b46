"""
What a check found, as the registry keeps it: the model version's tag `reconciler.check.<name>`. A record proves
something only of the model and version that it was signed for, and of the files whose digest it carries.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from reconciler.core.gate import CheckRecord
from reconciler.core.names import MAX_TAG_VALUE, OUR_TAG_PREFIX, ModelRef, Version
from reconciler.core.records import Seal, as_object, as_text, canonical, compact, read_record, read_seal, seal_document

CHECK_TAG_PREFIX = f"{OUR_TAG_PREFIX}check."
CHECK_NAME_PATTERN = r"^[A-Za-z0-9](?:[.]?[A-Za-z0-9_-]){0,99}$"
"""It becomes part of a tag's key and the name of a folder."""

MAX_SIGNATURE = 1900
"""How much room is left for a signature: the longest in use, SSH's with an RSA key of 4,096 bits, takes some 1,700."""

MAX_RAN = 300
MAX_LOG = 600


class CheckOutcome(StrEnum):
    """How a check ended. FAILED is the check's own no; ERROR means that it did not get to an answer."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    One check's record. `ran` is what was run, out of the tree of `commit`; times are RFC 3339 in UTC; `log` is where
    its output is kept. `metrics_cut` counts the metrics that there was no room for.
    """

    check: str
    ran: str
    digest: str
    started_at: str
    ended_at: str
    outcome: CheckOutcome
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    metrics_cut: int = 0
    log: str = ""
    tool: str = ""
    commit: str = ""
    seal: Seal | None = None

    def as_fact(self, signed: bool) -> CheckRecord:
        """What gates are told of it."""
        return CheckRecord(
            check=self.check,
            passed=self.outcome is CheckOutcome.PASSED,
            digest=self.digest,
            ended_at=self.ended_at,
            signed=signed,
            metrics=self.metrics,
            log=self.log,
            ran=self.ran,
        )


@dataclass(frozen=True, slots=True)
class Ran:
    """
    How it went where a check was run: `sentence` says so to a person, `files` are those to be kept, by their local
    paths, and `notes` say what else there is to know. `output` is the end of what the program printed.
    """

    outcome: CheckOutcome
    ran: str
    sentence: str
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of one check on one version. Where `written` is False, the registry does not know of it."""

    model: ModelRef
    version: Version
    record: Recorded
    sentence: str
    written: bool
    notes: tuple[str, ...] = ()
    output: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.record.outcome is CheckOutcome.PASSED


def check_tag(check: str) -> str:
    """The key of the tag that has a check's record. Raises ValueError for a name that no tag can have."""
    if not re.fullmatch(CHECK_NAME_PATTERN.strip("^$"), check):
        raise ValueError(f"`{check}` is not a valid check name: use letters, digits, `_`, `-` and single dots")
    return f"{CHECK_TAG_PREFIX}{check}"


def fitted(record: Recorded) -> Recorded:
    """
    The record, short enough for a tag with a signature on it: metrics are left out from the end of their order by name,
    and counted. To be done before it is signed.
    """
    record = replace(record, ran=_shortened(record.ran, MAX_RAN), log=_shortened(record.log, MAX_LOG))
    limit = MAX_TAG_VALUE - MAX_SIGNATURE
    names = sorted(record.metrics)
    kept, size = 0, len(_encoded(replace(record, metrics={}, metrics_cut=len(names))))
    for name in names:
        size += len(compact({name: _number(record.metrics[name])}))
        if size >= limit:
            break
        kept += 1
    cut = record.metrics_cut + len(names) - kept
    return replace(record, metrics={name: record.metrics[name] for name in names[:kept]}, metrics_cut=cut)


def encode_record(record: Recorded) -> str:
    """The value of the tag. Raises ValueError where it would not fit into PostgreSQL's."""
    text = _encoded(record)
    if len(text) >= MAX_TAG_VALUE:
        raise ValueError(f"the record of {record.check} takes {len(text)} characters, and a tag has {MAX_TAG_VALUE}")
    return text


def decode_record(key: str, text: str) -> Recorded | None:
    """
    The record in a tag, or None: what cannot be read in full, or is under another check's key, proves nothing. It is
    strict, so that nothing can be added to a record that its signature does not cover.
    """
    try:
        told = read_record(text, _without_doubles)
        if told.keys() ^ _KEYS or _count(told["format"]) != 1:
            return None
        seal = read_seal(told["signature"])
        record = Recorded(
            check=as_text(told["check"]),
            ran=as_text(told["ran"]),
            digest=as_text(told["digest"]),
            started_at=as_text(told["started_at"]),
            ended_at=as_text(told["ended_at"]),
            outcome=CheckOutcome(as_text(told["outcome"])),
            metrics={name: _as_float(value) for name, value in as_object(told["metrics"]).items()},
            metrics_cut=_count(told["metrics_cut"]),
            log=as_text(told["log"]),
            tool=as_text(told["tool"]),
            commit=as_text(told["commit"]),
            seal=seal,
        )
        return record if key == check_tag(record.check) else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def decode_records(tags: Mapping[str, str]) -> tuple[Recorded, ...]:
    """All that can be read among a version's tags, by the names of the checks."""
    found = (decode_record(key, text) for key, text in sorted(tags.items()) if key.startswith(CHECK_TAG_PREFIX))
    return tuple(record for record in found if record is not None)


def signed_bytes(model: ModelRef, version: Version, record: Recorded) -> bytes:
    """
    What a signature is made of: everything but itself, and the model and version, so that a record that is copied to
    another one does not verify.
    """
    return canonical({**_fields(record), "model": model, "version": version, "purpose": "reconciler-check"})


_KEYS = frozenset(
    ("format", "check", "ran", "digest", "started_at", "ended_at", "outcome", "metrics", "metrics_cut", "log", "tool")
) | {"commit", "signature"}


def _fields(record: Recorded) -> dict[str, object]:
    return {
        "format": 1,
        "check": record.check,
        "outcome": record.outcome.value,
        "digest": record.digest,
        "ran": record.ran,
        "commit": record.commit,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "metrics": {name: _number(value) for name, value in sorted(record.metrics.items())},
        "metrics_cut": record.metrics_cut,
        "log": record.log,
        "tool": record.tool,
    }


def _encoded(record: Recorded) -> str:
    return compact({**_fields(record), "signature": seal_document(record.seal)})


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity."""
    return float(value) if math.isfinite(value) else str(float(value))


def _as_float(value: object) -> float:
    if isinstance(value, str) and value in {"nan", "inf", "-inf"}:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("not a number")
    return float(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError("not a count")
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) != len(pairs):
        raise ValueError("a duplicate key")
    return told


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
