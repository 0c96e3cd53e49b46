"""What commits themselves say of their parents is what git says, and saves most of its processes."""

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from random import Random

import pytest

from reconciler.core.names import Commit
from reconciler.errors import ReconcilerError
from reconciler.git.ancestry import NEAR, NEAR_ON_LINE
from reconciler.git.receipts import GitReceipts
from reconciler.git.source import GitSource, open_source
from reconciler.ports import Relation
from tests.counting import counting
from tests.desk import run

MOST = 8
PROCESSES = "subprocess.Popen.__init__"

Parents = list[list[int]]
"""Of each commit, by number, those that it is on top of."""


def built(folder: Path, parents: Parents) -> tuple[Path, list[Commit]]:
    """A repository with these commits; HEAD is at the last one, and each has a branch."""
    folder.mkdir()
    run(folder, "git", "init", "--quiet", "--initial-branch=main")
    stream = ""
    for number, above in enumerate(parents):
        stream += (
            f"commit refs/heads/c{number}\nmark :{number + 1}\ncommitter A <a@b.example> {number} +0000\ndata 1\nx\n"
        )
        stream += "".join(f"{word} :{one + 1}\n" for word, one in zip(("from", *["merge"] * MOST), above, strict=False))
    marks = folder / ".git" / "marks"
    run(folder, "git", "fast-import", "--quiet", f"--export-marks={marks}", given=stream.encode())
    named = dict(line.split() for line in marks.read_text().splitlines())
    commits = [Commit(named[f":{number + 1}"]) for number in range(len(parents))]
    run(folder, "git", "update-ref", "refs/heads/main", commits[-1])
    return folder, commits


def opened(folder: Path) -> GitSource:
    return open_source(folder / "manifests", "acme.example/models#manifests")


def contained(parents: Parents, *tips: int) -> set[int]:
    """What commits contain, themselves among it."""
    found = set(tips)
    for number in range(len(parents) - 1, -1, -1):
        found.update(parents[number] if number in found else ())
    return found


def by_first_parents(parents: Parents, tip: int, known: Iterable[int], most: int) -> list[int]:
    line, excluded = [tip], contained(parents, *known)
    while parents[line[-1]]:
        line.append(parents[line[-1]][0])
    return [one for one in line if one not in excluded][:most]


def drawn(seed: int) -> Parents:
    """Some of the commits are roots, and most are close to the one before."""
    chance = Random(seed)  # noqa: S311  # no secret
    parents: Parents = [[]]
    for number in range(1, MOST):
        near = sorted({chance.randrange(max(0, number - 3), number) for _ in range(chance.choice([1, 1, 2, 3]))})
        chance.shuffle(near)
        parents.append([] if chance.random() < 0.1 else near)
    return parents


@pytest.mark.parametrize("seed", range(3))
def test_what_contains_what_and_what_is_on_a_line_is_as_the_commits_say(tmp_path: Path, seed: int) -> None:
    parents = drawn(seed)
    folder, commits = built(tmp_path / "models", parents)
    fresh, after = opened(folder), opened(folder)
    after.trunk(commits[-1], ())
    numbers = range(len(parents))
    expected = {
        (one, other): Relation.SAME
        if one == other
        else Relation.ANCESTOR
        if one in contained(parents, other)
        else Relation.DESCENDANT
        if other in contained(parents, one)
        else Relation.UNRELATED
        for one, other in product(numbers, numbers)
    }

    for source in (fresh, after):
        assert {pair: source.relation(*(commits[one] for one in pair)) for pair in expected} == expected
        for tip, known, most in product(numbers, [(), (3,), (2, 5)], [1, 2, MOST]):
            line = source.line(commits[tip], [commits[one] for one in known], most)
            assert list(line) == [commits[one] for one in by_first_parents(parents, tip, known, most)]
        for one, other in product(numbers, numbers) if source is fresh else ():
            both = contained(parents, one) & contained(parents, other)
            if both:
                fork = source.fork(commits[other], commits[one])
                behind = len(contained(parents, other) - contained(parents, commits.index(fork.commit)))
                # Of several that both contain, one that no other one of them contains.
                best = both - set().union(*(contained(parents, shared) - {shared} for shared in both))
                assert commits.index(fork.commit) in best
                assert fork.behind == behind


