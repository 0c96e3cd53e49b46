"""Receipts in a ref: real clones, real bare repositories, real pushes; none is lost, and none is changed unseen."""

import json
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.core.chain import Chain, Flaw, Link, Pruning, digest_of, structure
from reconciler.core.records import Seal, SealKind
from reconciler.errors import ReconcilerError
from reconciler.git.receipts import RECEIPTS, SEEN, GitReceipts
from reconciler.git.runner import Git
from tests.counting import counting


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

    done = [one.append(link("a"), signed), other.append(link("b"), signed), one.append(link("c"), None)]

    assert [kept.alone for kept in done] == ["", "", ""]
    assert [kept.behind and kept.behind.link and kept.behind.link.id for kept in done] == [None, "a", "b"]

    assert ids(other.read()) == ["a", "b", "c"]
    assert [one.sequence for one in other.read().links()] == [1, 2, 3]
    assert structure(other.read()) == ()


def test_a_receipt_takes_as_many_processes_however_long_the_chain_and_what_is_kept_is_what_is_pushed(
    cloned: Callable[[str], Path], remote: Path
) -> None:
    clone = cloned("one")
    started: list[int] = []
    made: list[int] = []
    for number in range(6):
        with counting() as calls:
            assert receipts_of(clone).append(link(f"r{number}"), signed).alone == ""
        started.append(calls["subprocess.Popen.__init__"])
        made.append(calls["reconciler.git.remote_ref.RemoteRef.commit"])

    assert len(set(started[1:])) == 1
    assert started[1] <= 12
    # A commit is dated when it is made: none was made a second time, for the push.
    assert made == [1] * 6
    assert {git(where, "rev-parse", RECEIPTS) for where in (clone, remote)} == {git(clone, "rev-parse", SEEN)}


def test_ten_that_push_at_once_lose_none(cloned: Callable[[str], Path], remote: Path) -> None:
    clones = [receipts_of(cloned(f"clone-{number}")) for number in range(10)]

    def push_two(number: int) -> list[str]:
        return [clones[number].append(link(f"{number}-{i}"), signed).alone for i in range(2)]

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
        return receipts_of(clone).append(link(str(number)), None).alone

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(push, range(8))) == [""] * 8

    assert sorted(ids(receipts_of(clone).read())) == sorted(map(str, range(8)))


def test_a_ref_without_a_remote_is_kept_in_the_repository_and_pushed_once_there_is_one(
    cloned: Callable[[str], Path],
) -> None:
    clone = cloned("one")

    assert [receipts_of(clone, None).append(link(name), signed).alone for name in "ab"] == ["", ""]
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

    why = receipts_of(clone).append(link("b"), signed).alone
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

    why = receipts_of(clone).append(link("a"), None).alone

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

    assert receipts_of(clone).append(link("b"), None).alone == ""

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


def pruning(chain: Chain, count: int) -> Pruning:
    """What stands for the first receipts, signed by a key that counts here."""
    old = chain.links()[:count]
    return Pruning(
        "2026-06-01T10:00:00Z",
        tuple(one.id for one in old),
        digest_of(old[-1].text),
        old[-1].at,
        Seal(SealKind.SSH, "key", ""),
    )


def counts(pruning: Pruning) -> bool:
    return pruning.seal is not None


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_pruned_chain_goes_on_where_it_was(cloned: Callable[[str], Path], remote: Path, count: int) -> None:
    one, other = receipts_of(cloned("one")), receipts_of(cloned("other"))
    for name in "abc":
        one.append(link(name), signed)
    before = one.read()

    kept = one.prune(pruning(before, count), signed)
    other.append(link("d"), signed)
    after = one.read(counts)

    assert kept == 3 - count
    assert (ids(after), structure(after), after.lost) == (list("abcd")[count:], (), ())
    assert after.pruned == pruning(before, count)
    # What is kept is byte for byte what it was, and the next one follows on it.
    assert [one.text for one in after.stored[:-1]] == [one.text for one in before.stored[count:]]
    assert [one.sequence for one in after.links()] == list(range(count + 1, 5))
    assert git(remote, "for-each-ref", "--format=%(refname)") == RECEIPTS
    assert int(git(remote, "rev-list", "--count", RECEIPTS)) == 5 - count


def test_none_that_is_pushed_meanwhile_is_lost(cloned: Callable[[str], Path], remote: Path) -> None:
    one, pruner = receipts_of(cloned("one")), receipts_of(cloned("pruner"))
    for name in "abc":
        one.append(link(name), signed)
    begin = pruning(pruner.read(), 2)

    with ThreadPoolExecutor(6) as pool:
        pushers = [receipts_of(cloned(f"pusher-{n}")) for n in range(5)]
        done = [pool.submit(pusher.append, link(f"{n}"), signed) for n, pusher in enumerate(pushers)]
        pool.submit(pruner.prune, begin, signed).result()
        assert [one.result().alone for one in done] == [""] * 5

    chain = receipts_of(cloned("reader")).read(counts)
    assert sorted(ids(chain)) == ["0", "1", "2", "3", "4", "c"]
    assert (structure(chain), chain.pruned) == ((), begin)


