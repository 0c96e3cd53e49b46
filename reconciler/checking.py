"""Running a policy's checks on a version, and recording what they found. Through ports alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from reconciler.core.check_record import CheckResult, Ran, Recorded, check_tag, fitted, signed_bytes
from reconciler.core.names import ModelRef, Version
from reconciler.core.policy import LOADABLE, Check, Policy, matches
from reconciler.core.records import Seal
from reconciler.core.text import did_you_mean
from reconciler.errors import Location, ReconcilerError, RegistryError
from reconciler.gates.artifact import Artifact
from reconciler.gates.check import CheckGate
from reconciler.ports import Bench, Benches, Clock

Sign: TypeAlias = Callable[[bytes], Seal]


@dataclass(frozen=True, slots=True)
class Fetching:
    """The version's files are being fetched, for these checks to run."""

    model: ModelRef
    version: Version
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckStarted:
    model: ModelRef
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
    model: ModelRef,
    version: Version,
    policy: Policy,
    tree: str,
    names: Iterable[str] = (),
    *,
    sign: Sign | None = None,
    tool: str = "",
    write: bool = True,
    report: CheckReport = _say_nothing,
    secret_files: Iterable[str] = (),
) -> tuple[CheckResult, ...]:
    """
    Run the named checks, or all that the policy has or asks for, one after the other, and record each as soon as it is
    over. `tree` is the folder with the files of the policy's own commit; no check may read `secret_files`. A record
    that cannot be written is noted in its result, and the checks go on. Raises ReconcilerError where there is no such
    check, version or model, and where model code cannot be kept from credentials.
    """
    wanted = checks_to_run(policy, model, names)
    report(Fetching(model, version, wanted))
    results: list[CheckResult] = []
    with benches.bench(model, version, tree, secret_files) as bench:
        for check in wanted:
            report(CheckStarted(model, version, check))
            started_at = clock.now()
            ran = bench.run(check)
            record, notes = _record(bench, check, ran, policy, (started_at, clock.now()), tool)
            record = fitted(record)
            if sign is not None:
                record = replace(record, seal=sign(signed_bytes(model, version, record)))
            why = _written(benches, model, version, record) if write else "nothing is recorded, as requested"
            notes = (*ran.notes, *notes, *([why] if why else []))
            result = CheckResult(model, version, record, ran.sentence, not why, notes, ran.output)
            results.append(result)
            report(CheckFinished(result))
    return tuple(results)


def checks_to_run(policy: Policy, model: ModelRef, names: Iterable[str] = ()) -> tuple[Check, ...]:
    """
    The checks of these names; without names, all of the policy's, and LOADABLE where a gate before any slot of the
    model asks for it. Raises ReconcilerError where there is no such check, or none at all.
    """
    checks = {**policy.checks, LOADABLE: Check(LOADABLE, Location(policy.path))}
    asked = tuple(dict.fromkeys(names))
    if not asked:
        asked = (*policy.checks, *((LOADABLE,) if _asks_to_load(policy, model) else ()))
    unknown = sorted(set(asked) - checks.keys())
    if unknown:
        has = ", ".join(sorted(checks))
        fix = did_you_mean(unknown[0], checks, "Name one of these.")
        raise ReconcilerError(f"{policy.path} has no check {', '.join(unknown)} (it has: {has}).", fix)
    if not asked:
        fix = f"Add them under `checks` and commit, or pass `--check {LOADABLE}`."
        raise ReconcilerError(f"{policy.path} has no checks, and no gate requires one.", fix)
    for name in asked:
        try:
            check_tag(name)
        except ValueError as error:
            raise ReconcilerError(f"{checks[name].at}: {error}.", "Rename it.") from error
    return tuple(checks[name] for name in asked)


def _asks_to_load(policy: Policy, model: ModelRef) -> bool:
    """Whatever the model is tagged: a check that nobody asks for does no harm."""
    gates = (
        guard.gate
        for rule in policy.rules
        if any(matches(pattern, model) for pattern in rule.models)
        for guard in rule.guards
    )
    return any(
        gate.loadable if isinstance(gate, Artifact) else isinstance(gate, CheckGate) and gate.check == LOADABLE
        for gate in gates
    )


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


def _written(benches: Benches, model: ModelRef, version: Version, record: Recorded) -> str:
    """Why the record was not written, or nothing."""
    try:
        benches.record(model, version, record)
    except RegistryError as error:
        return f"the record was not written: {error.message}"
    return ""