def test_what_is_near_or_on_a_line_that_was_read_takes_no_process(tmp_path: Path) -> None:
    long = 4 * NEAR_ON_LINE
    folder, commits = built(tmp_path / "models", [[], *([number] for number in range(long))])
    source = opened(folder)
    near, tip = commits[-NEAR], commits[-1]
    assert source.head == tip  # the one process that reads is there

    with counting() as calls:
        assert source.relation(near, tip) is Relation.ANCESTOR
        assert source.fork(near, tip).commit == near
        assert [*source.line(tip, [commits[-NEAR_ON_LINE]], long)] == commits[:-NEAR_ON_LINE:-1]
    assert calls[PROCESSES] == 0

    source.trunk(tip, ())
    with counting() as calls:
        for commit in commits[:: NEAR // 2]:
            assert source.relation(commit, tip) in {Relation.ANCESTOR, Relation.SAME}
        assert source.trunk(tip, ())[-1].commit == commits[0]
    assert calls[PROCESSES] == 0


def test_what_is_far_is_asked_of_git_once(tmp_path: Path) -> None:
    folder, commits = built(tmp_path / "models", [[], *([number] for number in range(4 * NEAR_ON_LINE))])
    source = opened(folder)
    assert source.head == commits[-1]

    with counting() as calls:
        for _ in range(3):
            assert source.relation(commits[0], commits[-1]) is Relation.ANCESTOR
            assert source.relation(commits[-1], commits[0]) is Relation.DESCENDANT
    assert calls[PROCESSES] == 2


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_of_a_shallow_clone_nothing_is_said_that_is_not_so_and_a_cut_line_is_read_again(
    tmp_path: Path, depth: int
) -> None:
    parents: Parents = [[], [0], [1], [0], [2, 3], [4]]
    folder, commits = built(tmp_path / "models", parents)
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", f"--depth={depth}", "--branch=main", folder.as_uri(), str(clone))
    source = opened(clone)
    cut = source.trunk(commits[-1], ())
    assert cut[-1].cut
    with pytest.raises(ReconcilerError, match="does not reach back"):
        list(source.line(commits[-1], (), depth + 1))

    for one, other in product(range(len(parents)), range(len(parents))):
        if one != other and (found := source.ancestry.shows(commits[one], commits[other])):
            assert found == (one in contained(parents, other))
    run(clone, "git", "fetch", "--quiet", "--unshallow")

    whole = source.trunk(commits[-1], ())
    assert [step.commit for step in whole] == [commits[number] for number in (5, 4, 2, 1, 0)]
    assert not whole[-1].cut


@pytest.mark.parametrize("more", [0, NEAR])
def test_what_of_a_chain_is_behind_another_end_is_what_git_lists(tmp_path: Path, more: int) -> None:
    # Two ends with a beginning in common, and one without.
    parents: Parents = [[], [0], [1], [1], [], *([number] for number in range(4, 4 + more)), [4 + more]]
    folder, commits = built(tmp_path / "models", parents)
    receipts = GitReceipts(opened(folder).git, None)
    ends: dict[str, int | None] = {"": None, **{commit: number for number, commit in enumerate(commits)}}

    for (seen, before), (tip, after) in product(ends.items(), ends.items()):
        expected = () if after is None else by_first_parents(parents, after, () if before is None else (before,), 99)
        listed = receipts._between(seen, tip)  # pyright: ignore[reportPrivateUsage]
        assert listed == [commits[number] for number in reversed(expected)], (before, after)


def test_a_name_is_looked_up_once_for_all_that_is_read_by_it(tmp_path: Path) -> None:
    folder, commits = built(tmp_path / "models", [[], [0], [1]])
    source = opened(folder)

    with counting() as calls:
        assert source.fork("c1", "c2").commit == commits[1]
        run(folder, "git", "update-ref", "refs/heads/c1", commits[0])
        assert source.fork("c1", "c2").commit == commits[1]

    assert calls["reconciler.git.refs._meanings"] == 2
    assert opened(folder).fork("c1", "c2").commit == commits[0]
    assert source.meant("c1") == commits[0]
