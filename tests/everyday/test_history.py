"""What was in Production when, and on whose word: by receipts, git and the registry together."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.core.as_of import AsOf
from reconciler.core.history import Fate, History, Turn, Turning, Word
from reconciler.core.moments import after
from reconciler.core.names import AliasName
from reconciler.core.slot_map import PLAIN, SlotMap, StageAlias
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.ports import Wanted
from reconciler.project import Project
from reconciler.render.history import declared_by, notes
from reconciler.render.json import receipt_document
from tests.house import ADA, GRACE, House
from tests.house.scenes import APPROVALS, NO_RULES, SOAK, TRIED, begin_with, pins
from tests.story.repository import git

pytestmark = pytest.mark.house


def begun(house: House, *promoted: int) -> None:
    house.register("churn", 4)
    house.push(policy=NO_RULES)
    for version in promoted:
        promote(house, version)


@pytest.fixture
def house(house: House) -> House:
    house.receipts = True
    begin_with(house, begun)
    return house


@pytest.fixture
def promoted(tmp_path: Path, signed: bool) -> House:
    """The same, and v1 is in Production."""
    house = House.build(tmp_path, signed=signed)
    house.receipts = True
    begin_with(house, begun, 1)
    return house


def project(house: House) -> Project:
    return house._project("manifests")  # pyright: ignore[reportPrivateUsage]


def history(house: House, *models: str, **more: str) -> History:
    return project(house).history(models, **more)


def lines(found: History) -> list[tuple[str, str, str]]:
    """The slot, from what to what, and how, of each turn."""

    def said(held: Iterable[int] | None) -> str:
        return "?" if held is None else "+".join(map(str, held)) or "-"

    return [(turn.slot, f"{said(turn.before)}>{said(turn.after)}", turn.turning.value) for turn in found.turns]


def held(found: AsOf, slot: str = "Production") -> list[tuple[int, ...]]:
    (then,) = (one for one in found.slots if one.slot == slot)
    return sorted(one.held for one in then.possible)


def promote(house: House, version: int, also: str = "") -> None:
    house.push(pins({"Production": version}, also=also))
    house.clock.later(hours=1)
    assert house.apply().exit_code == 0
    house.clock.later(hours=5)


def test_every_change_of_occupant_is_told_with_who_declared_and_who_applied_it(promoted: House) -> None:
    house = promoted
    promote(house, 2)
    promote(house, 1)

    found = history(house, "churn")

    assert lines(found) == [
        ("Production", "->1", "promote"),
        ("Production", "1>2", "promote"),
        ("Production", "2>1", "roll back"),
    ]
    commits = [push.after for push in house.pushes[-3:]]
    assert [turn.declaring and turn.declaring.commit for turn in found.turns] == commits
    assert [turn.declaring and turn.declaring.author for turn in found.turns] == [str(GRACE)] * 3
    assert {turn.word for turn in found.turns} == {Word.SIGNED if house.signed else Word.RECEIPT}
    assert [turn.applying and turn.applying.commit for turn in found.turns] == commits
    assert all(turn.exact for turn in found.turns)


def test_a_move_by_hand_that_an_apply_took_back_is_told_with_its_bounds(promoted: House) -> None:
    house = promoted
    house.by_hand("churn", 2, "Production")
    moved = house.clock.stamp
    house.clock.later(hours=1)
    house.apply(restore=["churn"])

    found = history(house)

    assert lines(found) == [
        ("Production", "->1", "promote"),
        ("Production", "1>2", "moved by hand"),
        ("Production", "2>1", "restore"),
    ]
    by_hand = found.turns[1]
    assert by_hand.earliest < moved < by_hand.latest
    assert (by_hand.declaring, by_hand.applying) == (None, None)


def test_a_move_by_hand_that_nobody_took_back_is_told_with_the_time_of_mlflow(promoted: House) -> None:
    house = promoted
    house.by_hand("churn", 2, "Production")
    moved = house.clock.stamp
    house.clock.later(hours=1)

    found = history(house)

    assert lines(found)[1:] == [("Production", "1>2", "moved by hand"), ("Production", "2>1", "drifted")]
    assert (found.turns[1].latest, found.turns[1].word) == (moved, Word.MLFLOW)


def test_a_move_by_hand_that_was_taken_back_by_hand_leaves_nothing_certain_until_then(promoted: House) -> None:
    house = promoted
    house.by_hand("churn", 2, "Production")
    house.by_hand("churn", 1, "Archived")
    house.clock.later(hours=1)
    between = house.clock.stamp
    house.clock.later(hours=1)
    house.by_hand("churn", 2, "Archived")
    house.by_hand("churn", 1, "Production")
    house.clock.later(hours=1)

    then, now = (project(house).as_of(when).slots[0] for when in (between, "now"))

    assert (then.certain, now.certain) == (False, True)
    assert "it may have been elsewhere before" in then.differences[0]


def test_what_mlflows_times_disprove_is_no_turn(house: House) -> None:
    house.by_hand("churn", 1, "Production")
    house.clock.later(hours=6)
    house.push(pins({"Production": 1}))
    house.push(policy=SOAK)
    house.push(pins({"Production": 2}))
    house.clock.later(hours=6)
    assert house.apply().exit_code == ExitCode.BLOCKED

    assert lines(history(house)) == [
        ("Production", "?>1", "declare"),
        ("Production", "1>2", "refused"),
        ("Production", "1>2", "pending"),
    ]


def test_the_turns_of_a_slot_are_in_the_order_of_their_applies_whatever_the_clocks_said(promoted: House) -> None:
    house = promoted
    house.push(pins({"Production": 2}))
    at = house.clock.at
    house.clock.at = at - timedelta(hours=2)
    assert house.apply().exit_code == 0
    house.clock.at = at + timedelta(minutes=1)
    promote(house, 3)

    assert [between for _, between, _ in lines(history(house))] == ["->1", "1>2", "2>3"]
    (then,) = project(house).as_of(after(house.clock.stamp, -6 * 3600 - 60)).slots
    assert not then.certain
    assert "one is wrong" in "".join(then.differences)


def test_a_clone_that_is_behind_says_so_of_what_it_declares(promoted: House) -> None:
    house = promoted
    behind = house.main
    promote(house, 2)

    *_, last = project(house).history(["churn"], ref=behind).turns

    assert last.turning is Turning.PENDING
    assert last.note == f"The last apply was of {house.main[:12]}, which is not in this history: fetch what is new."


def test_what_is_declared_and_not_applied_yet_is_pending(promoted: House) -> None:
    house = promoted
    house.push(pins({"Production": 2}))

    found = history(house)

    assert lines(found) == [("Production", "->1", "promote"), ("Production", "1>2", "pending")]
    assert found.turns[1].declaring is not None
    assert found.turns[1].declaring.commit == house.main
    assert found.turns[1].note == "Declared, and not there: `reconciler plan` says why."


def test_what_is_declared_and_was_refused_is_told_with_what_refused_it(house: House) -> None:
    house.register("other", 2)
    house.push(pins({"Production": 1}), pins({"Production": 1}, model="other"))
    house.apply()
    house.push(policy=SOAK)
    house.push(pins({"Production": 2}), pins({"Production": 1, "@best": 2}, model="other"))
    house.clock.later(hours=1)
    assert house.apply(force=True).exit_code == ExitCode.BLOCKED

    *_, pending = history(house, "churn").turns
    house.push(pins({"Production": 3}))
    *_, again = history(house, "churn").turns

    assert (pending.turning, pending.after) == (Turning.PENDING, (2,))
    assert [(said.gate, said.ruling) for said in pending.opinions] == [("soak", "fail")]
    assert pending.note.startswith("Declared, and not there: gates refused it, as receipt ")
    assert (again.after, again.opinions) == ((3,), ())


def test_without_receipts_git_tells_what_was_declared_and_records_when_the_last_of_it_came_in(house: House) -> None:
    house.receipts = False
    for version in (1, 2, 3):
        promote(house, version)

    found = history(house)

    assert lines(found) == [
        ("Production", "?>1", "declare"),
        ("Production", "1>2", "declare"),
        ("Production", "2>3", "declare"),
    ]
    assert [turn.word for turn in found.turns] == [Word.RECORD] * 3
    assert [turn.applying and turn.applying.signed for turn in found.turns] == [house.signed] * 3


def test_receipts_go_on_where_git_alone_told_before(house: House) -> None:
    house.receipts = False
    promote(house, 1)
    promote(house, 2)
    house.receipts = True
    promote(house, 3)

    found = history(house)

    assert lines(found) == [
        ("Production", "?>1", "declare"),
        ("Production", "1>2", "declare"),
        ("Production", "2>3", "promote"),
    ]


def test_what_was_found_at_adoption_is_told_as_found(house: House) -> None:
    house.by_hand("churn", 3, "Production")
    promote(house, 3)

    assert lines(history(house)) == [("Production", "3>3", "find")]


def rename(house: House, version: int, *, by_plan: bool, model: str = "churn", name: str = "attrition") -> str:
    """Rename a model and promote a version by one change; gives the moment before."""
    before = house.clock.stamp
    house.clock.later(hours=1)
    if not by_plan:
        house.rename_model(model, name)
    house.push(
        pins({"Production": version}, model=name, also=f"formerly: [{model}]\n"),
        files={f"manifests/{model}.yaml": None},
    )
    house.clock.later(hours=1)
    return before


BOTH_WAYS = pytest.mark.parametrize("by_plan", [True, False], ids=["by a plan", "by hand"])


def names(found: History) -> list[tuple[str, str, str]]:
    """From what name to what, and how, of each turn of a name."""
    return [(t.renamed.before, t.renamed.after, t.turning.value) for t in found.turns if t.renamed is not None]


@BOTH_WAYS
@pytest.mark.parametrize("asked", ["attrition", "churn", None])
def test_a_renamed_model_keeps_its_history_and_the_rename_is_a_turn(
    promoted: House, asked: str | None, *, by_plan: bool
) -> None:
    house = promoted
    rename(house, 2, by_plan=by_plan)
    house.apply()
    house.clock.later(hours=1)

    found = history(house, *([asked] if asked else []))

    assert [(turn.model, turn.renamed is None) for turn in found.turns] == [
        ("attrition", t) for t in (True, False, True)
    ]
    assert lines(found)[0::2] == [("Production", "->1", "promote"), ("Production", "1>2", "promote")]
    renamed = found.turns[1]
    assert names(found) == [("churn", "attrition", "renamed")]
    assert renamed.declaring is not None
    assert renamed.declaring.commit == house.main
    assert (renamed.exact, renamed.applying is not None) == (by_plan, by_plan)


@BOTH_WAYS
@pytest.mark.parametrize("asked", ["attrition", "churn", None])
def test_no_name_is_certain_that_a_model_did_not_have(promoted: House, asked: str | None, *, by_plan: bool) -> None:
    house = promoted
    early = house.clock.stamp
    house.clock.later(hours=1)
    before = rename(house, 1, by_plan=by_plan)
    house.apply()
    house.clock.later(hours=1)
    models = [asked] if asked else []

    then, later = (project(house).as_of(when, models) for when in (early, "now"))
    between = project(house).changed(before, "now", models)

    assert [(one.model, one.now, one.certain) for one in later.slots] == [("attrition", "attrition", True)]
    assert [(one.model, one.certain) for one in then.slots] == [("churn", True) if by_plan else ("attrition", False)]
    assert held(then) == [(1,)]
    assert [one.names[0] for one, _ in between.slots] == ["churn"]


def test_the_time_of_mlflow_bounds_a_rename_by_hand(promoted: House) -> None:
    house = promoted
    rename(house, 1, by_plan=False)
    renamed = project(house).history().turns[1]
    house.clock.later(days=1)
    house.apply()

    (_, turn) = history(house).turns

    assert (turn.latest, turn.word) == (renamed.latest, Word.MLFLOW)
    assert project(house).as_of(turn.latest).slots[0].certain


def test_a_rename_that_waits_is_pending_and_moves_nothing(promoted: House) -> None:
    house = promoted
    rename(house, 1, by_plan=True)

    found, now = history(house), project(house).as_of("now")

    assert names(found) == [("churn", "attrition", "pending")]
    assert len(found.turns) == 2
    assert [(one.model, one.certain) for one in now.slots] == [("churn", True)]


@pytest.mark.parametrize("models", [(), ("churn",)])
def test_a_rename_in_the_registry_alone_is_told_and_is_no_move(promoted: House, models: tuple[str, ...]) -> None:
    house = promoted
    house.rename_model("churn", "attrition")

    found, now = history(house, *models), project(house).as_of("now", models)

    assert names(found) == [("churn", "attrition", "renamed"), ("attrition", "churn", "drifted")]
    assert len(found.turns) == 3
    assert [(one.model, one.certain) for one in now.slots] == [("attrition", True)]


@pytest.mark.parametrize("by_plan", [True, False])
def test_a_model_that_its_record_alone_leads_to_is_never_taken_for_empty(promoted: House, *, by_plan: bool) -> None:
    house = promoted
    if by_plan:
        house.push(files={"manifests/churn.yaml": None})
    else:
        house.rename_model("churn", "attrition")
    house.clock.later(hours=1)

    named, unnamed = (project(house).as_of("now", models) for models in (["churn"], []))
    audit = project(house).audit()

    assert (held(named), held(unnamed)) == ([(1,)], [(1,)])
    assert Turning.BY_HAND not in {turn.turning for turn in history(house).turns}
    assert history(house).turns == history(house, "churn").turns
    assert project(house).changed("1 hour ago", "now").slots == ()
    assert audit.records == 1


def test_the_status_of_what_is_given_up_and_not_released_yet_shows_what_it_holds(promoted: House) -> None:
    house = promoted
    house.push(files={"manifests/churn.yaml": None})

    (model,) = project(house).status().models

    assert [(one.slot, [held.version for held in one.actual]) for one in model.slots] == [("Production", [1])]


def test_a_model_is_read_again_only_where_its_record_alone_led_to_it(promoted: House) -> None:
    house = promoted
    reads: list[Wanted] = []
    house.registry.read = reads.append

    history(house)
    before = len(reads)
    house.push(files={"manifests/churn.yaml": None})
    history(house)

    assert (before, len(reads) - before) == (1, 2)


def test_who_takes_over_a_name_has_not_its_past(promoted: House) -> None:
    house = promoted
    early = house.clock.stamp
    rename(house, 2, by_plan=True)
    house.apply()
    house.push(pins({"Production": 2}, model="attrition"))
    house.register("churn", 3)
    house.clock.later(hours=1)
    promote(house, 3)

    found, then = history(house, "churn"), project(house).as_of(early, ["churn"])

    assert [turn.after for turn in found.turns if turn.model == "churn"] == [(3,)]
    assert [(one.model, one.now, one.certain) for one in then.slots] == [("churn", "attrition", True)]


def test_git_alone_tells_a_rename_where_nothing_else_does(house: House) -> None:
    house.receipts = False
    promote(house, 1)
    before = rename(house, 2, by_plan=True)
    house.apply()
    house.clock.later(hours=1)

    found = history(house)
    (then,) = project(house).as_of(before).slots

    assert names(found) == [("churn", "attrition", "renamed")]
    assert then.names == ("churn", "attrition")
    assert not then.certain


def test_a_model_that_got_its_name_back_was_called_otherwise_between(promoted: House) -> None:
    house = promoted
    rename(house, 1, by_plan=True)
    house.apply()
    house.clock.later(hours=1)
    between = house.clock.stamp
    rename(house, 2, by_plan=True, model="attrition", name="churn")
    house.apply()
    house.clock.later(hours=1)

    found = history(house, "attrition")

    assert names(found) == [("churn", "attrition", "renamed"), ("attrition", "churn", "renamed")]
    assert [(one.model, one.certain) for one in project(house).as_of(between).slots] == [("attrition", True)]
    assert project(house).changed(between).slots[0][1].model == "churn"


def test_what_was_declared_and_never_there_is_not_blamed_on_a_person(house: House) -> None:
    house.push(pins({"Production": 1}))

    assert [turn.turning.value for turn in history(house).turns] == ["declare", "not known how", "pending"]


def test_turns_of_one_slot_between_two_moments(house: House) -> None:
    house.push(pins({"Production": 1, "@champion": 1}))
    house.apply()
    between = house.clock.stamp
    house.clock.later(hours=2)
    house.push(pins({"Production": 2, "@champion": 2}))
    house.apply()

    assert lines(history(house, "churn", slot="@champion", since=between)) == [("@champion", "1>2", "promote")]
    assert lines(history(house, "churn", slot="@champion", until="1 hour ago")) == [("@champion", "->1", "promote")]


def test_approvals_and_comments_are_told(promoted: House) -> None:
    house = promoted
    house.push(policy=APPROVALS)
    request = house.request(pins({"Production": "{version: 2, comment: Better}"}), title="Promote v2")
    house.approve(GRACE, request)
    house.merge(request)
    house.apply()

    turn = history(house).turns[-1]

    assert turn.comment == "Better"
    assert [(said.gate, said.ruling) for said in turn.opinions] == [("approvals", "pass")]
    assert "approved by @grace" in turn.opinions[0].sentence
    assert turn.declaring is not None
    assert turn.declaring.author == str(ADA)


@pytest.mark.parametrize("hours", [0, 1, 3, 6, 9])
def test_as_of_tells_what_was_there(promoted: House, hours: int) -> None:
    house = promoted
    promote(house, 2)
    applied = history(house).turns[1].earliest

    before = project(house).as_of(after(applied, -1 - hours * 600))
    later = project(house).as_of(after(applied, hours * 600))

    assert (held(before), held(later)) == ([(1,)], [(2,)])


def test_as_of_says_where_git_and_the_receipt_differ(promoted: House) -> None:
    house = promoted
    house.push(pins({"Production": 2}))
    house.clock.later(minutes=30)
    between = house.clock.stamp
    house.clock.later(minutes=30)
    house.apply()

    found = project(house).as_of(between)

    assert held(found) == [(1,)]
    assert found.slots[0].differences == (f"git declared v2 (commit {house.main[:12]})",)


def test_as_of_says_plainly_what_it_cannot_know(house: House) -> None:
    early = house.clock.stamp
    house.clock.later(days=1)
    promote(house, 1)
    house.by_hand("churn", 2, "Production")
    house.clock.later(hours=1)
    house.apply(restore=["churn"])
    by_hand = history(house).turns[1]

    before = project(house).as_of(early)
    unclear = project(house).as_of(after(by_hand.earliest, 60))

    assert (before.slots[0].possible, before.slots[0].why) == ((), "Nothing is kept of that time.")
    assert held(unclear) == [(1,), (2,)]
    assert "by hand" in unclear.slots[0].why


def test_what_changed_between_two_moments_and_commits(promoted: House) -> None:
    house = promoted
    start = house.main
    promote(house, 2)
    promote(house, 3)

    found = project(house).changed(after(house.clock.stamp, -3600 * 11.5))
    none = project(house).changed("1 minute ago")

    assert [(one.possible[0].held, two.possible[0].held) for one, two in found.slots] == [((1,), (3,))]
    assert none.slots == ()
    assert project(house).changed(start).before <= found.before


@pytest.mark.parametrize("text", ["soon", "2026-03-03T10:00", "2026-13-01", "", "3 fortnights ago"])
def test_what_is_no_time_is_refused(promoted: House, text: str) -> None:
    house = promoted

    with pytest.raises(ReconcilerError, match="is no time"):
        project(house).as_of(text)


def test_a_moment_to_come_is_refused(promoted: House) -> None:
    house = promoted

    with pytest.raises(ReconcilerError, match="is to come"):
        project(house).as_of("2100-01-01")


def test_nothing_is_known_of_a_model_that_nobody_ever_declared(promoted: House) -> None:
    house = promoted

    with pytest.raises(ReconcilerError, match=r"Nothing is known of a model chum\. Did you mean `churn`"):
        history(house, "chum")


def test_what_git_alone_declares_or_sources_differ_about_is_not_certain(promoted: House) -> None:
    house = promoted
    certain = project(house).as_of("now")
    house.push(pins({"Production": 2}))
    house.clock.later(minutes=30)
    differing = project(house).as_of("now")
    house.push(pins({"Production": 1}, model="fraud"))
    (declared,) = project(house).as_of("now", ["fraud"]).slots

    assert [then.certain for then in (*certain.slots, *differing.slots, declared)] == [True, False, False]


def test_what_is_not_certain_in_the_same_way_at_two_moments_did_not_change(promoted: House) -> None:
    house = promoted
    house.by_hand("churn", 2, "Production")
    house.clock.later(hours=9)
    house.apply(restore=["churn"])
    earliest = history(house).turns[1].earliest

    found = project(house).changed(after(earliest, 60), after(earliest, 120))
    unknown = project(house).changed(after(earliest, -86400))

    assert (found.slots, len(unknown.slots), unknown.unknown) == ((), 1, 1)


def test_two_moments_in_the_wrong_order_are_refused(promoted: House) -> None:
    house = promoted

    with pytest.raises(ReconcilerError, match="is after the second one"):
        project(house).changed("now", "1 hour ago")
    with pytest.raises(ReconcilerError, match="is after the second one"):
        history(house, since="1 hour ago", until="2 hours ago")


def test_a_time_without_its_zone_and_a_commit_are_said_to_be_that(promoted: House) -> None:
    house = promoted

    with pytest.raises(ReconcilerError, match="without its zone"):
        project(house).as_of("2026-03-02T10:00")
    with pytest.raises(ReconcilerError, match="is no time"):
        project(house).changed("no-such-commit")


def test_a_commit_stands_for_the_end_of_the_apply_that_applied_it(promoted: House) -> None:
    house = promoted
    first = house.main
    promote(house, 2)
    second = house.main
    house.by_hand("churn", 3, "Production")
    house.clock.later(hours=1)
    house.apply(restore=["churn"])

    one, two = (project(house).as_of(commit) for commit in (first, second))
    between = project(house).changed(first, second)

    assert (held(one), held(two)) == ([(1,)], [(2,)])
    applied = [turn.applying for turn in history(house).turns[:2]]
    for found, by in zip((one, two), applied, strict=True):
        assert by is not None
        assert found.notes == (
            f"{by.commit} stands for the end of the apply that applied it, {found.when}: receipt {by.receipt}.",
        )
    assert between.notes == (*one.notes, *two.notes)
    assert len(between.slots) == 1


def test_a_commit_stands_for_the_end_of_its_apply_though_the_next_one_has_a_clock_that_is_behind(house: House) -> None:
    house.push(pins({"Production": 1}))
    first = house.main
    house.apply()
    ended = house.clock.at
    house.push(pins({"Production": 2}))
    house.clock.at = ended - timedelta(minutes=1)
    house.apply()
    house.clock.later(hours=1)

    found = [held(project(house).as_of(commit)) for commit in (first, house.main)]
    between = project(house).changed(first, "now")

    assert found == [[(1,)], [(2,)]]
    assert len(between.slots) == 1


@pytest.mark.parametrize("receipts", [True, False])
def test_a_commit_that_no_receipt_names_stands_for_its_committers_time(house: House, *, receipts: bool) -> None:
    house.receipts = receipts
    promote(house, 1)
    if receipts:
        house.push(pins({"Production": 2}))

    found = project(house).as_of("HEAD")

    assert "HEAD stands for its committer's time" in found.notes[0]
    assert held(found) == ([(1,)] if receipts else [])


def test_commits_whose_moments_are_in_the_wrong_order_are_told_with_what_each_stands_for(promoted: House) -> None:
    house = promoted
    applied = house.main
    with house.clock.ahead(hours=-8):
        house.push(pins({"Production": 2}))
    waiting = house.main

    with pytest.raises(ReconcilerError) as raised:
        project(house).changed(applied, waiting)

    assert f"{applied} stands for the end of the apply that applied it" in raised.value.message
    assert f"{waiting} stands for its committer's time" in raised.value.message
    assert "name times" in raised.value.fix


def test_of_an_apply_that_was_run_again_the_one_that_was_whole_counts(house: House) -> None:
    house.push(pins({"Production": 1, "@champion": 1}))
    house.apply(killed_after=2)
    house.clock.later(hours=1)
    house.apply()

    found = project(house).as_of("HEAD")

    assert [one.certain for one in found.slots] == [True, True]
    assert held(found, "@champion") == [(1,)]


def given_up(house: House) -> None:
    house.register("fraud")
    house.push(pins({}, model="fraud"), files={"manifests/churn.yaml": None})
    house.clock.later(hours=1)
    assert house.apply(allow_empty=True).exit_code == 0


@pytest.mark.parametrize("models", [(), ("churn",)])
def test_what_was_given_up_is_told_as_the_registry_shows_it(promoted: House, models: tuple[str, ...]) -> None:
    house = promoted
    given_up(house)
    house.clock.later(hours=1)
    between = house.clock.stamp
    house.clock.later(hours=1)
    house.by_hand("churn", 2, "Production")
    moved = house.clock.stamp
    house.clock.later(hours=1)

    found = [line for line in lines(history(house, *models)) if line[0] == "Production"]
    now, then, since = (project(house).as_of(when, models) for when in ("now", between, moved))

    assert found == [
        ("Production", "->1", "promote"),
        ("Production", "1>1", "released"),
        ("Production", "1>2", "moved by hand"),
    ]
    assert (held(now), held(since)) == ([(2,)], [(2,)])
    assert (held(then), then.slots[0].why) == ([], "Not governed then: not known.")


@pytest.mark.parametrize("receipts", [True, False])
@pytest.mark.parametrize("slot", ["Staging", "@champion"])
def test_a_slot_that_is_not_declared_anymore_is_not_governed_from_then_on(
    house: House, slot: str, *, receipts: bool
) -> None:
    house.receipts = receipts
    house.push(pins({slot: 1, "Production": 3}))
    assert house.apply().exit_code == 0
    house.clock.later(hours=1)
    house.push(pins({"Production": 3}))
    house.clock.later(hours=1)
    waiting = history(house, slot=slot)
    assert house.apply(force=True).exit_code == 0
    house.clock.later(hours=1)
    between = house.clock.stamp
    house.clock.later(hours=1)
    house.by_hand("churn", 2, slot)
    house.clock.later(hours=1)

    found = history(house, slot=slot)
    (then,) = (one for one in project(house).as_of(between).slots if one.slot == slot)
    now = project(house).as_of("now")

    released = [turn for turn in found.turns if turn.turning.value == "released"]
    assert "released" not in [turn.turning.value for turn in waiting.turns]
    assert [(turn.declaring and turn.declaring.commit, turn.note[:18]) for turn in released] == [
        (house.main, "No longer declared")
    ]
    assert found.turns[-1].after == (2,)
    assert (then.possible, then.why) == ((), "Not governed then: not known.")
    assert held(now, slot) == [(2,)]
    assert "pending" not in [turn.turning.value for turn in found.turns]


def test_a_slot_that_is_declared_again_goes_on(house: House) -> None:
    house.push(pins({"Production": 1, "@champion": 1}))
    house.apply()
    house.push(pins({"Production": 1}))
    house.clock.later(hours=1)
    house.apply(force=True)
    house.by_hand("churn", 2, "@champion")
    house.push(pins({"Production": 1, "@champion": 3}))
    house.clock.later(hours=1)
    house.apply()

    assert lines(history(house, slot="@champion")) == [
        ("@champion", "->1", "promote"),
        ("@champion", "1>-", "vacate"),
        ("@champion", "->-", "released"),
        ("@champion", "2>3", "promote"),
    ]


def by_a_policy(house: House, version: int, policy: str, slots: SlotMap) -> None:
    """Apply what its Production declares, by a policy that says what that is."""
    house.slots = slots
    house.push(pins({"Production": version, "@challenger": 3}), policy=policy)
    house.clock.later(hours=1)
    assert house.apply().exit_code == 0
    house.clock.later(hours=5)


def test_a_stage_is_shown_with_each_alias_that_stands_or_once_stood_for_it(house: House) -> None:
    champion = StageAlias("Production", AliasName("champion"))
    by_a_policy(house, 1, NO_RULES, PLAIN)
    by_a_policy(house, 1, "stages: {Production: champion}\n", SlotMap((champion,)))
    by_a_policy(house, 1, "mode: alias\nstages: {Production: champion}\n", SlotMap((champion,), aliases_only=True))
    by_a_policy(house, 2, "mode: alias\nstages: {Production: champion}\n", SlotMap((champion,), aliases_only=True))
    by_a_policy(house, 2, NO_RULES, PLAIN)

    told = lines(history(house, slot="Production"))
    every = lines(history(house))

    assert ("Production", "->1", "promote") in told
    assert ("@champion", "1>2", "promote") in told
    assert told == [line for line in every if line[0] != "@challenger"]
    assert lines(history(house, slot="@champion")) == [line for line in every if line[0] == "@champion"]
    with pytest.raises(ReconcilerError, match="neither a stage nor an alias"):
        history(house, slot="Canary")


def test_a_stage_of_the_policy_is_known_when_none_stands_for_it_anymore(house: House) -> None:
    house.slots = SlotMap((StageAlias("Canary", AliasName("canary")),))
    house.push(pins({"Canary": 1}), policy="stages: {Canary: canary}\n")
    house.apply()
    house.clock.later(hours=1)
    house.slots = PLAIN
    house.push(pins({"Production": 1}), policy=NO_RULES)
    house.apply(force=True)

    assert lines(history(house, slot="Canary"))[0] == ("@canary", "->1", "promote")


def test_what_was_given_up_and_declared_again_goes_on(promoted: House) -> None:
    house = promoted
    given_up(house)
    house.clock.later(hours=1)
    between = house.clock.stamp
    house.by_hand("churn", 2, "Production")
    house.clock.later(hours=1)
    promote(house, 2)

    found = [turn.turning.value for turn in history(house, "churn").turns]

    assert found == ["promote", "released", "find"]
    assert project(house).as_of("now", ["churn"]).slots[0].certain
    (then,) = project(house).as_of(between, ["churn"]).slots
    assert (then.possible, then.why) == ((), "Not governed then: not known.")


def test_what_was_given_up_and_is_declared_again_is_not_called_ungoverned(promoted: House) -> None:
    house = promoted
    given_up(house)
    house.clock.later(hours=1)
    house.push(pins({"Production": 2}))
    house.clock.later(hours=1)

    (then,) = project(house).as_of("now", ["churn"]).slots

    assert then.why == "Declared again, and not known to have been applied."


def test_who_approved_by_an_empty_commit_did_not_declare(house: House) -> None:
    request = house.request(pins({"Production": 1}), by=ADA)
    house.approve(GRACE, request, signed=True)
    house.merge(request)
    house.clock.later(hours=1)
    assert house.apply().exit_code == 0

    (turn,) = history(house).turns

    assert turn.declaring is not None
    assert turn.declaring.author == str(ADA)


def test_a_merge_without_a_title_is_told_by_what_it_brings_in(house: House) -> None:
    house.push_branch("v2", pins({"Production": 2}), by=ADA)
    git(house.repository.top, "merge", "--quiet", "--no-ff", "--no-edit", "v2")
    assert git(house.repository.top, "log", "-1", "--format=%s").strip() == "Merge branch 'v2'"

    *_, turn = history(house).turns

    assert turn.declaring is not None
    assert (turn.declaring.subject, turn.declaring.author) == ("Mine", str(ADA))


def test_a_shallow_clone_names_no_commit_that_it_does_not_have(house: House) -> None:
    house.receipts = False
    promote(house, 1)
    house.push(pins({}, model="fraud"))
    house.push(pins({}, model="risk"))
    git(house.repository.top, "fetch", "--quiet", "--depth=2", f"file://{house.repository.remote}", "main")

    found = history(house, "churn")

    assert (found.turns[0].after, found.turns[0].declaring and found.turns[0].declaring.commit) == ((1,), "")
    assert declared_by(found.turns[0]).startswith("Declared before 2026-")
    assert any("shallow" in note for note in notes(found.of))


def refused(house: House, slots: dict[str, int]) -> None:
    """What is declared is refused, an hour later."""
    house.push(pins(slots))
    house.clock.later(hours=1)
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.clock.later(hours=1)


def wanted(found: History) -> list[tuple[str, str, str]]:
    """From what to what, how often it was refused, and what became of it, of what did not come in."""

    def said(turn: Turn) -> str:
        return f"{'+'.join(map(str, turn.before or ())) or '-'}>{'+'.join(map(str, turn.after)) or '-'}"

    kept_out = [turn for turn in found.turns if turn.ending is not None]
    return [(said(t), f"{t.refusal.applies if t.refusal else '-'}", t.ending.fate.value) for t in kept_out if t.ending]


def test_what_was_refused_stays_in_the_history_with_what_became_of_it(promoted: House) -> None:
    house = promoted
    house.push(pins({"Staging": 3, "Production": 1}), policy=SOAK)
    assert house.apply().exit_code == 0
    refused(house, {"Production": 2})
    given_up_by = house.push(pins({"Staging": 3, "Production": 1}))
    house.clock.later(hours=1)
    refused(house, {"Production": 3})
    house.clock.later(days=4)
    assert house.apply().exit_code == 0
    house.clock.later(hours=1)
    refused(house, {"Production": 4})

    found = history(house, "churn", slot="Production")

    assert wanted(found) == [("1>2", "1", "given up"), ("1>3", "1", "came in"), ("3>4", "1", "still declared")]
    first, second, third = (turn for turn in found.turns if turn.ending is not None)
    assert first.declaring is not None
    assert first.declaring.author == str(GRACE)
    assert [(said.gate, said.ruling) for said in first.opinions] == [("soak", "fail")]
    assert first.ending is not None
    assert first.ending.declaring is not None
    assert first.ending.declaring.commit == given_up_by
    assert first.ending.at > first.latest > first.declaring.at
    came_in = next(turn for turn in found.turns if turn.happened and turn.after == (3,))
    assert second.ending is not None
    assert (second.ending.applying, second.ending.at) == (came_in.applying, came_in.latest)
    assert {turn.word for turn in (first, second, third)} == {Word.SIGNED if house.signed else Word.RECEIPT}
    assert [turn.turning.value for turn in found.turns][-2:] == ["refused", "pending"]


def test_an_apply_that_refuses_the_same_again_leaves_no_receipt_and_one_of_another_commit_does(promoted: House) -> None:
    house = promoted
    house.push(policy=SOAK)
    refused(house, {"Production": 2})
    before = history(house)
    for _ in range(3):
        house.clock.later(hours=1)
        assert house.apply().exit_code == ExitCode.BLOCKED
    again = history(house)
    house.push(files={"README.md": "Another commit\n"})
    house.clock.later(hours=1)
    house.apply()
    later = history(house)

    assert (before.of.receipts, again.of.receipts, later.of.receipts) == (2, 2, 3)
    assert wanted(before) == wanted(again) == [("1>2", "1", "still declared")]
    assert wanted(later) == [("1>2", "2", "still declared")]
    (turn,) = (turn for turn in later.turns if turn.refusal is not None)
    assert turn.earliest == before.turns[1].earliest < turn.latest
    assert project(house).audit().findings == ()


def test_what_is_refused_for_another_reason_is_told_beside_it(promoted: House) -> None:
    house = promoted
    house.push(policy=SOAK)
    refused(house, {"Production": 2})
    house.push(policy=APPROVALS)
    house.push(files={"README.md": "By the policy of the commit before\n"})
    house.clock.later(hours=1)
    assert house.apply().exit_code == ExitCode.BLOCKED

    found = [turn for turn in history(house).turns if turn.refusal is not None]

    assert [{said.gate for said in turn.opinions if said.refuses} for turn in found] == [
        {"soak"},
        {"soak", "approvals"},
    ]
    assert {turn.ending.fate for turn in found if turn.ending} == {Fate.WAITING}


def test_what_is_refused_for_no_gate_and_what_waits_with_the_rest_is_told_with_the_reason(house: House) -> None:
    house.register("other", 1)
    promote(house, 1)
    house.push(policy=TRIED)
    house.push(pins({"Production": 2, "@fallback": 1}), pins({"Production": 9}, model="other"))
    house.clock.later(hours=1)
    assert house.apply().exit_code == ExitCode.BLOCKED

    found = {(str(turn.model), str(turn.slot)): turn for turn in history(house).turns if turn.refusal is not None}

    assert found.keys() == {("churn", "Production"), ("churn", "@fallback"), ("other", "Production")}
    assert found["churn", "Production"].note == ""
    beside, unknown = found["churn", "@fallback"], found["other", "Production"]
    assert (beside.before, beside.after, beside.opinions) == ((), (1,), ())
    assert beside.note.startswith("The model was left as it was. Production: path: ")
    assert (unknown.before, unknown.after) == ((), (9,))
    assert unknown.note.startswith("The model was left as it was. other has no version 9")


def test_what_slots_held_when_something_was_refused_is_a_source(promoted: House) -> None:
    house = promoted
    house.push(policy=SOAK)
    house.by_hand("churn", 3, "Production")
    house.clock.later(hours=1)
    refused(house, {"Production": 2})
    between = house.clock.stamp
    house.clock.later(hours=5)
    house.by_hand("churn", 1, "Production")
    house.push(pins({"Production": 1}))
    house.clock.later(hours=1)
    house.apply()

    found = history(house)

    assert lines(found)[1:4] == [
        ("Production", "1>3", "moved by hand"),
        ("Production", "3>2", "refused"),
        ("Production", "3>1", "moved by hand"),
    ]
    assert "Seen by the apply of receipt " in found.turns[1].note
    assert found.turns[1].latest < between
    early = project(house).as_of(after(found.turns[2].latest, 1))
    assert (3,) in held(early)


def test_the_slots_of_what_is_refused_are_in_its_receipt_and_those_of_others_are_as_they_were(house: House) -> None:
    house.register("other", 1)
    promote(house, 1)
    house.push(policy=SOAK)
    house.push(pins({"Production": 2, "@new": 2}), pins({"@best": 1}, model="other"))
    house.clock.later(hours=1)
    done = house.apply()

    assert done.receipt is not None
    blocked, applied = receipt_document(done.receipt)["models"]
    assert blocked["status"] == "blocked"
    assert blocked.get("slots") == [
        {"slot": "@new", "before": [], "after": []},
        {"slot": "Production", "before": [1], "after": [1]},
    ]
    assert not {"read_back", "versions", "entrances"} & blocked.keys()
    assert applied["status"] == "applied"


def test_what_was_declared_and_given_up_before_any_apply_was_not_applied_by_the_word_of_git(promoted: House) -> None:
    house = promoted
    house.push(pins({"Production": 2}))
    declared_by = house.main
    house.clock.later(hours=1)
    given_up_by = house.push(pins({"Production": 1}))
    house.clock.later(hours=1)
    by_the_registry = history(house)
    promote(house, 3)

    for found in (by_the_registry, history(house)):
        (turn,) = (turn for turn in found.turns if turn.turning is Turning.NOT_APPLIED)
        assert (turn.before, turn.after, turn.word, turn.happened) == ((1,), (2,), Word.GIT, False)
        assert turn.declaring is not None
        assert turn.ending is not None
        assert turn.ending.declaring is not None
        assert (turn.declaring.commit, turn.ending.declaring.commit) == (declared_by, given_up_by)


def test_a_refusal_follows_a_model_through_its_names(promoted: House) -> None:
    house = promoted
    house.push(policy=SOAK)
    refused(house, {"Production": 2})
    house.push(pins({"Production": 1}))
    rename(house, 1, by_plan=True)
    assert house.apply().exit_code == 0
    house.clock.later(hours=1)

    assert wanted(history(house, "attrition")) == [("1>2", "1", "given up")]


def test_a_commit_does_not_stand_for_the_apply_that_refused_all_of_it(promoted: House) -> None:
    house = promoted
    house.push(pins({"Staging": 3, "Production": 1}), policy=SOAK)
    house.apply()
    refused(house, {"Production": 3})
    assert "committer's time" in project(house).as_of("HEAD").notes[0]
    house.clock.later(days=4)
    house.apply()

    assert held(project(house).as_of("HEAD")) == [(3,)]


def test_what_may_not_be_given_up_is_not_told_as_released(house: House) -> None:
    house.register("fraud")
    house.push(pins({"Production": 1, "Staging": 2}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(hours=1)
    house.push(policy=APPROVALS)
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(hours=1)
    house.push(pins({}, model="fraud"), files={"manifests/churn.yaml": None})
    house.clock.later(hours=1)
    assert house.apply(allow_empty=True).exit_code == ExitCode.BLOCKED
    house.clock.later(hours=1)

    found, now = history(house, "churn"), project(house).as_of("now", ("churn",))

    assert {turn.turning.value for turn in found.turns} == {"promote"}
    assert (held(now), held(now, "Staging")) == ([(1,)], [(2,)])


def test_what_an_apply_refused_makes_nothing_less_certain_and_what_waits_for_one_does(house: House) -> None:
    house.push(pins({"Staging": 3, "Production": 1}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(hours=1)
    house.push(policy=SOAK)
    refused(house, {"Production": 2})
    commit = house.main
    then = project(house).as_of("now")
    house.push(pins({"Production": 4}))
    house.clock.later(minutes=30)
    waiting = project(house).as_of("now")

    receipt = next(turn.applying.receipt for turn in history(house).turns if turn.refusal and turn.applying)
    assert [(one.slot, held(then, one.slot), one.certain, one.differences) for one in then.slots] == [
        ("Production", [(1,)], True, ()),
        ("Staging", [(3,)], True, ()),
    ]
    assert [one.explained for one in then.slots] == [
        (f"git declared v2 (commit {commit[:12]}): receipt {receipt} says that it was refused",),
        (f"git did not declare the slot: receipt {receipt} says that it was refused",),
    ]
    (production, _) = waiting.slots
    assert (production.certain, production.explained) == (False, ())
    assert production.differences == (f"git declared v4 (commit {house.main[:12]})",)


def test_what_was_moved_by_hand_is_certain_once_it_was_seen_there_whatever_git_declared(house: House) -> None:
    promote(house, 1)
    house.by_hand("churn", 2, "Production")
    house.clock.later(hours=1)
    between = house.clock.stamp
    house.clock.later(hours=1)
    by_mlflow = project(house).as_of(between)
    house.push(pins({"Production": 3}))
    house.clock.later(minutes=1)
    declared_since = project(house).as_of("now")

    assert (held(by_mlflow), by_mlflow.slots[0].certain) == ([(2,)], True)
    assert by_mlflow.slots[0].explained[0].endswith(": somebody moved it by hand")
    assert (held(declared_since), declared_since.slots[0].certain) == ([(2,)], False)


def test_the_stage_that_a_version_left_was_left_when_mlflow_saw_it_elsewhere(house: House) -> None:
    house.push(pins({"Staging": 2, "Production": 1}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(hours=1)
    house.by_hand("churn", 2, "Production")
    moved = house.clock.stamp
    house.clock.later(hours=1)
    between = house.clock.stamp
    house.clock.later(hours=1)

    found = [turn for turn in history(house).turns if turn.turning is Turning.BY_HAND]
    now = project(house).as_of(between)

    assert [(turn.slot, turn.after, turn.latest) for turn in found] == [
        ("Production", (2,), moved),
        ("Staging", (), moved),
    ]
    assert (held(now), held(now, "Staging")) == ([(2,)], [()])


def test_what_was_moved_by_hand_is_drifted_though_an_apply_refused_to_put_it_back(house: House) -> None:
    promote(house, 1)
    house.push(policy=SOAK)
    house.push(files={"README.md": "By the policy of the commit before\n"})
    house.by_hand("churn", 2, "Production")
    house.clock.later(hours=1)
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.clock.later(hours=1)

    assert [line[2] for line in lines(history(house))] == ["promote", "moved by hand", "refused", "drifted"]


def test_what_waits_with_the_rest_of_its_model_is_pending_with_the_receipt_that_says_why(house: House) -> None:
    promote(house, 1)
    house.push(policy=SOAK)
    refused(house, {"Production": 2, "@fallback": 1})

    found = [turn for turn in history(house).turns if turn.turning is Turning.PENDING]

    receipt = next(turn.applying.receipt for turn in history(house).turns if turn.refusal and turn.applying)
    assert [(str(turn.slot), turn.note) for turn in found] == [
        ("@fallback", f"Declared, and not there: the model was left as it was, and receipt {receipt} says why."),
        ("Production", f"Declared, and not there: gates refused it, as receipt {receipt} says."),
    ]


def test_what_a_refusal_says_is_in_the_receipt_that_is_named_for_it(house: House) -> None:
    house.push(pins({"Staging": 2, "Production": 1}), policy=NO_RULES)
    assert house.apply().exit_code == ExitCode.OK
    house.push(policy=SOAK)
    refused(house, {"Production": 2})
    (first,) = (turn for turn in history(house).turns if turn.refusal)
    house.push(files={"README.md": "Another commit\n"})
    house.clock.later(hours=20)
    assert house.apply().exit_code == ExitCode.BLOCKED

    (turn,) = (turn for turn in history(house).turns if turn.refusal)
    (pending,) = (turn for turn in history(house).turns if turn.turning is Turning.PENDING)

    assert turn.refusal is not None
    assert turn.refusal.applies == 2
    assert (turn.applying, turn.opinions) == (first.applying, first.opinions)
    assert pending.opinions != first.opinions
    assert "1 day" not in first.opinions[0].sentence


def test_a_move_by_hand_is_told_behind_what_was_before_it_was_seen(house: House) -> None:
    house.push(pins({"Production": 1, "@champion": 1, "Staging": 2}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(hours=1)
    house.push(pins({"Production": 1, "@champion": 1}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(hours=1)
    house.by_hand("churn", 3, "@champion")
    house.clock.later(hours=1)

    found = [turn for turn in history(house).turns if not turn.of_now]

    assert [turn.turning.value for turn in found[-3:]] == ["vacate", "released", "moved by hand"]
    assert [turn.latest for turn in found] == sorted(turn.latest for turn in found)


def test_nobody_else_is_said_to_have_written_what_waits_in_a_fresh_clone_for_its_place(house: House) -> None:
    promote(house, 1)
    for ref in ("receipts", "receipts-seen"):
        git(house.repository.top, "update-ref", "-d", f"refs/reconciler/{ref}")
    house.push(pins({"Production": 2}))
    house.repository.remote.rename(house.repository.remote.with_name("away"))
    house.apply()
    house.repository.remote.with_name("away").rename(house.repository.remote)

    found = {finding.flaw.value: finding.sentence for finding in project(house).audit().findings}

    assert found.keys() == ({"unsigned", "unpushed"} if house.signed else {"unpushed"})
    assert "is not signed for this place: `reconciler audit --push` signs it" in found.get("unsigned", "") or (
        not house.signed
    )


def test_the_record_of_where_a_version_went_tells_how_it_left_a_stage(house: House) -> None:
    house.push(pins({"Production": 1, "Staging": 2}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(hours=1)
    house.receipts = False
    house.push(pins({"Production": 1, "Staging": "[]"}))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(hours=1)
    house.receipts = True

    *_, turn = history(house, slot="Staging").turns

    assert (turn.before, turn.after, turn.turning, turn.word) == ((2,), (), Turning.VACATE, Word.RECORD)
    assert turn.declaring is not None
    assert (turn.declaring.commit, turn.exact) == (house.main, True)
