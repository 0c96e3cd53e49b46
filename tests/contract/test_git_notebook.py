"""Records in a ref, with real clones and pushes: none is lost, and a damaged one proves nothing."""

import gc
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from reconciler.core.snapshot import OWNER_TAG, UnreadableRecord, decode_owner
from reconciler.errors import RegistryError
from reconciler.git.notebook import GitNotebook, notebook_ref
from reconciler.git.runner import Git
from reconciler.ports import UNREACHABLE, Notes
from tests.contract.test_git_receipts import git
from tests.counting import counting

REF = notebook_ref("databricks-uc")
HOSTILE = 'prod.a/b..\t"é%2F .json'


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


Clone = Callable[[str], Path]


@pytest.fixture
def cloned(tmp_path: Path) -> Clone:
    """Makes clones of one bare repository."""
    git(tmp_path, "init", "--quiet", "--bare", "remote.git")

    def clone(name: str) -> Path:
        git(tmp_path, "init", "--quiet", name)
        git(tmp_path / name, "remote", "add", "origin", str(tmp_path / "remote.git"))
        return tmp_path / name

    return clone


def notebook_of(clone: Path, remote: str | None = "origin") -> GitNotebook:
    return GitNotebook(Git(clone / ".git", clone), remote, REF)


def noting(name: str, number: int, text: str) -> Callable[[dict[str, Notes]], None]:
    def edit(notes: dict[str, Notes]) -> None:
        note = notes.get(name, Notes())
        notes[name] = Notes({OWNER_TAG: name}, {**note.versions, number: {"key": text}})

    return edit


def test_what_was_noted_is_read_in_every_clone_by_whatever_name_a_model_has(cloned: Clone) -> None:
    notebook_of(cloned("one")).change(noting(HOSTILE, 3, "text"))
    notebook_of(cloned("two")).change(noting("prod.b.c", 1, "é"))

    assert notebook_of(cloned("three")).read() == {
        HOSTILE: Notes({OWNER_TAG: HOSTILE}, {3: {"key": "text"}}),
        "prod.b.c": Notes({OWNER_TAG: "prod.b.c"}, {1: {"key": "é"}}),
    }


def test_what_many_threads_note_at_once_is_all_kept_and_takes_fewer_pushes(cloned: Clone, tmp_path: Path) -> None:
    notebook = notebook_of(cloned("one"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(notebook.change, [noting(f"m{number % 5}", number, "x") for number in range(24)]))

    found = notebook_of(cloned("two")).read()
    assert {number for note in found.values() for number in note.versions} == set(range(24))
    assert int(git(tmp_path / "remote.git", "rev-list", "--count", REF)) < 24


def test_notes_about_many_models_take_as_many_processes_as_about_one(cloned: Clone) -> None:
    notebook = notebook_of(cloned("one"))
    for number in range(2):  # after which the process that reads is there
        notebook.change(noting("first", number, "x"))
    taken: list[int] = []
    for models in (1, 12):

        def edit(notes: dict[str, Notes], models: int = models) -> None:
            for number in range(models):
                noting(f"{models}-{number}", 1, "x")(notes)

        with counting() as calls:
            notebook.change(edit)
        taken.append(calls["subprocess.Popen.__init__"])

    # Where the remote is, the blobs, the tree, the commit and the push.
    assert taken == [5, 5]
    assert len(notebook_of(cloned("two")).read()) == 14


def test_two_clones_that_note_at_once_lose_nothing(cloned: Clone) -> None:
    notebooks = [notebook_of(cloned(name)) for name in ("one", "two")]

    def note(which: int) -> None:
        for number in range(4):
            notebooks[which].change(noting(f"m{which}", number, "x"))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(note, range(2)))

    assert {name: set(note.versions) for name, note in notebook_of(cloned("three")).read().items()} == {
        "m0": set(range(4)),
        "m1": set(range(4)),
    }


def put(clone: Path, files: dict[str, str]) -> None:
    """Somebody who may push refs writes what they like there."""
    lines = [
        f"100644 blob {git(clone, 'hash-object', '-w', '--stdin', stdin=text)}\t{path}" for path, text in files.items()
    ]
    tree = git(clone, "mktree", stdin="".join(f"{line}\n" for line in lines))
    git(clone, "push", "--quiet", "--force", "origin", f"{git(clone, 'commit-tree', '-m', 'x', tree)}:{REF}")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"record": 3, "versions": {}}', '{"record": {}, "versions": {"x": {}}}', "[" * 100_000]
)
def test_a_damaged_note_is_a_record_that_cannot_be_read_and_costs_its_model_alone(cloned: Clone, text: str) -> None:
    clone = cloned("one")
    notebook_of(clone).change(noting("good", 1, "x"))
    good = git(clone, "show", f"{git(clone, 'ls-remote', 'origin', REF).split()[0]}:good.json")
    put(clone, {"bad.json": text, "good.json": good})
    # What others left to be collected could be so where the stack has no room for it.
    gc.collect()

    found = notebook_of(cloned("two")).read()

    assert found["good"] == Notes({OWNER_TAG: "good"}, {1: {"key": "x"}})
    assert isinstance(decode_owner(found["bad"].model[OWNER_TAG]), UnreadableRecord)


def test_something_else_in_the_ref_is_said_to_be_that_and_nothing_is_written_over_it(cloned: Clone) -> None:
    clone = cloned("one")
    put(clone, {"README.md": "hello"})

    for attempt in (notebook_of(clone).read, lambda: notebook_of(clone).change(noting("m", 1, "x"))):
        with pytest.raises(RegistryError, match="holds something else than our records") as refused:
            attempt()
        assert refused.value.code != UNREACHABLE


def test_a_ref_that_is_gone_is_a_notebook_without_notes(cloned: Clone) -> None:
    clone = cloned("one")
    notebook = notebook_of(clone)
    notebook.change(noting("m", 1, "x"))
    git(clone, "push", "--quiet", "--delete", "origin", REF)

    assert notebook.read() == {}


def test_a_remote_that_is_not_reached_or_not_there_is_an_error_that_says_so(cloned: Clone, tmp_path: Path) -> None:
    clone = cloned("one")
    git(clone, "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    with pytest.raises(RegistryError, match="nowhere") as unreachable:
        notebook_of(clone).change(noting("m", 1, "x"))
    assert unreachable.value.code == UNREACHABLE
    with pytest.raises(RegistryError, match="kept on the git remote, and this repository has none"):
        notebook_of(clone, None).read()


def test_an_edit_that_fails_is_told_to_whoever_asked_for_it(cloned: Clone) -> None:
    def broken(_notes: dict[str, Notes]) -> None:
        raise ZeroDivisionError

    notebook = notebook_of(cloned("one"))
    with pytest.raises(ZeroDivisionError):
        notebook.change(broken)
    notebook.change(noting("m", 1, "x"))

    assert set(notebook.read()) == {"m"}


def test_who_waits_for_an_edit_that_is_broken_off_is_not_told_that_theirs_is_kept(cloned: Clone) -> None:
    notebook = notebook_of(cloned("one"))
    going, go_on = Event(), Event()

    def hold(_notes: dict[str, Notes]) -> None:
        going.set()
        go_on.wait(60)

    def interrupted(_notes: dict[str, Notes]) -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(notebook.change, hold)
        going.wait(60)
        both = [pool.submit(notebook.change, edit) for edit in (interrupted, noting("m", 1, "x"))]
        while len(notebook._waiting) < len(both):  # pyright: ignore[reportPrivateUsage]
            pass
        go_on.set()

    assert first.exception() is None
    assert all(one.exception() is not None for one in both)
    assert notebook.read() == {}
