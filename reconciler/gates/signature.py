"""Whether today's callers can go on calling."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from reconciler.core.gate import (
    CANDIDATE,
    INCUMBENT,
    Entrance,
    FactKey,
    Facts,
    Gate,
    Judgement,
    Nobody,
    failed,
    passed,
    unknown,
)
from reconciler.core.signature import Compatibility, SignatureVerdict, judge_signature
from reconciler.core.text import plain
from reconciler.gates.parameters import GateKind, Key

_MOST = 3


@dataclass(frozen=True, slots=True)
class SignatureGate:
    """
    The candidate's signature stands to the incumbent's as one of these. With no incumbent it is enough to have one, and
    so it is where nothing `compares`. What cannot be compared is let in only where UNKNOWN is listed.
    """

    allow: Annotated[
        frozenset[Compatibility],
        Key("Which kinds of signature may enter.", examples=(["identical", "compatible"], "identical")),
    ] = frozenset({Compatibility.IDENTICAL, Compatibility.COMPATIBLE})
    compares: bool = True

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (CANDIDATE, INCUMBENT) if self.compares else (CANDIDATE,)

    def on_rollback(self) -> Gate | None:
        """
        That it has one. Callers were served by it before, and a comparison would close the way back after every change
        that only adds.
        """
        return replace(self, compares=False)

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        candidate, incumbent = facts[CANDIDATE], facts[INCUMBENT] if self.compares else Nobody()
        unseen = [f for f in (candidate, incumbent) if not isinstance(f, Nobody) and f.why_missing("version")]
        for version in unseen:
            why = plain(version.why_missing("version"))
            return unknown(f"the signature of v{version.version} is not known: {why}")
        if isinstance(incumbent, Nobody):
            if candidate.signature is not None:
                alone = ", and there is no incumbent to compare it with" if self.compares else ""
                return passed(f"v{candidate.version} has a signature{alone}")
            why = _because(candidate.why_missing("signature"))
            return self._unknown(f"v{candidate.version} has no signature{why}", LOG_ONE)
        verdict = judge_signature(candidate.signature, incumbent.signature)
        if verdict.compatibility is Compatibility.UNKNOWN:
            reasons = [f.why_missing("signature") for f in (candidate, incumbent) if f.signature is None]
            because = _because(next(filter(None, reasons), ""))
            remedy = LOG_ONE if candidate.signature is None else ""
            return self._unknown(f"the signatures cannot be compared: {verdict.why}{because}", remedy)
        kind = verdict.compatibility.value
        told = f"the signature is {kind} for callers of v{incumbent.version}{_differences(verdict)}"
        if verdict.compatibility is Compatibility.IDENTICAL:
            told = f"the signature is the same as that of v{incumbent.version}"
        return passed(told) if verdict.compatibility in self.allow else failed(told)

    def _unknown(self, sentence: str, remedy: str) -> Judgement:
        if Compatibility.UNKNOWN in self.allow:
            return passed(f"{sentence}; the policy allows that")
        return unknown(f"{sentence}; {remedy}" if remedy else sentence)


LOG_ONE = "its author can log the model with `signature` or `input_example` and register it again"


def _because(why: str) -> str:
    return f" ({plain(why)})" if why else ""


def _differences(verdict: SignatureVerdict) -> str:
    breaking = verdict.compatibility is Compatibility.BREAKING
    found = [d for d in verdict.differences if d.breaking == breaking]
    told = [f"{d.where} {plain(d.name, 80)} ({plain(d.why, 120)})" for d in found[:_MOST]]
    more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return f": {', '.join(told + more)}" if told else ""


SIGNATURE = GateKind(
    "signature",
    SignatureGate,
    asks="have a signature that, compared with the incumbent's, is one of "
    "`identical`, `compatible`, `breaking`, `unknown`",
    example={"allow": ["identical", "compatible"]},
)
