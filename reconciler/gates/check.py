"""Which checks must have been run on a version, and what they must have found."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from reconciler.core.figures import between, duration, moment
from reconciler.core.gate import (
    CHECKS,
    NOW,
    CheckRecord,
    Entrance,
    FactKey,
    Facts,
    Gate,
    Judgement,
    failed,
    passed,
    unknown,
)
from reconciler.core.names import Original, name_there, registry_of
from reconciler.core.policy import LOADABLE
from reconciler.core.text import did_you_mean, plain
from reconciler.errors import Fault
from reconciler.gates.parameters import GateCode, GateKind, Key, Name, Seconds, Surroundings


@dataclass(frozen=True, slots=True)
class CheckGate:
    """
    The newest record of a check on exactly these files says that it passed; it is at most `max_age` seconds old and, if
    `signed`, by a key that we trust.
    """

    check: Annotated[Name, Key("The name of a check of the policy.", examples=("bias",), name="name")]
    max_age: Annotated[Seconds | None, Key("The maximum age of the record.", examples=("14d",))] = None
    signed: Annotated[bool, Key("Require a record that is signed by a trusted key.", examples=(True,))] = False

    def faults(self, around: Surroundings) -> Iterator[Fault]:
        if around.checks is not None and self.check not in (checks := {*around.checks, LOADABLE}):
            yield Fault(
                GateCode.UNKNOWN_CHECK,
                f" is `{plain(self.check, 80)}`, which is not a check of the policy; checks: "
                f"{', '.join(sorted(checks))}.",
                did_you_mean(self.check, checks, "Name one of these, or add it below `checks`."),
                ("name",),
            )

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (CHECKS, NOW)

    def on_rollback(self) -> Gate | None:
        """That it passed, however long ago."""
        return replace(self, max_age=None)

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        checks, now = facts[CHECKS], facts[NOW]
        name, version = f"the check {plain(self.check, 80)}", f"v{entrance.candidate}"
        of_name = [record for record in checks.records if record.check == self.check]
        on_these = [record for record in of_name if record.digest == checks.digest]
        if (original := checks.original) is not None:
            version = f"{original}, the original of v{entrance.candidate}"
        run_it = f"to run it: `{self._command(entrance, checks.original)}`"
        if not of_name and checks.lost is not None:
            lost = f"{checks.lost}, its original, is not there anymore, with what was run on it"
            return failed(f"{name} has never been run on {version} itself, and {lost}; {run_it}", gone=True)
        if not of_name:
            return failed(f"{name} has never been run on {version}; {run_it}")
        if not checks.digest:
            return unknown(f"it is not known whether {name} ran on {version}: the digest of its files is not known")
        if not on_these:
            return failed(f"{name} ran on different files than {version} has now; {run_it}")
        timeless = [record for record in on_these if between(record.ended_at, now) is None]
        if timeless:
            return unknown(
                f"it is not known when {name} ran on {version}: {plain(timeless[0].ended_at, 40)} is not a time"
            )
        # Of two that ended in the same moment, the one that failed; of those, the one that nobody signed.
        record = min(on_these, key=lambda r: (between(r.ended_at, now) or 0.0, r.passed, r.signed))
        if record.original is not None:
            version = f"{record.original}, the original of v{entrance.candidate}"
        return self._of(record, between(record.ended_at, now) or 0.0, name, version, run_it)

    def _command(self, entrance: Entrance, original: Original | None) -> str:
        """What makes the record that this gate asks for, wherever model code may run and the key is at hand."""
        sign = " --sign ssh --signing-key KEY" if self.signed or original else ""
        model, version = (original.model, original.version) if original else (entrance.model, entrance.candidate)
        registry = f" --registry {registry_of(model)}" if registry_of(model) else ""
        return f"reconciler check{registry} {shlex.quote(name_there(model))} {version} --check {self.check}{sign}"

    def _of(self, record: CheckRecord, age: float, name: str, version: str, run_it: str) -> Judgement:
        if age < 0:
            return failed(
                f"{name} on {version} ended at {moment(record.ended_at)}, which is in the future: a clock is wrong"
            )
        told = f"{duration(age)} ago"
        if not record.passed:
            return failed(f"{name} failed on {version}, {told}")
        if self.signed and not record.signed:
            unsigned = "but the record is not signed by a key that may sign check records"
            return failed(f"{name} passed on {version}, {told}, {unsigned}; {run_it}")
        if self.max_age is not None and not age <= self.max_age:
            over = f", {duration(age - self.max_age)} over" if duration(age) == duration(self.max_age) else ""
            return failed(
                f"{name} passed on {version}, but {told}; at most {duration(self.max_age)} allowed{over}; {run_it}"
            )
        return passed(f"{name} passed on {version}, {told}{', signed' if record.signed else ''}")


CHECK = GateKind(
    "check",
    CheckGate,
    asks="have passed this check with exactly its present files, recently enough, with a trusted signature",
    example={"name": "bias", "max-age": "14d", "signed": True},
)
