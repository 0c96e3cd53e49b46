"""Receipts in a ref: real clones, real bare repositories, real pushes; none is lost, and none is changed unseen."""

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.core.chain import Chain, Flaw, Link, structure
from reconciler.core.records import Seal, SealKind
from reconciler.errors import ReconcilerError
from reconciler.git.receipts import RECEIPTS, SEEN, GitReceipts
from reconciler.git.runner import Git


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


def git(where: Path, *arguments: str, stdin: str = "") -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=where, input=stdin, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
    return path


@pytest.fixture
def cloned(tmp_path: Path, remote: Path) -> Callable[[str], Path]:
    def clone(name: str) -> Path:
        git(tmp_path, "init", "--quiet", "--initial-branch=main", name)
        git(tmp_path / name, "remote", "add", "origin", str(remote))
        return tmp_path / name

    return clone


def receipts_of(clone: Path, remote: str | None = "origin") -> GitReceipts:
    return GitReceipts(Git(clone / ".git", clone), remote)


def link(name: str) -> Link:
    return Link(name, "2026-05-01T10:00:00Z", {"id": name})


def signed(data: bytes) -> Seal:
    return Seal(SealKind.SSH, "key", str(len(data)))


def ids(chain: Chain) -> list[str]:
    return [one.id for one in chain.links()]


def flaws(chain: Chain) -> set[Flaw]:
    return {finding.flaw for finding in structure(chain)}


def break_off(remote: Path) -> None:
    remote.rename(remote.with_name("away.git"))


def bring_back(remote: Path) -> None:
    remote.with_name("away.git").rename(remote)


def test_receipts_of_several_clones_are_one_chain(cloned: Callable[[str], Path]) -> None:
    one, other = receipts_of(cloned("one")), receipts_of(cloned("other"))

    assert [one.append(link("a"), signed), other.append(link("b"), signed), one.append(link("c"), None)] == ["", "", ""]

    assert ids(other.read()) == ["a", "b", "c"]
    assert [one.sequence for one in other.read().links()] == [1, 2, 3]
    assert structure(other.read()) == ()


def test_ten_that_push_at_once_lose_none(cloned: Callable[[str], Path], remote: Path) -> None:
    clones = [receipts_of(cloned(f"clone-{number}")) for number in range(10)]

    def push_two(number: int) -> list[str]:
        return [clones[number].append(link(f"{number}-{i}"), signed) for i in range(2)]

    with ThreadPoolExecutor(10) as pool:
        told = list(pool.map(push_two, range(10)))

    chain = receipts_of(cloned("reader")).read()
    assert told == [["", ""]] * 10
    assert sorted(ids(chain)) == sorted(f"{n}-{i}" for n in range(10) for i in range(2))
    assert structure(chain) == ()
    assert all(one.seal for one in chain.links())


def test_several_in_one_clone_lose_none(cloned: Callable[[str], Path]) -> None:
    clone = cloned("one")

    def push(number: int) -> str:
        return receipts_of(clone).append(link(str(number)), None)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(push, range(8))) == [""] * 8

    assert sorted(ids(receipts_of(clone).read())) == sorted(map(str, range(8)))


def test_a_ref_without_a_remote_is_kept_in_the_repository_and_pushed_once_there_is_one(
    cloned: Callable[[str], Path],
) -> None:
    clone = cloned("one")

    assert [receipts_of(clone, None).append(link(name), signed) for name in "ab"] == ["", ""]
    assert (ids(receipts_of(clone, None).read()), structure(receipts_of(clone, None).read())) == (["a", "b"], ())
    assert flaws(receipts_of(clone).read()) == {Flaw.UNPUSHED}
    receipts_of(clone).append(link("c"), signed)

    assert ids(receipts_of(cloned("other")).read()) == ["a", "b", "c"]


def test_what_cannot_be_pushed_is_kept_and_pushed_later_behind_what_came_before(
    cloned: Callable[[str], Path], remote: Path
) -> None:
    clone, other = cloned("one"), cloned("other")
    receipts_of(clone).append(link("a"), signed)
    break_off(remote)

    why = receipts_of(clone).append(link("b"), signed)
    alone = receipts_of(clone).read()
    bring_back(remote)
    receipts_of(other).append(link("c"), signed)
    before = receipts_of(clone).read()
    pushed = receipts_of(clone).push(signed)

    assert "origin failed" in why
    assert "contents: write" in why
    assert (ids(alone), alone.unpushed, flaws(alone)) == (["a", "b"], 1, {Flaw.UNPUSHED, Flaw.UNKNOWN})
    assert (ids(before), before.unpushed) == (["a", "c", "b"], 1)
    assert pushed == 1
    assert ids(receipts_of(other).read()) == ["a", "c", "b"]
    assert (structure(receipts_of(clone).read()), structure(receipts_of(other).read())) == ((), ())
    assert all(one.seal for one in receipts_of(other).read().links())


def test_what_was_signed_is_not_pushed_to_another_place_without_the_key(
    cloned: Callable[[str], Path], remote: Path
) -> None:
    clone = cloned("one")
    break_off(remote)
    receipts_of(clone).append(link("a"), signed)
    bring_back(remote)
    receipts_of(cloned("other")).append(link("b"), signed)

    with pytest.raises(ReconcilerError, match="must be signed anew"):
        receipts_of(clone).push(None)

    assert receipts_of(clone).push(signed) == 1
    assert ids(receipts_of(clone).read()) == ["b", "a"]


