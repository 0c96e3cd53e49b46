"""A branch is meant first, and a name that could be two commits is refused; and whose policy judges."""

from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError
from reconciler.git.source import GitSource, open_source
from reconciler.planning import standing_commit
from tests.attacks.conftest import Said
from tests.story.repository import Repository, git, manifest

Command = Callable[..., Said]


@pytest.fixture
def line(repository: Repository) -> list[Commit]:
    """Three commits on main, oldest first, pushed."""
    return [Commit(repository.merge(manifest("churn", production=n))) for n in (1, 2, 3)]


@pytest.fixture
def source(repository: Repository, line: list[Commit]) -> GitSource:
    git(repository.top, "fetch", "--quiet", "origin")
    git(repository.top, "branch", "--quiet", "--set-upstream-to=origin/main")
    return open_source(repository.top / "manifests")


def test_a_tag_called_like_a_remote_branch_is_not_compared_with(
    repository: Repository, source: GitSource, line: list[Commit], command: Command
) -> None:
    git(repository.top, "tag", "origin/main", line[0])

    said = command("plan", "--base", "origin/main")

    assert said.code == 1
    assert "`origin/main` is ambiguous" in said.text
    assert f"refs/remotes/origin/main ({line[2][:12]})" in said.text
    assert f"refs/tags/origin/main ({line[0][:12]})" in said.text
    assert source.meant("refs/remotes/origin/main") == line[2]
    assert source.meant("refs/tags/origin/main") == line[0]


@pytest.mark.parametrize("option", ["--ref", "--base", "--policy-ref"])
@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_every_option_that_names_a_commit_refuses_what_is_ambiguous(
    repository: Repository, source: GitSource, line: list[Commit], command: Command, verb: str, option: str
) -> None:
    git(repository.top, "tag", "main", line[0])
    if (verb, option) == ("apply", "--base"):
        return

    said = command(verb, *(["--yes"] if verb == "apply" else []), option, "main")

    assert said.code == 1
    assert "`main` is ambiguous" in said.text


@pytest.mark.parametrize("arguments", ["drift --ref", "gates churn --ref", "check churn 1 --base"])
def test_so_do_the_other_commands(
    repository: Repository, source: GitSource, line: list[Commit], command: Command, arguments: str
) -> None:
    git(repository.top, "tag", "main", line[0])

    said = command(*arguments.split(), "main")

    assert said.code == 1
    assert "`main` is ambiguous" in said.text


RIVALS: dict[str, Callable[[list[Commit]], tuple[str, str]]] = {
    "a branch and a tag": lambda line: ("main", "refs/tags/main"),
    "a branch and a remote branch of a remote of that name": lambda line: ("origin", "refs/heads/origin"),
    "a local branch spelled like a remote one": lambda line: ("origin/main", "refs/heads/origin/main"),
    "a branch below refs": lambda line: ("heads/main", "refs/heads/heads/main"),
    "a branch like an abbreviation": lambda line: (line[2][:7], f"refs/heads/{line[2][:7]}"),
    "a tag like an abbreviation": lambda line: (line[2][:7], f"refs/tags/{line[2][:7]}"),
    "a branch like a whole name": lambda line: (line[2], f"refs/heads/{line[2]}"),
    "a tag like a whole name": lambda line: (line[2], f"refs/tags/{line[2]}"),
    "steps from one": lambda line: ("main~1", "refs/tags/main"),
}


@pytest.mark.parametrize("name", RIVALS)
def test_where_two_disagree_it_is_refused_and_where_they_agree_it_is_not(
    repository: Repository, source: GitSource, line: list[Commit], name: str
) -> None:
    git(repository.top, "remote", "set-head", "origin", "main")
    text, rival = RIVALS[name](line)
    expected = source.meant(text)
    git(repository.top, "update-ref", rival, line[2])
    assert source.meant(text) == expected

    git(repository.top, "update-ref", rival, line[0])

    with pytest.raises(ReconcilerError, match="is ambiguous"):
        source.meant(text)
    assert source.meant(rival) == line[0]


def test_what_was_found_out_before_is_asked_for_by_its_full_name_whatever_is_called_that(
    repository: Repository, source: GitSource, line: list[Commit]
) -> None:
    """Or a tag that somebody pushes would stop every command."""
    for rival in (f"refs/tags/{line[2]}", f"refs/heads/{line[2]}", "refs/heads/HEAD", "refs/tags/HEAD"):
        git(repository.top, "update-ref", rival, line[0])

    assert source.read(line[2]).revision.commit == line[2]
    assert source.read("HEAD").revision.commit == line[2]
    assert source.meant("HEAD~1") == line[1]


