"""
Whole histories of git and receipts beside a naive replay: merges, reverts, cherry-picks, renamed files and models,
moves by hand, applies that fail, leave their receipt late or run by other clocks. What is told is what happened.
"""

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.as_of import as_of
from reconciler.core.chain import Chain, Link, Pruning, Stored, digest_of
from reconciler.core.history import Past, Turn, slots_of, turns_of
from reconciler.core.moments import after, moment
from reconciler.core.names import Commit, ModelRef, Slot, Stage
from reconciler.core.snapshot import ModelSnapshot
from reconciler.git.source import open_source
from reconciler.ports import World
from reconciler.project import Project
from reconciler.render.words import held as said
from reconciler.testing.builders import have
from reconciler.testing.memory import MemoryRegistry
from reconciler.wiring import LockKind, manifest_parser
from tests.story.repository import new_repository

pytestmark = pytest.mark.house

START = "2026-03-28T22:00:00Z"
"""In Berlin clocks are put forward three hours later."""
BERLIN = ZoneInfo("Europe/Berlin")
SLOTS = ("Production", "@champion")

Held = tuple[int, ...]


def at(minute: float) -> str:
    return after(START, minute * 60)


def seconds(minute: float) -> int:
    started = moment(START)
    assert started is not None
    return int(started.timestamp() + minute * 60)