@pytest.mark.parametrize("hook", ["exit 1", "case $1 in refs/reconciler/*) exit 1;; esac"])
def test_a_remote_that_refuses_is_no_loss(cloned: Callable[[str], Path], remote: Path, hook: str) -> None:
    path = remote / "hooks" / "update"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{hook}\n")
    path.chmod(0o755)
    clone = cloned("one")

    why = receipts_of(clone).append(link("a"), None)

    assert "refused" in why or "declined" in why, why
    assert ids(receipts_of(clone).read()) == ["a"]


def test_a_shallow_clone_can_append_and_knows_what_it_lacks(cloned: Callable[[str], Path], remote: Path) -> None:
    clone = cloned("one")
    for name in "abc":
        receipts_of(clone).append(link(name), None)
    shallow = cloned("shallow")
    git(shallow, "fetch", "--quiet", "--depth=1", f"file://{remote}", f"{RECEIPTS}:{RECEIPTS}")

    cut = receipts_of(shallow).read()
    receipts_of(shallow).append(link("d"), None)

    assert (ids(cut), flaws(cut)) == (["c"], {Flaw.SHALLOW})
    assert ids(receipts_of(clone).read()) == list("abcd")
    assert structure(receipts_of(clone).read()) == ()


def test_a_ref_that_was_reset_or_made_anew_is_seen_by_who_knew_it(cloned: Callable[[str], Path], remote: Path) -> None:
    clone, other = cloned("one"), cloned("other")
    for name in "abc":
        receipts_of(clone).append(link(name), None)
    newest, second = git(remote, "rev-parse", RECEIPTS, f"{RECEIPTS}~1").split()

    git(remote, "update-ref", RECEIPTS, f"{RECEIPTS}~1")
    reset = receipts_of(clone).read()
    git(remote, "update-ref", "-d", RECEIPTS)
    gone = receipts_of(clone).read()
    receipts_of(other).append(link("x"), None)
    anew = receipts_of(clone).read()
    receipts_of(clone).append(link("y"), None)
    later = receipts_of(clone).read()

    assert (ids(reset), reset.lost) == (["a", "b"], (newest,))
    assert (ids(gone), gone.lost) == ([], (newest, second))
    assert (ids(anew), anew.lost) == (["x"], (newest, second))
    assert (ids(later), set(later.lost), flaws(later)) == (["x", "y"], {newest, second}, {Flaw.REWRITTEN})
    assert git(clone, "cat-file", "-t", newest) == "commit"


def test_every_flipped_byte_is_seen(cloned: Callable[[str], Path], remote: Path) -> None:
    clone = cloned("one")
    for name in "abc":
        receipts_of(clone).append(link(name), None)
    texts = [one.text for one in receipts_of(clone).read().stored]

    for place in range(0, len(texts[1]), 3):
        changed = texts[1][:place] + chr(ord(texts[1][place]) ^ 1) + texts[1][place + 1 :]
        if changed[place] in "\n\x00" or not changed[place].isprintable():
            continue
        tip = ""
        for text in (texts[0], changed, texts[2]):
            tree = git(remote, "mktree")
            parents = ["-p", tip] if tip else []
            tip = git(remote, "commit-tree", *parents, "-F", "-", tree, stdin=text)
        git(remote, "update-ref", RECEIPTS, tip)
        fresh = cloned(f"fresh-{place}")
        assert flaws(receipts_of(fresh).read()) & {Flaw.DAMAGED, Flaw.BROKEN}, changed


def test_what_is_no_receipt_does_not_stop_the_next_one(cloned: Callable[[str], Path], remote: Path) -> None:
    clone = cloned("one")
    receipts_of(clone).append(link("a"), None)
    tree = git(remote, "mktree")
    junk = git(remote, "commit-tree", "-p", RECEIPTS, "-m", "{}", tree)
    git(remote, "update-ref", RECEIPTS, junk)

    assert receipts_of(clone).append(link("b"), None) == ""

    chain = receipts_of(clone).read()
    assert ids(chain) == ["a", "b"]
    assert [(f.flaw, f.sequence) for f in structure(chain)] == [(Flaw.DAMAGED, 2)]


def test_the_clone_of_the_user_keeps_its_branches_and_its_depth(cloned: Callable[[str], Path], remote: Path) -> None:
    clone = cloned("one")
    git(clone, "commit", "--quiet", "--allow-empty", "-m", "x")
    before = git(clone, "for-each-ref", "refs/heads", "refs/remotes", "refs/tags")

    receipts_of(clone).append(link("a"), None)
    receipts_of(clone).read()

    assert git(clone, "for-each-ref", "refs/heads", "refs/remotes", "refs/tags") == before
    assert git(clone, "for-each-ref", "--format=%(refname)", "refs/reconciler").split() == [RECEIPTS, SEEN]
    assert git(clone, "rev-parse", "--is-shallow-repository") == "false"
    assert not (clone / ".git" / "FETCH_HEAD").exists()
    assert json.loads(git(remote, "log", "-1", "--format=%B", RECEIPTS))["id"] == "a"
