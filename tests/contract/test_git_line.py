"""The first-parent line of a real repository, and how git is run to read it."""

from pathlib import Path, PurePosixPath

import pytest

from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError
from reconciler.git.line import StepChanges, changes_along, first_parents, line_and_changes, trunk
from reconciler.git.objects import blobs
from reconciler.git.runner import Git
from tests.story.repository import git as run_git


@pytest.fixture
def top(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    run_git(path, "init", "--quiet", "--initial-branch=main")
    return path


def opened(top: Path) -> Git:
    return Git(top / ".git", top)


def commit(top: Path, subject: str, **files: str | None) -> Commit:
    """Commit these files, by names without their suffix; None deletes one."""
    for name, text in files.items():
        path = top / "manifests" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.unlink() if text is None else path.write_text(text)
    run_git(top, "add", "--all")
    run_git(top, "commit", "--quiet", "--allow-empty", "--message", subject)
    return Commit(run_git(top, "rev-parse", "HEAD"))


def merge(top: Path, branch: str) -> Commit:
    run_git(top, "merge", "--quiet", "--no-ff", "--no-edit", branch)
    return Commit(run_git(top, "rev-parse", "HEAD"))


def changed(top: Path, tip: Commit, *paths: str) -> tuple[StepChanges, ...]:
    """What a line changed, which one walk tells as well as two."""
    below = [PurePosixPath(path) for path in paths]
    line = trunk(opened(top), tip)
    changes = changes_along(opened(top), [step.commit for step in line], *below)
    assert line_and_changes(opened(top), tip, *below) == (line, changes)
    return changes


def told(top: Path, tip: Commit, *paths: str) -> list[tuple[Commit, list[tuple[str, bytes | None, bytes | None]]]]:
    """Each step that changes something, with the contents before and after."""
    steps = changed(top, tip, *paths)
    ids = {one for step in steps for change in step.changes for one in (change.before, change.after) if one}
    content = {None: None, **blobs(opened(top), ids)}
    return [(s.commit, [(c.path, content[c.before], content[c.after]) for c in s.changes]) for s in steps]


def test_a_line_is_read_newest_first_with_parents_and_times(top: Path) -> None:
    first = commit(top, "first", a="1")
    run_git(top, "checkout", "--quiet", "-b", "side")
    side = commit(top, "side", b="1")
    run_git(top, "checkout", "--quiet", "main")
    second = commit(top, "second")
    merged = merge(top, "side")

    steps = first_parents(opened(top), merged)

    assert [(s.commit, s.parents) for s in steps] == [(merged, (second, side)), (second, (first,)), (first, ())]
    assert steps[0].committed == int(run_git(top, "log", "-1", "--format=%ct", merged))


def test_a_merge_is_what_it_changed_of_its_first_parent(top: Path) -> None:
    first = commit(top, "first", a="1\n")
    run_git(top, "checkout", "--quiet", "-b", "side")
    commit(top, "side", b="1\n")
    commit(top, "side again", b="2\n")
    run_git(top, "checkout", "--quiet", "main")
    commit(top, "nothing")
    merged = merge(top, "side")
    last = commit(top, "last", a=None)

    assert told(top, last, "manifests") == [
        (last, [("manifests/a.yaml", b"1\n", None)]),
        (merged, [("manifests/b.yaml", None, b"2\n")]),
        (first, [("manifests/a.yaml", None, b"1\n")]),
    ]


def test_paths_are_taken_by_the_letter_and_a_renamed_file_is_two(top: Path) -> None:
    commit(top, "first", a="same\n")
    (top / "man*").mkdir()
    (top / "man*" / "x.yaml").write_text("x\n")
    odd = commit(top, "odd")
    moved = commit(top, "moved", a=None, b="same\n")

    assert [at for at, _ in told(top, moved, "man*")] == [odd]
    assert told(top, moved, "manifests/a.yaml", "manifests/b.yaml")[0] == (
        moved,
        [("manifests/a.yaml", b"same\n", None), ("manifests/b.yaml", None, b"same\n")],
    )
    assert [at for at, _ in told(top, moved, ".")] == [at for at, _ in told(top, moved)]


def test_names_may_hold_whatever_a_file_name_can(top: Path) -> None:
    made = commit(top, "odd", **{"\1a\nb ü": "1\n", ":100644": "2\n"})

    ((_, changes),) = told(top, made, "manifests")

    assert {path for path, _, _ in changes} == {"manifests/\1a\nb ü.yaml", "manifests/:100644.yaml"}


def test_links_and_submodules_are_said_to_be_no_plain_files(top: Path) -> None:
    base = commit(top, "first", a="1\n")
    (top / "manifests/b.yaml").symlink_to("a.yaml")
    run_git(top, "update-index", "--add", "--cacheinfo", f"160000,{base},manifests/sub")
    (top / ".gitmodules").write_text('[submodule "sub"]\npath = manifests/sub\nurl = x\nignore = all\n')
    run_git(top, "add", ".gitmodules", "manifests/b.yaml")
    run_git(top, "commit", "--quiet", "--message", "links")
    tip = Commit(run_git(top, "rev-parse", "HEAD"))

    newest, _ = changed(top, tip, "manifests")

    assert [(c.path, c.plain) for c in newest.changes] == [("manifests/b.yaml", False), ("manifests/sub", False)]


def test_no_setting_of_the_user_changes_what_is_read(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(top, "first", a="1\n")
    run_git(top, "checkout", "--quiet", "-b", "side")
    commit(top, "second", a="2\n")
    run_git(top, "checkout", "--quiet", "main")
    commit(top, "aside")
    merge(top, "side")
    tip = commit(top, "moved", a=None, b="2\n")
    expected = {path: told(top, tip, path) for path in ("manifests", "manifests/b.yaml")}
    for name, value in {
        "log.showRoot": "false",
        "diff.relative": "true",
        "diff.external": "false",
        "diff.renames": "copies",
        "diff.ignoreSubmodules": "all",
        "log.follow": "true",
        "log.diffMerges": "off",
        "format.pretty": "oneline",
        "color.ui": "always",
        "log.decorate": "full",
        "core.quotePath": "true",
    }.items():
        run_git(top, "config", name, value)
    (top / ".git/info/grafts").write_text(f"{tip}\n")
    run_git(top, "replace", "--graft", tip)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.pager")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "false")

    assert {path: told(top, tip, path) for path in expected} == expected


def test_where_a_shallow_clone_ends_its_last_commit_still_names_its_parents(top: Path, tmp_path: Path) -> None:
    first = commit(top, "first", a="1")
    second = commit(top, "second", a="2")
    run_git(tmp_path, "clone", "--quiet", "--depth=1", top.as_uri(), str(tmp_path / "clone"))

    (only,) = first_parents(opened(tmp_path / "clone"), second)

    assert (only.commit, only.parents) == (second, (first,))
    assert [one.commit for one in changed(tmp_path / "clone", second, "manifests")] == [second]


@pytest.mark.parametrize("name", ["", "HEAD", "--all", "f" * 40])
def test_what_is_no_commit_here_is_an_error(top: Path, name: str) -> None:
    commit(top, "first")

    with pytest.raises(ReconcilerError):
        first_parents(opened(top), Commit(name))
    with pytest.raises(ReconcilerError):
        changes_along(opened(top), [Commit(name)])
    with pytest.raises(ReconcilerError):
        line_and_changes(opened(top), Commit(name))


def test_a_blob_that_is_not_there_or_is_none_is_an_error(top: Path) -> None:
    made = commit(top, "first", a="1")

    for name in (made, "f" * 40, "HEAD:manifests/a.yaml"):
        with pytest.raises(ReconcilerError):
            blobs(opened(top), [name])
    assert blobs(opened(top), []) == {}