@dataclass(frozen=True)
class Declared:
    """A commit of main, by its mark, and what it declares of each model, with its name then."""

    mark: int
    pins: tuple[Mapping[str, Held], ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Applied:
    """
    What an apply did: of which commit of main, from when to when, and what the slots of each model that it changed held
    before and after. `behind` is how many applies kept their receipts before it did, though they came later. `renamed`
    are the models that it renamed, with what they were called.
    """

    number: int
    began: int
    ended: int
    before: Mapping[int, Mapping[str, Held]]
    after: Mapping[int, Mapping[str, Held]]
    failed: bool
    behind: int = 0
    renamed: Mapping[int, str] = field(default_factory=dict[int, str])


@dataclass
class Model:
    """One model: what is declared, and what really was in its slots, minute by minute."""

    name: str
    file: str
    pins: dict[str, Held] = field(default_factory=lambda: dict[str, Held].fromkeys(SLOTS, (1,)))
    states: dict[str, list[tuple[int, Held]]] = field(
        default_factory=lambda: {slot: [(0, cast(Held, ()))] for slot in SLOTS}
    )
    handled: set[str] = field(default_factory=set[str])
    governed: set[str] = field(default_factory=set[str])
    named: int = 0
    """The first commit of main with the present name."""
    names: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """What the registry calls it."""

    def __post_init__(self) -> None:
        self.names.append((0, self.name))

    def name_then(self, minute: float) -> str:
        return next(name for since, name in reversed(self.names) if since <= minute)

    def held(self, slot: str) -> Held:
        return self.states[slot][-1][1]

    def truth(self, slot: str, minute: float) -> Held:
        return next(held for since, held in reversed(self.states[slot]) if since <= minute)

    def become(self, slot: str, minute: int, held: Held) -> None:
        if held != self.held(slot):
            self.states[slot].append((minute, held))


class Story:
    """A history that a seed tells: commits as a stream for git, and the applies among them."""

    def __init__(self, seed: int, length: int, *, hands: bool = True, late: bool = False) -> None:
        self.random, self.hands, self.late = Random(seed), hands, late  # noqa: S311  # no secret
        self.now, self.marks, self.tip = 0, 0, 0
        self.stream = bytearray()
        self.models = [Model(f"model-{n}", f"m{n}.yaml") for n in range(3)]
        self.main: list[Declared] = []
        self.applies: list[Applied] = []
        self.done = Counter[str]()
        self._commit("Begin")
        for _ in range(length):
            self.now += self.random.randint(3, 40)
            self._happen()
        for model in self.models:
            self._rename_by_hand(model)
        self.now += 30

    def _happen(self) -> None:
        kinds = [*[self.promote] * 5, *[self.apply] * 6, *[self.other] * 2, *[self.hand] * (2 if self.hands else 0)]
        chosen = self.random.choice([*kinds, self.drop, self.revert, self.cherry_pick, self.move_file, self.rename])
        chosen()
        self.done[chosen.__name__] += 1

    def promote(self) -> None:
        model = self.random.choice(self.models)
        for slot in self.random.sample(SLOTS, self.random.randint(1, 2)):
            most = 2 if slot == "Production" else 1
            model.pins[slot] = tuple(sorted(self.random.sample(range(1, 6), self.random.randint(1, most))))
        self._land("Promote")

    def drop(self) -> None:
        """A slot is not declared anymore, of a model that is."""
        model = self.random.choice(self.models)
        if len(model.pins) > 1:
            del model.pins[self.random.choice(SLOTS)]
            self._land("Drop")

    def revert(self) -> None:
        """What a commit changed of one model, whatever was changed since."""
        number, which = self.random.randrange(len(self.main)), self.random.randrange(len(self.models))
        self.models[which].pins = dict(self.main[max(number - 1, 0)].pins[which])
        self._land("Revert")

    def cherry_pick(self) -> None:
        """A change of a branch that is never merged comes to main as another commit."""
        self.random.choice(self.models).pins["Production"] = (self.random.randint(1, 5),)
        self._commit("Mine", branch=True)
        self._commit("Picked")

    def other(self) -> None:
        self._commit("Change code", files={f"src/{self.random.randint(1, 9)}.py": f"{self.now}"})

    def move_file(self) -> None:
        model = self.random.choice(self.models)
        before, model.file = model.file, f"f{len(self.main)}.yaml"
        self._land("Move", gone=before)

    def rename(self) -> None:
        """In the registry, too, or by the next apply: only commits from here on can be applied."""
        model = self.random.choice(self.models)
        before, model.name = model.name, f"{model.name.split('.')[0]}.{len(self.main)}"
        self._land("Rename", formerly={model.name: before})
        model.named = len(self.main) - 1
        if self.random.random() < 0.4:
            self._rename_by_hand(model)

    def _rename_by_hand(self, model: Model) -> None:
        if model.name != model.names[-1][1]:
            model.names.append((self.now, model.name))

    def hand(self) -> None:
        """At most one between two applies of a model: of several, nobody sees more than the last."""
        model, slot = self.random.choice(self.models), self.random.choice(SLOTS)
        if slot not in model.handled:
            model.handled.add(slot)
            model.become(slot, self.now, (self.random.randint(1, 5),))

    def apply(self) -> None:
        """The newest commit or one of those before, none that is older than the last; half of it, sometimes."""
        first = max(*(model.named for model in self.models), *(one.number for one in self.applies[-1:]))
        number = max(first, len(self.main) - 1 - self.random.choice((0, 0, 0, 1, 2)))
        failed = self.random.random() < 0.15
        began, self.now = self.now, self.now + 2
        before: dict[int, Mapping[str, Held]] = {}
        done: dict[int, Mapping[str, Held]] = {}
        renamed: dict[int, str] = {}
        for which, model in enumerate(self.models):
            declared = self.main[number].pins[which]
            slots = [slot for slot in SLOTS if slot in declared or slot in model.governed]
            there = {slot: model.held(slot) for slot in slots}
            wanted = {slot: declared.get(slot, ()) for slot in slots}
            governs = set(slots) if failed else set(declared)
            if failed:
                left = self.random.choice(slots)
                wanted[left] = there[left]
            if model.name != model.names[-1][1]:
                renamed[which] = model.names[-1][1]
                model.names.append((self.now, model.name))
            if wanted != there or which in renamed or model.governed != governs:
                before[which], done[which] = there, wanted
                model.handled.clear()
                model.governed = governs
                for slot in slots:
                    model.become(slot, self.now, wanted[slot])
        if done:
            behind = 1 if self.late and self.random.random() < 0.15 else 0
            self.applies.append(Applied(number, began, self.now, before, done, failed, behind, renamed))

    def _land(self, message: str, gone: str = "", formerly: Mapping[str, str] | None = None) -> None:
        """Directly, or by a branch and a merge: the first parents are main."""
        if self.random.random() < 0.5:
            self._commit(message, gone, formerly)
            return
        merged = self._commit(message, gone, formerly, branch=True)
        self._commit(f"Merge pull request #{self.marks} from x", gone, formerly, merged=merged)

    def _files(self, formerly: Mapping[str, str] | None) -> Iterator[tuple[str, str]]:
        for model in self.models:
            former = (formerly or {}).get(model.name)
            text = f"model: {model.name}\n{f'formerly: [{former}]' if former else ''}\n"
            if "Production" in model.pins:
                text += f"stages: {{Production: {list(model.pins['Production'])}}}\n"
            if "@champion" in model.pins:
                text += f"aliases: {{champion: {model.pins['@champion'][0]}}}\n"
            yield f"manifests/{model.file}", text

    def _commit(
        self,
        message: str,
        gone: str = "",
        formerly: Mapping[str, str] | None = None,
        *,
        files: Mapping[str, str] | None = None,
        branch: bool = False,
        merged: int = 0,
    ) -> int:
        self.marks += 1
        ref, zone = "refs/heads/side" if branch else "refs/heads/main", self.random.choice(("+0000", "+0200", "-0730"))
        people = "".join(f"{role} Ada <ada@x> {seconds(self.now)} {zone}\n" for role in ("author", "committer"))
        lines = [f"commit {ref}\nmark :{self.marks}\n{people}data {len(message)}\n{message}\n"]
        lines += [f"from :{self.tip}\n"] if self.tip else []
        lines += [f"merge :{merged}\n"] if merged else []
        lines += [f"D manifests/{gone}\n"] if gone else []
        for path, text in (files or dict(self._files(formerly))).items():
            lines.append(f"M 100644 inline {path}\ndata {len(text)}\n{text}\n")
        self.stream += "".join(lines).encode()
        if not branch:
            self.tip = self.marks
            self.main.append(
                Declared(self.marks, tuple(dict(m.pins) for m in self.models), tuple(m.name for m in self.models))
            )
        return self.marks


@dataclass
class Told:
    """The story as it is kept, and what is told of it."""

    story: Story
    commits: Mapping[int, Commit]
    project: Project
    pasts: Mapping[str, Past]
    kept: list[Applied]

    def commit(self, number: int) -> Commit:
        return self.commits[self.story.main[number].mark]


def told(story: Story, folder: str, skew: int = 0, pruned: int = 0) -> Told:
    repository = new_repository(Path(folder))
    done = subprocess.run(
        ["git", "fast-import", "--quiet", "--force", "--export-marks=.marks"],
        cwd=repository.top,
        input=story.stream,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = (line.split() for line in (repository.top / ".marks").read_text().splitlines())
    commits = {int(mark[1:]): Commit(name) for mark, name in lines}
    subprocess.run(["git", "checkout", "--quiet", "--force", "main"], cwd=repository.top, check=True)
    registry = MemoryRegistry({ModelRef(model.name): live(model) for model in story.models})
    chain = chained(story, commits, skew, pruned)
    source = open_source(repository.top / "manifests", "house#manifests")
    read = manifest_parser()
    world = World(
        source, read, registry, Fixed(at(story.now)), receipts=cast(Any, Kept(chain)), parse_past=lambda _: read
    )

    def opener(lock: LockKind, **_: object) -> World:
        return world

    project = Project(cast(Any, opener), None)
    recalled = project.history().of
    applies = in_the_chain(story)
    return Told(story, commits, project, {str(past.model): past for past in recalled.models}, applies[pruned:])


@dataclass(frozen=True)
class Fixed:
    """A clock that stands still."""

    stamp: str

    def now(self) -> str:
        return self.stamp


@dataclass(frozen=True)
class Kept:
    """The receipts of a story."""

    chain: Chain

    def read(self, counts: object = None) -> Chain:
        return self.chain


def live(model: Model) -> ModelSnapshot:
    stages = {number: Stage.PRODUCTION if number in model.held("Production") else Stage.NONE for number in range(1, 6)}
    return have(stages, dict(zip(["champion"], model.held("@champion"), strict=False)), name=model.name)


def in_the_chain(story: Story) -> list[Applied]:
    """In the order in which the receipts were kept."""
    return [one for _, one in sorted(enumerate(story.applies), key=lambda pair: pair[0] + 1.5 * pair[1].behind)]


def chained(story: Story, commits: Mapping[int, Commit], skew: int, pruned: int) -> Chain:
    stored: list[Stored] = []
    sequence, digest = 0, ""
    for number, one in enumerate(in_the_chain(story)):
        wrong = story.random.randint(-skew, skew)
        declared = story.main[one.number]
        document = {
            "computed_from": {"commit": commits[declared.mark], "registry": "memory://", "workspace": ""},
            "started_at": at(one.began + wrong),
            "finished_at": at(one.ended + wrong),
            "models": [
                {
                    "model": declared.names[which],
                    "status": "failed" if one.failed else "applied",
                    "calls": list(calls(one, which, declared.names[which], at(one.ended + wrong))),
                    "slots": [
                        {"slot": slot, "before": list(one.before[which][slot]), "after": list(one.after[which][slot])}
                        for slot in one.before[which]
                    ],
                }
                for which in one.after
            ],
        }
        link = Link(f"r{number}", at(one.ended + wrong), document).behind(sequence, digest)
        sequence, digest = link.sequence, digest_of(link.text)
        stored.append(Stored(Commit("c" * 40), link.text))
    if not pruned:
        return Chain("here", tuple(stored))
    last = stored[pruned - 1].link
    assert last is not None
    begin = Pruning(at(story.now), tuple(f"r{n}" for n in range(pruned)), digest_of(last.text), last.at)
    return Chain("here", tuple(stored[pruned:]), pruned=begin)


def calls(one: Applied, which: int, name: str, when: str) -> Iterator[Mapping[str, Any]]:
    """What an apply called of a model, as far as it tells its name."""
    if which in one.renamed:
        arguments = {"name": one.renamed[which], "new_name": name}
        yield {"method": "rename_registered_model", "arguments": arguments, "at": when}
    yield {"method": "set_registered_model_tag", "arguments": {"name": name, "key": "reconciler.owner"}, "at": when}


def seen(told: Told, which: int, slot: str) -> list[tuple[Held, Held]]:
    """From what to what the slot turned, one after the other, as far as anybody saw it: the naive replay."""
    found: list[tuple[Held, Held]] = []
    known: Held | None = None
    for one in sorted(told.kept, key=lambda one: one.began):
        if slot not in one.before.get(which, {}):
            continue
        there, then = one.before[which][slot], one.after[which][slot]
        found += [(known, there)] if known is not None and there != known else []
        again = known is None and bool(found)
        found += [(there, then)] if there != then or again else []
        known = then
        if not one.failed and slot not in told.story.main[one.number].pins[which]:
            found.append((then, then))
            known = None
    now = told.story.models[which].held(slot)
    last = known if known is not None else found[-1][1] if found else now
    return [*found, (last, now)] if last != now else found


def each_slot(told: Told) -> Iterator[tuple[int, str, Past, list[Turn]]]:
    for which, model in enumerate(told.story.models):
        past = told.pasts[model.name]
        assert set(slots_of(past)) == set(SLOTS)
        for slot in SLOTS:
            yield which, slot, past, [t for t in turns_of(past, Slot(slot)) if t.happened and t.renamed is None]


SEEDS = st.integers(0, 2**32)
FEW = settings(max_examples=4, deadline=None)
LENGTH = 500


@given(SEEDS, st.booleans(), st.booleans())
@FEW
def test_history_is_what_a_replay_of_all_applies_sees(seed: int, late: bool, some_pruned: bool) -> None:
    # Of a receipt that came late and a move by hand beside it, nobody can tell what was first.
    story = Story(seed, LENGTH, hands=not late, late=late)
    pruned = len(story.applies) // 2 if some_pruned else 0

    with TemporaryDirectory() as folder:
        found = told(story, folder, pruned=pruned)

    for which, slot, _, turns in each_slot(found):
        wanted = seen(found, which, slot)
        newest = turns[len(turns) - len(wanted) :]
        assert [(turn.before, turn.after) for turn in newest] == wanted, (which, slot)


@given(SEEDS)
@FEW
def test_each_turn_names_the_commit_that_first_declared_it(seed: int) -> None:
    story = Story(seed, LENGTH)

    with TemporaryDirectory() as folder:
        found = told(story, folder)

    for which, slot, _, turns in each_slot(found):
        numbers = {found.commit(one.number): one.number for one in found.kept}
        for turn in turns:
            if turn.applying is None or turn.applying.commit is None:
                continue
            number = numbers[turn.applying.commit]
            wanted = story.main[number].pins[which].get(slot)
            while number and story.main[number - 1].pins[which].get(slot) == wanted:
                number -= 1
            assert turn.declaring is not None
            assert turn.declaring.commit == found.commit(number)


@given(SEEDS, st.booleans(), st.booleans(), st.sampled_from([0, 60]))
@FEW
def test_what_was_there_is_among_what_is_told_of_a_moment(seed: int, hands: bool, late: bool, skew: int) -> None:
    story = Story(seed, LENGTH, hands=hands, late=late and not skew and not hands)

    with TemporaryDirectory() as folder:
        found = told(story, folder, skew=skew)

    for which, model in enumerate(story.models):
        past = found.pasts[model.name]
        first = next((one.ended for one in found.kept if which in one.after), story.now - 1)
        for minute in story.random.choices(range(first, story.now), k=5 if skew else 30):
            near: dict[str, set[Held]] = {slot: set() for slot in SLOTS}
            given_up = set[str]()
            # What is there for some minutes only is passed over by larger steps.
            for wrong in range(-skew, skew + 1):
                for then in as_of(past, at(minute + 0.5 + wrong), said):
                    near[then.slot].update(possible.held for possible in then.possible)
                    if then.why.startswith(("Not governed", "Declared again")):
                        given_up.add(then.slot)
            for slot in set(SLOTS) - given_up:
                truth = model.truth(slot, minute + 0.5)
                assert truth in near[slot]
                assert hands or skew or near[slot] == {truth}


@given(SEEDS, st.booleans())
@FEW
def test_a_model_is_followed_through_its_names_and_none_is_certain_that_it_did_not_have(seed: int, late: bool) -> None:
    story = Story(seed, LENGTH, hands=not late, late=late)

    with TemporaryDirectory() as folder:
        found = told(story, folder)
        oldest = {model.names[0][1]: model.name for model in story.models}
        followed = {name: found.project.history([name]).of.models for name in oldest}

    assert {name: [past.model for past in pasts] for name, pasts in followed.items()} == {
        name: [now] for name, now in oldest.items()
    }
    for which, model in enumerate(story.models):
        past = found.pasts[model.name]
        real = [name for _, name in model.names[1:]]
        renamed = [one.names.after for one in past.renamings]
        # Where git names two, one after the other, between two applies, nobody knows whether both were in the registry.
        assert [name for name in renamed if name in real] == real
        by_plans = {at(one.ended) for one in found.kept if which in one.renamed}
        assert by_plans <= {one.latest for one in past.renamings if one.earliest == one.latest}
        for minute in story.random.choices(range(story.now), k=30):
            for then in as_of(past, at(minute + 0.5), said):
                assert model.name_then(minute + 0.5) in then.names
                assert not then.certain or then.model == model.name_then(minute + 0.5)


@given(SEEDS)
@settings(max_examples=2, deadline=None)
def test_a_moment_is_the_same_by_the_clocks_of_berlin(seed: int) -> None:
    story = Story(seed, 60)

    with TemporaryDirectory() as folder:
        project = told(story, folder).project
        for minute in (30, 178, 182, 400):
            named = moment(at(minute))
            assert named is not None
            here = named.astimezone(BERLIN).isoformat()
            assert here.endswith("+01:00" if minute < 180 else "+02:00")
            assert project.as_of(here).slots == project.as_of(at(minute)).slots


def test_the_stories_are_of_every_kind_and_long() -> None:
    done = Counter[str]()
    for seed in range(10):
        story = Story(seed, LENGTH, late=True)
        done.update(story.done)
        done["commits"] += story.marks
        done["failed"] += sum(one.failed for one in story.applies)
        done["late"] += sum(one.behind for one in story.applies)
        done["renamed by plans"] += sum(len(one.renamed) for one in story.applies)

    assert done["commits"] > 2_000
    assert min(done.values()) > 20, done
