"""Running a policy's checks on a version, and recording what they found. Through ports alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from reconciler.core.check_record import CheckResult, Ran, Recorded, check_tag, fitted, signed_bytes
from reconciler.core.names import ModelName, Version
from reconciler.core.policy import Check, Policy
from reconciler.core.records import Seal
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.ports import Bench, Benches, Clock

Sign: TypeAlias = Callable[[bytes], Seal]


@dataclass(frozen=True, slots=True)
class Fetching:
    """The version's files are being fetched."""

    model: ModelName
    version: Version


@dataclass(frozen=True, slots=True)
class CheckStarted:
    model: ModelName
    version: Version
    check: Check


@dataclass(frozen=True, slots=True)
class CheckFinished:
    result: CheckResult


CheckEvent: TypeAlias = Fetching | CheckStarted | CheckFinished
CheckReport: TypeAlias = Callable[[CheckEvent], None]


def _say_nothing(_: CheckEvent) -> None:
    pass


def check_version(
    benches: Benches,
    clock: Clock,
    model: ModelName,
    version: Version,
    policy: Policy,
    tree: str,
    names: Iterable[str] = (),
    *,
    sign: Sign | None = None,
    tool: str = "",
    write: bool = True,
    report: CheckReport = _say_nothing,
) -> tuple[CheckResult, ...]:
    """
    Run the named checks of the policy, or all, one after the other, and record each as soon as it is over. `tree` is
    the folder with the files of the policy's own commit. A record that cannot be written is noted in its result, and
    the checks go on. Raises ReconcilerError where there is no such check, version or model.
    """
    wanted = _wanted(policy, names)
    report(Fetching(model, version))
    results: list[CheckResult] = []
    with benches.bench(model, version, tree) as bench:
        for check in wanted:
            report(CheckStarted(model, version, check))
            started_at = clock.now()
            ran = bench.run(check)
            record, notes = _record(bench, check, ran, policy, (started_at, clock.now()), tool)
            record = fitted(record)
            if sign is not None:
                record = replace(record, seal=sign(signed_bytes(model, version, record)))
            why = _written(benches, model, version, record) if write else "nothing is recorded, as was asked for"
            notes = (*ran.notes, *notes, *([why] if why else []))
            result = CheckResult(model, version, record, ran.sentence, not why, notes)
            results.append(result)
            report(CheckFinished(result))
    return tuple(results)


def _wanted(policy: Policy, names: Iterable[str]) -> tuple[Check, ...]:
    asked = tuple(dict.fromkeys(names)) or tuple(policy.checks)
    unknown = sorted(set(asked) - policy.checks.keys())
    has = ", ".join(sorted(policy.checks)) or "none"
    if unknown:
        raise ReconcilerError(f"{policy.path} has no check {', '.join(unknown)} (it has: {has}).", "Name one of these.")
    if not asked:
        raise ReconcilerError(f"{policy.path} has no checks.", "Add them under `checks`, or commit them first.")
    for name in asked:
        try:
            check_tag(name)
        except ValueError as error:
            raise ReconcilerError(f"{policy.checks[name].at}: {error}.", "Rename it.") from error
    return tuple(policy.checks[name] for name in asked)


def _record(
    bench: Bench, check: Check, ran: Ran, policy: Policy, times: tuple[str, str], tool: str
) -> tuple[Recorded, tuple[str, ...]]:
    started_at, ended_at = times
    log, notes = bench.keep(check.name, ran, ended_at)
    record = Recorded(
        check=check.name,
        ran=ran.ran,
        digest=bench.digest,
        started_at=started_at,
        ended_at=ended_at,
        outcome=ran.outcome,
        metrics=ran.metrics,
        log=log,
        tool=tool,
        commit=policy.commit or "",
    )
    return record, notes


def _written(benches: Benches, model: ModelName, version: Version, record: Recorded) -> str:
    """Why the record was not written, or nothing."""
    try:
        benches.record(model, version, record)
    except RegistryError as error:
        return f"the record was not written: {error.message}"
    return ""