def test_expressions_go_on_working(repository: Repository, source: GitSource, line: list[Commit]) -> None:
    git(repository.top, "tag", "--annotate", "--message", "x", "v1", line[0])
    git(repository.top, "checkout", "--quiet", "-b", "side")
    git(repository.top, "checkout", "--quiet", "main")
    described = git(repository.top, "describe", "--long", line[2])
    expected = {
        "HEAD": 2,
        "@": 2,
        "HEAD~1": 1,
        "@~2": 0,
        "HEAD^": 1,
        "main^": 1,
        "main~2": 0,
        "main^{commit}": 2,
        "main@{u}": 2,
        "@{u}~1": 1,
        "@{upstream}": 2,
        "@{-1}": 2,
        "main@{0}": 2,
        "origin/main": 2,
        "remotes/origin/main~1": 1,
        "v1": 0,
        "tags/v1": 0,
        "refs/tags/v1^0": 0,
        line[1][:10]: 1,
        line[1].upper(): 1,
        f"{line[1]}^": 0,
        described: 2,
        "HEAD^{/Say}": 2,
    }

    assert {text: source.meant(text) for text in expected} == {text: line[at] for text, at in expected.items()}


NO_COMMITS = (
    *("", "~1", "^main", "main..HEAD", "HEAD^@", "HEAD^!", "HEAD^{tree}", "HEAD:README.md", ":README.md"),
    *("-", "--all", "-n1", "*", "m*", "main\n--all", "main\0", "@{yesterday}"),
    *("refs/heads", "../heads/main", "config", "m" * 5000),
)


@pytest.mark.parametrize("text", NO_COMMITS, ids=lambda text: repr(text)[:20])
def test_what_names_no_single_commit_is_an_error(source: GitSource, text: str) -> None:
    with pytest.raises(ReconcilerError, match="has no commit"):
        source.meant(text)


def test_a_branch_called_like_an_option_is_a_branch(
    repository: Repository, source: GitSource, line: list[Commit]
) -> None:
    git(repository.top, "update-ref", "refs/heads/--upload-pack=x", line[1])

    assert source.meant("--upload-pack=x") == line[1]


def test_many_refs_slow_nothing_down(repository: Repository, source: GitSource, line: list[Commit]) -> None:
    packed = "".join(f"{line[0]} refs/tags/{n:05}/main\n" for n in range(50_000))
    (repository.top / ".git/packed-refs").write_text(f"# pack-refs with: sorted \n{packed}")

    assert source.meant("origin/main") == line[2]


# `contains` of a policy names a branch.


def test_a_branch_of_a_policy_is_no_tag_and_no_branch_pushed_to_look_like_it(
    repository: Repository, source: GitSource, line: list[Commit]
) -> None:
    git(repository.top, "checkout", "--quiet", "-b", "evil", line[0])
    git(repository.top, "commit", "--quiet", "--allow-empty", "--message", "evil")
    evil = git(repository.top, "rev-parse", "HEAD")
    git(repository.top, "tag", "main", evil)
    git(repository.top, "tag", "release", evil)
    git(repository.top, "update-ref", "refs/remotes/origin/origin/main", evil)

    assert source.contains_commit(evil, "main") is False
    assert source.contains_commit(evil, "release") is None
    assert source.contains_commit(evil, "origin/main") is None


# Whose policy judges.


def stands(source: GitSource, **options: str) -> str | None:
    return standing_commit(source, base=options.get("base"), ref=options.get("ref"))


def anew(source: GitSource) -> GitSource:
    """As the next command opens it: one command reads the work tree once."""
    return open_source(source.top / source.folder)


def test_what_is_in_no_commit_is_judged_by_the_policy_of_head(
    repository: Repository, source: GitSource, line: list[Commit]
) -> None:
    clean = stands(source)
    repository.write(manifest("churn", production=9))
    dirty = stands(anew(source))
    git(repository.top, "checkout", "--quiet", "--", ".")
    (repository.top / "reconciler.yaml").write_text("limits: {max-change-models: 1}\n")
    loosened = stands(anew(source))

    assert clean == stands(anew(source), ref="HEAD") == line[1]
    assert (dirty, loosened) == (line[2], line[2])
    assert stands(source, ref=line[1]) == line[0]
    assert stands(source, base=line[0]) == line[0]


def test_a_difference_that_git_is_told_to_overlook_changes_whose_policy_judges(
    repository: Repository, source: GitSource, line: list[Commit]
) -> None:
    git(repository.top, "update-index", "--assume-unchanged", "manifests/models.yaml")
    repository.write(manifest("churn", production=9))

    assert stands(source) == line[2]


def test_a_repository_without_commits_has_no_policy_that_stands(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "new")

    assert stands(open_source(tmp_path / "new/manifests", "new")) is None
