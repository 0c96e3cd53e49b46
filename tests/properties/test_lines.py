"""What a line of commits says of a model is the same whichever others are asked for, and whatever need not be read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.clocks import SystemClock
from reconciler.core.desired import Revision, resolve
from reconciler.core.names import Commit, ModelRef
from reconciler.core.past import Epoch
from reconciler.core.slot_map import PLAIN
from reconciler.ports import Checkout, LineCommit, SourceFile, Step, World
from reconciler.testing.memory import MemoryRegistry
from reconciler.trust import Trunk
from reconciler.wiring import manifest_parser
from tests.build import OURS

PARSE = manifest_parser(PLAIN, past=True)
PATHS = ("manifests/a.yaml", "manifests/b.yaml", "manifests/c.yaml")
NAMES = ("fraud", "risk", "churn")

Tree = Mapping[str, bytes]


@dataclass
class Line:
    """Commits in a row, the oldest first, each with all of its files."""

    trees: Sequence[Tree]
    folder: str = "manifests"
    identity = OURS

    @property
    def commits(self) -> tuple[Commit, ...]:
        """The newest first."""
        return tuple(Commit(f"{number:040x}") for number in reversed(range(1, len(self.trees) + 1)))

    def tree(self, commit: Commit) -> Tree:
        return self.trees[int(commit, 16) - 1]

    def read(self, ref: str | None) -> Checkout:
        commit = Commit(ref or self.commits[0])
        files = (SourceFile(path, data) for path, data in sorted(self.tree(commit).items()))
        return Checkout(Revision(OURS, commit, "Ada", "Promote"), tuple(files))

    def trunk(self, tip: Commit, _anchors: Sequence[Commit], files: Iterable[str] = ()) -> tuple[LineCommit, ...]:
        line = self.commits[self.commits.index(tip) :]
        return tuple(LineCommit(commit, merge=False, time=int(commit, 16)) for commit in line)

    def steps(self, line: Sequence[LineCommit], _path: str | None = None, *, elsewhere: bool = False) -> Iterator[Step]:
        for one, older in zip(line, [*(self.tree(one.commit) for one in line[1:]), {}], strict=True):
            now = self.tree(one.commit)
            changed = [path for path in PATHS if now.get(path) != older.get(path)]
            if changed:
                yield Step(one.commit, {p: older.get(p) for p in changed}, {p: now.get(p) for p in changed})


def document(name: str, version: int, formerly: Sequence[str]) -> str:
    said = f"formerly: [{', '.join(formerly)}]\n" if formerly else ""
    return f"model: {name}\n{said}stages: {{Production: {version}}}\n"


DOCUMENT = st.builds(
    document,
    st.sampled_from(NAMES),
    st.integers(1, 3),
    st.lists(st.sampled_from(NAMES), max_size=1),
)
FILE = st.one_of(st.none(), st.lists(DOCUMENT, min_size=1, max_size=2).map(lambda some: "---\n".join(some).encode()))
EDITS = st.lists(st.tuples(st.sampled_from(PATHS), FILE), min_size=1, max_size=2)


def trees(edits: Sequence[Sequence[tuple[str, bytes | None]]]) -> list[Tree]:
    found: list[Tree] = []
    for some in edits:
        now = {**(found[-1] if found else {}), **dict(some)}
        found.append({path: data for path, data in now.items() if data is not None})
    return found


LINES = st.lists(EDITS, min_size=2, max_size=9).map(trees)


def told(line: Line, *names: str) -> Mapping[ModelRef, tuple[Epoch, ...]]:
    """What is told of some models, by somebody who has read nothing yet."""
    world = World(cast(Any, line), PARSE, MemoryRegistry(), SystemClock())
    revision = line.read(None).revision
    trunk = Trunk(world, lambda _: None, revision, line.commits[0], ahead=False)
    fragments, _ = PARSE(line.read(None).files)
    return trunk.histories([ModelRef(name) for name in names], resolve(fragments)[0])


@settings(max_examples=150)
@given(LINES)
def test_what_is_told_of_one_model_does_not_depend_on_which_others_are_asked_for(made: list[Tree]) -> None:
    line = Line(made)
    together = told(line, *NAMES)

    for name in NAMES:
        assert told(line, name)[ModelRef(name)] == together[ModelRef(name)]


def names_of(line: Line, name: str) -> list[str | None]:
    return [epoch.manifest and str(epoch.manifest.name) for epoch in told(line, name)[ModelRef(name)]]


def test_a_name_that_another_file_still_declared_then_is_not_taken_over_though_that_file_is_gone() -> None:
    a, b, _ = PATHS
    risk, more = document("risk", 1, []).encode(), b"model: risk\naliases: {champion: 1}\n"
    takes, fraud = document("fraud", 1, ["risk"]).encode(), document("fraud", 1, []).encode()

    assert names_of(Line([{a: risk}, {a: takes}, {a: fraud}]), "fraud") == ["fraud", "fraud", "risk", None]
    kept = Line([{a: risk, b: more}, {a: takes, b: more}, {a: fraud, b: more}, {a: fraud}])
    assert names_of(kept, "fraud") == ["fraud", "fraud", None]


def test_a_name_that_a_third_model_claimed_then_is_nobodys_though_it_says_so_no_more() -> None:
    a, b, _ = PATHS
    risk, fraud = document("risk", 1, []).encode(), document("fraud", 1, []).encode()
    takes, claims = document("fraud", 1, ["risk"]).encode(), document("churn", 1, ["risk"]).encode()
    line = Line([{a: risk}, {a: takes, b: claims}, {a: fraud, b: claims}, {a: fraud}])

    assert names_of(line, "fraud") == ["fraud", "fraud", None]
