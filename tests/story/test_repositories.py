"""The places where people run it: subfolders, second folders, worktrees, the shallow clones of CI."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest


def test_two_folders_of_one_repository_govern_models_of_their_own(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    first, second = f"{model}-first", f"{model}-second"
    registry.register(first, second, versions=1)
    repository.write(manifest(first, production=1), "a/first.yaml")
    repository.merge(manifest(second, production=1), "b/second.yaml")

    applied = [reconciler("apply", "--yes", "--manifests", f"manifests/{folder}").code for folder in "ab"]
    planned = [reconciler("plan", "--detailed-exitcode", "--manifests", f"manifests/{folder}").code for folder in "ab"]

    assert applied == [0, 0]
    assert planned == [0, 0]
    assert [registry.production(name) for name in (first, second)] == [[1], [1]]
    assert "manifests/a" in registry.tags(first)["reconciler.owner"]
    assert "manifests/b" in registry.tags(second)["reconciler.owner"]


def test_from_a_subfolder_it_is_the_same_repository(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    below = repository.top / "docs"
    below.mkdir()

    planned = replace(reconciler, folder=below)("plan", "--detailed-exitcode", "--manifests", "../manifests")

    assert planned.code == 0


def test_a_worktree_of_another_branch_is_planned_as_it_is(
    repository: Repository, registry: Registry, reconciler: Reconciler, tmp_path: Path, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    aside = tmp_path / "aside"
    git(repository.top, "worktree", "add", "--quiet", "-b", "promote", str(aside))
    (aside / "manifests" / "models.yaml").write_text(manifest(model, production=2))
    git(aside, "commit", "--quiet", "--all", "--message", "Promote v2")

    planned = replace(reconciler, folder=aside)("plan", "--detailed-exitcode")
    untouched = reconciler("plan", "--detailed-exitcode")

    assert (planned.code, untouched.code) == (2, 0)
    assert "(Promote v2)" in planned.out


@pytest.fixture
def shallow(
    repository: Repository, command: Callable[[Repository, str], Reconciler], registry: Registry, tmp_path: Path
) -> Callable[[], Reconciler]:
    """Makes the command in a new clone of the newest commit alone, as CI systems have it unless told otherwise."""

    def clone() -> Reconciler:
        top = tmp_path / "shallow"
        git(tmp_path, "clone", "--quiet", "--depth", "1", repository.remote.as_uri(), str(top))
        git(top, "remote", "set-url", "origin", str(repository.remote))
        return command(Repository(top, repository.remote), registry.uri)

    return clone


def test_a_shallow_clone_that_cannot_tell_what_is_newer_is_told_to_fetch_more(
    repository: Repository,
    registry: Registry,
    reconciler: Reconciler,
    shallow: Callable[[], Reconciler],
    model: str,
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=1))
    assert reconciler("apply", "--yes").code == 0
    repository.merge(manifest(model, production=2))
    in_ci = shallow()

    without_rules = in_ci("apply", "--yes")
    refused = in_ci("apply", "--yes", "--policy-ref", "HEAD")
    still = registry.production(model)
    git(in_ci.folder, "fetch", "--quiet", "--unshallow")
    applied = in_ci("apply", "--yes")

    assert (without_rules.code, refused.code) == (1, 1)
    assert "fetch-depth: 0" in without_rules.err
    assert "fetch-depth: 0" in refused.err
    assert still == [1]
    assert applied.code == 0
    assert registry.production(model) == [2]


def test_a_detached_head_is_a_commit_like_any_other(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    head = repository.merge(manifest(model, production=1))
    git(repository.top, "checkout", "--quiet", head)

    applied = reconciler("apply", "--yes")

    assert applied.code == 0
    assert registry.production(model) == [1]


def test_only_the_models_that_are_named_are_touched(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    first, second = f"{model}-first", f"{model}-second"
    registry.register(first, second, versions=1)
    repository.merge(manifest(first, production=1) + manifest(second, production=1))

    applied = reconciler("apply", "--yes", "--target", second)

    assert applied.code == 0
    assert [registry.production(name) for name in (first, second)] == [[], [1]]


@pytest.mark.parametrize(
    "odd",
    [
        "it's 100% odd",
        'the "best" one',
        "Kühe & Co. 牛",
        "back\\slash",
        "back`tick",
        "{b, [r]}",
        "-dash",
        "a_b%c",
        "null",
    ],
)
def test_a_model_may_have_any_name_that_mlflow_lets_it_have(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, odd: str
) -> None:
    name = f"{odd} {model[-8:]}"
    registry.register(name, versions=2)
    repository.merge(manifest(f"'{name.replace(chr(39), chr(39) * 2)}'", production=2, champion=2))

    applied = reconciler("apply", "--yes")
    settled = reconciler("plan", "--detailed-exitcode")

    assert (applied.code, settled.code) == (0, 0)
    assert name in applied.out
    assert registry.loads(name) == [2]
    assert registry.aliases(name) == {"champion": 2}