def test_what_waits_in_a_clone_when_another_one_prunes_is_pushed_behind(
    cloned: Callable[[str], Path], remote: Path
) -> None:
    one, pruner = receipts_of(cloned("one")), receipts_of(cloned("pruner"))
    one.append(link("a"), signed)
    one.append(link("b"), signed)
    break_off(remote)
    one.append(link("c"), signed)
    bring_back(remote)

    pruner.prune(pruning(pruner.read(), 2), signed)
    waiting = one.read(counts)

    assert (ids(waiting), waiting.unpushed, waiting.lost) == (["c"], 1, ())
    assert one.push(signed) == 1
    assert (ids(pruner.read(counts)), structure(pruner.read(counts))) == (["c"], ())


def test_what_waits_in_the_clone_that_prunes_is_pushed_with_it(cloned: Callable[[str], Path], remote: Path) -> None:
    one = receipts_of(cloned("one"))
    one.append(link("a"), signed)
    break_off(remote)
    one.append(link("b"), signed)
    bring_back(remote)

    assert one.prune(pruning(one.read(), 1), signed) == 1

    chain = receipts_of(cloned("reader")).read(counts)
    assert (ids(chain), structure(chain)) == (["b"], ())


@pytest.mark.parametrize("seen", [1, 2, 3, 4])
def test_a_clone_that_has_seen_more_tells_a_pruning_that_counts_from_one_that_does_not(
    cloned: Callable[[str], Path], remote: Path, seen: int
) -> None:
    old, pruner = receipts_of(cloned("old")), receipts_of(cloned("pruner"))
    for number, name in enumerate("abcd", 1):
        pruner.append(link(name), signed)
        if number == seen:
            old.read()
    end = git(old.git.top, "rev-parse", RECEIPTS)

    pruner.prune(pruning(pruner.read(), 2), signed)
    doubted = old.read()
    believed = old.read(counts)
    later = old.read()

    assert (flaws(doubted), doubted.lost) == ({Flaw.REWRITTEN}, (end,))
    assert (flaws(believed), ids(believed)) == (set(), ["c", "d"])
    # What was pruned is kept here no longer, either.
    assert flaws(later) == set()
    assert git(old.git.top, "for-each-ref", "--format=%(refname)", "refs/reconciler").split() == [RECEIPTS, SEEN]


def test_a_genuine_pruning_with_other_receipts_behind_it_is_no_excuse(
    cloned: Callable[[str], Path], remote: Path
) -> None:
    old, pruner = receipts_of(cloned("old")), receipts_of(cloned("pruner"))
    for name in "abcd":
        pruner.append(link(name), signed)
    old.read()
    begin = pruning(pruner.read(), 2)
    pruner.prune(begin, signed)

    # The genuine beginning, and of what is behind it the last is gone.
    git(remote, "update-ref", RECEIPTS, f"{RECEIPTS}~1")

    assert flaws(old.read(counts)) == {Flaw.REWRITTEN}


def test_a_repository_without_a_remote_is_pruned_in_place(cloned: Callable[[str], Path]) -> None:
    receipts = receipts_of(cloned("one"), None)
    for name in "abc":
        receipts.append(link(name), signed)

    assert receipts.prune(pruning(receipts.read(), 2), signed) == 1
    receipts.append(link("d"), signed)

    assert (ids(receipts.read()), structure(receipts.read())) == (["c", "d"], ())


def test_nothing_is_pruned_that_the_chain_does_not_have(cloned: Callable[[str], Path], remote: Path) -> None:
    receipts = receipts_of(cloned("one"))
    for name in "abc":
        receipts.append(link(name), signed)
    begin = pruning(receipts.read(), 2)
    git(remote, "update-ref", RECEIPTS, f"{RECEIPTS}~2")

    with pytest.raises(ReconcilerError, match="changed meanwhile"):
        receipts.prune(begin, signed)

    assert ids(receipts_of(cloned("reader")).read()) == ["a"]


def test_a_remote_that_refuses_to_move_the_ref_back_is_told(cloned: Callable[[str], Path], remote: Path) -> None:
    receipts = receipts_of(cloned("one"))
    for name in "ab":
        receipts.append(link(name), signed)
    hook = remote / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ngit merge-base --is-ancestor "$2" "$3"\n')
    hook.chmod(0o755)

    with pytest.raises(ReconcilerError, match="declined"):
        receipts.prune(pruning(receipts.read(), 1), signed)

    assert (ids(receipts.read()), structure(receipts.read())) == (["a", "b"], ())
