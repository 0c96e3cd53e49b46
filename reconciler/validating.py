"""All that is checked of manifests and policy without a registry and without git."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from reconciler.core.files import USUAL_FOLDER, SourceFile
from reconciler.errors import Location, ManifestError, Problem, Validation

if TYPE_CHECKING:
    # Not at run time: most repositories have no policy, and most manifests no gates, and both take a while to import.
    from reconciler.core.desired import Manifest
    from reconciler.core.names import ModelRef
    from reconciler.core.policy import Policy, PolicySettings
    from reconciler.reading.gates import GateBuilder

POLICY_NAME = "reconciler.yaml"


def check_files(paths: Sequence[Path], build: "Callable[[], GateBuilder]", now: str) -> Validation:
    """
    What these files and folders hold, and what is wrong with them and with the policy, which is looked at in any case.
    `build` gives what gates are made with, where there are some. `now` is RFC 3339 in UTC: what has expired by then is
    a problem. Where the policy names several registries, each file is one's, by its folder.
    """
    from reconciler.core.desired import copied_between_registries
    from reconciler.reading.files import files_below
    from reconciler.reading.repository import top_above

    top = top_above(paths[0]) or Path.cwd()
    named = [path for path in paths if path.name == POLICY_NAME and path.is_file()]
    files, unreadable = files_below([path for path in paths if path not in named], top)
    policies = [*named, *([top / POLICY_NAME] if os.path.lexists(top / POLICY_NAME) else [])]
    policy, broken = _policy_in(policies, top, build)
    registries: Mapping[str, PolicySettings] = {} if policy is None else policy.settings.registries
    problems = {*unreadable, *broken}
    models = 0
    declared: dict[str, Mapping[ModelRef, Manifest]] = {}
    for registry, of_one in _by_registry(files, registries).items():
        if not registry and registries:
            problems.update(_nobodys(file.path, registries) for file in of_one)
            continue
        declared[registry], wrong = _checked(of_one, policy and policy.of(registry), build, now, registry)
        models += len(declared[registry])
        problems.update(wrong)
    for registry, of_one in declared.items():
        others = {name: theirs for name, theirs in declared.items() if name != registry}
        problems.update(copied_between_registries(registry, of_one, others) if others else ())
    return Validation(len(files), models, tuple(sorted(problems)))


def _checked(
    files: Sequence[SourceFile], policy: "Policy | None", build: "Callable[[], GateBuilder]", now: str, registry: str
) -> "tuple[Mapping[ModelRef, Manifest], set[Problem]]":
    """What these manifests of one registry declare, and what is wrong with them."""
    from reconciler.core.desired import expired, resolve
    from reconciler.core.slot_map import PLAIN
    from reconciler.reading.manifest import parse

    def make() -> "GateBuilder":
        return build() if policy is None else replace(build(), groups=policy.groups, checks=frozenset(policy.checks))

    slots = PLAIN if policy is None else policy.settings.slots
    named = None if policy is None else policy.registries
    fragments, wrong = parse(files, make, slots=slots, named=registry, registries=named)
    models, contradictory = resolve(fragments)
    doubtful: tuple[Problem, ...] = ()
    if policy is not None:
        from reconciler.gates.authority import unapprovable
        from reconciler.gates.prospects import doubts, doubts_of

        doubtful = (*doubts(policy), *doubts_of(models, policy), *unapprovable(policy, models.values()))
    return models, {*wrong, *contradictory, *expired(models.values(), now), *doubtful}


def _by_registry(
    files: Sequence[SourceFile], registries: "Mapping[str, PolicySettings]"
) -> dict[str, list[SourceFile]]:
    """The files of each registry by its name, also where there are none; those of none under an empty one."""
    found: dict[str, list[SourceFile]] = {name: [] for name in registries or ("",)}
    folders = {name: PurePosixPath(str(one.manifests)) for name, one in registries.items()}
    for file in files:
        whose = (name for name, folder in folders.items() if PurePosixPath(file.path).is_relative_to(folder))
        found.setdefault(next(whose, ""), []).append(file)
    return found


def _nobodys(path: str, registries: "Mapping[str, PolicySettings]") -> Problem:
    folders = ", ".join(f"{one.manifests} of {name}" for name, one in registries.items())
    message = f"This is in no folder of the policy's registries ({folders}), so nothing reads it."
    return Problem(Location(path), "no-registrys-folder", message, "Move it into one of them, or out of `manifests`.")


def usual_folders(environment: Mapping[str, str]) -> list[Path]:
    """
    Where the manifests are that nothing names: where the environment says, the policy, or else at the top. Of several
    registries, the folder of each that there is, and the usual one.
    """
    from reconciler.reading.repository import is_plain_file, top_above

    if named := environment.get("RECONCILER_MANIFESTS"):
        return [Path(named)]
    top = top_above(Path.cwd()) or Path.cwd()
    policy = top / POLICY_NAME
    folders = [USUAL_FOLDER]
    with suppress(ManifestError):  # what is wrong with the policy is said when it is checked
        if is_plain_file(policy):
            settings = settings_in(policy)
            named = [str(one.manifests) for one in settings.registries.values()]
            folders = [settings.manifests or USUAL_FOLDER, *named]
    there = [folder for folder in dict.fromkeys(folders) if (top / folder).is_dir()]
    return [Path(os.path.relpath(top / folder)) for folder in there or folders[:1]]


def settings_in(policy: Path) -> "PolicySettings":
    """What a policy says of places. Raises ManifestError where that cannot be read."""
    from reconciler.reading.files import beginning
    from reconciler.reading.policy import settings_of

    return settings_of(SourceFile(POLICY_NAME, beginning(policy)))


def _policy_in(
    paths: Sequence[Path], top: Path, build: "Callable[[], GateBuilder]"
) -> "tuple[Policy | None, tuple[Problem, ...]]":
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
        policy, wrong = parse_policy(file, build())
        problems.extend((*wrong, *_signers_in(file, top)))
    return policy, (*problems, *_policies_by_other_names(top))


def _signers_in(file: SourceFile, top: Path) -> Iterator[Problem]:
    """What is wrong with the file of signers that a policy names."""
    from reconciler.reading.policy import signers_named

    named = signers_named(file)
    if named is None:
        return
    from reconciler.checks.signing import signers_problems
    from reconciler.reading.files import beginning, content_problem
    from reconciler.reading.repository import on_the_way

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
