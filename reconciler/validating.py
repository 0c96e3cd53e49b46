"""All that is checked of manifests and policy without a registry and without git."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from reconciler.errors import Location, ManifestError, Problem, Validation
from reconciler.ports import SourceFile

if TYPE_CHECKING:
    from reconciler.core.policy import Policy
    from reconciler.reading.gates import GateBuilder

POLICY_NAME = "reconciler.yaml"


def check_files(paths: Sequence[Path], build: "GateBuilder", now: str) -> Validation:
    """
    What these files and folders hold, and what is wrong with them and with the policy, which is looked at in any case.
    `now` is RFC 3339 in UTC: what has expired by then is a problem.
    """
    from reconciler.core.desired import expired, resolve
    from reconciler.core.slot_map import PLAIN
    from reconciler.gates.authority import unapprovable
    from reconciler.reading.files import files_below
    from reconciler.reading.manifest import parse
    from reconciler.reading.repository import top_above

    top = top_above(paths[0]) or Path.cwd()
    named = [path for path in paths if path.name == POLICY_NAME and path.is_file()]
    files, unreadable = files_below([path for path in paths if path not in named], top)
    policies = [*named, *([top / POLICY_NAME] if os.path.lexists(top / POLICY_NAME) else [])]
    policy, broken = _policy_in(policies, top, build)
    if policy is not None:
        build = replace(build, groups=policy.groups, checks=frozenset(policy.checks))
    fragments, wrong = parse(files, build, slots=PLAIN if policy is None else policy.settings.slots)
    models, contradictory = resolve(fragments)
    over = expired(models.values(), now)
    doubtful: tuple[Problem, ...] = ()
    if policy is not None:
        from reconciler.gates.prospects import doubts, doubts_of

        doubtful = (*doubts(policy), *doubts_of(models, policy), *unapprovable(policy, models.values()))
    problems = {*unreadable, *wrong, *contradictory, *over, *broken, *doubtful}
    return Validation(len(files), len(models), tuple(sorted(problems)))


def usual_folder(environment: Mapping[str, str]) -> Path:
    """Where the manifests are that nothing names: where the environment says, the policy, or else at the top."""
    from reconciler.reading.files import beginning
    from reconciler.reading.policy import USUAL_FOLDER, settings_of
    from reconciler.reading.repository import is_plain_file, top_above

    if named := environment.get("RECONCILER_MANIFESTS"):
        return Path(named)
    top = top_above(Path.cwd()) or Path.cwd()
    policy = top / POLICY_NAME
    told: str | None = None
    with suppress(ManifestError):  # what is wrong with the policy is said when it is checked
        told = settings_of(SourceFile(POLICY_NAME, beginning(policy))).manifests if is_plain_file(policy) else None
    return Path(os.path.relpath(top / (told or USUAL_FOLDER)))


def _policy_in(paths: Sequence[Path], top: Path, build: "GateBuilder") -> "tuple[Policy | None, tuple[Problem, ...]]":
    """The last of some policies, and what is wrong with all of them."""
    policy: Policy | None = None
    problems: list[Problem] = []
    for path in paths:
        from reconciler.reading.files import beginning, content_problem, no_plain_file
        from reconciler.reading.policy import parse_policy

        shown = os.path.relpath(path, top) if path.is_absolute() else str(path)
        if path.is_symlink() or not path.is_file():
            problems.append(no_plain_file(shown))
            continue
        file = SourceFile(shown, beginning(path))
        if amiss := content_problem(shown, file.data):
            problems.append(amiss)
            continue
        policy, wrong = parse_policy(file, build)
        problems.extend((*wrong, *_signers_in(file, top)))
    return policy, (*problems, *_policies_by_other_names(top))


def _signers_in(file: SourceFile, top: Path) -> Iterator[Problem]:
    """What is wrong with the file of signers that a policy names."""
    from reconciler.checks.signing import signers_problems
    from reconciler.reading.files import beginning, content_problem
    from reconciler.reading.policy import signers_named
    from reconciler.reading.repository import on_the_way

    named = signers_named(file)
    if named is None:
        return
    path = top / named.value
    if on_the_way(top, PurePosixPath(named.value).parent) or path.is_symlink() or not path.is_file():
        message = f"`signers` is `{named.value}`, which does not exist: no signature would count."
        yield Problem(
            named.at, "no-signers", message, "Correct the path, relative to the top of the repository, or add the file."
        )
        return
    signers = SourceFile(named.value, beginning(path))
    amiss = content_problem(named.value, signers.data)
    yield from signers_problems(signers) if amiss is None else [amiss]


def _policies_by_other_names(top: Path) -> Iterator[Problem]:
    """Files that look like a policy, and are read by nothing: whoever wrote them believes that something is guarded."""
    meant = {POLICY_NAME, POLICY_NAME.removesuffix("yaml") + "yml"}
    for name in sorted(os.listdir(top)):  # noqa: PTH208  # the names alone
        if name.casefold() in meant and name != POLICY_NAME:
            message = f"This looks like a policy but is not read: the policy is {POLICY_NAME}."
            yield Problem(Location(name), "odd-policy-name", message, "Rename it.")
