"""What is copied from another model has that one's word, and nobody else's: not where it only seems to be a copy."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from reconciler.core.changes import RegisterVersion
from reconciler.core.gate import Ruling
from reconciler.core.names import ModelRef, Version
from reconciler.core.snapshot import ModelSnapshot, VersionSnapshot
from reconciler.errors import ExitCode
from tests.house import GRACE, MALLORY, House, Trigger
from tests.house.scenes import APPROVALS, SLOTS, at_least, copy_of, environments, pins, promote_copy

PATH = """\
slots:
- slot: [Production, "@champion*"]
  models: ["prod.*"]
  gates:
  - path: {from: Staging, model: staging.risk}
"""
CHECK = """\
checks:
  bias: {command: ["true"]}
slots:
- slot: Production
  models: ["prod.*"]
  gates:
  - check: {name: bias}
"""
SOAK = """\
slots:
- slot: Production
  models: ["prod.*"]
  gates:
  - soak: {stage: "@challenger", model: staging.risk, for: 3d}
"""


def meanwhile(house: House, act: Callable[[], None]) -> None:
    """Somebody does something in the moment in which a version has been copied."""
    copied = house.registry.copied

    def copy(change: RegisterVersion) -> None:
        copied(change)
        house.registry.copied = copied
        act()

    house.registry.copied = copy


def registered_again(house: House, *, run: str = "") -> None:
    """staging.risk is deleted and registered again, with as many versions."""
    runs = [version.run_id for _, version in sorted(house.registry.models[ModelRef("staging.risk")].versions.items())]
    house.delete_model("staging.risk")
    for before in runs:
        house.register("staging.risk", run=run or before)
    house.by_hand("staging.risk", len(runs), "Staging")


def refused(house: House, slot: str = "Production") -> str:
    """What an apply says that must not bring the copy in."""
    done = house.apply()
    assert done.exit_code != ExitCode.OK, done.message
    assert house.in_slot("prod.risk", slot) == (1,)
    return done.message


@SLOTS
@pytest.mark.parametrize("gate", ["path", "soak", "metric", "check", "approvals"])
def test_what_a_gate_refuses_of_an_original_is_not_even_copied(house: House, slot: str, gate: str) -> None:
    environments(house, slot)
    if gate in {"path", "soak"}:
        house.by_hand("staging.risk", 2, "Archived" if gate == "path" else "Staging")
    elif gate == "metric":
        house.register("staging.risk", f1=0.5)
        house.by_hand("staging.risk", 3, "Staging")
    elif gate == "check":
        house.check("staging.risk", 2, "bias", passed=False)
    if gate == "approvals":
        house.merge(pins({slot: copy_of(2)}, model="prod.risk"))
    else:
        promote_copy(house, slot, 3 if gate == "metric" else 2)

    said = refused(house, slot)

    assert f": {gate}: " in said
    assert house.versions_of("prod.risk") == [1]


def test_an_approval_of_the_original_is_none_of_its_copy(house: House) -> None:
    environments(house, policy=APPROVALS)
    house.merge(pins({"Staging": 2, "@champion": 2}, model="staging.risk"), approved_by=[GRACE])
    house.merge(pins({"Production": copy_of(2)}, model="prod.risk"))

    assert ": approvals: " in refused(house)


def test_an_approval_from_before_the_original_was_registered_again_is_of_another_one(house: House) -> None:
    environments(house, policy=APPROVALS)
    promote_copy(house)
    registered_again(house)

    assert ": approvals: " in refused(house)


def test_a_review_of_a_copy_is_of_this_original_alone(house: House) -> None:
    environments(house, policy=at_least(0.6))
    house.merge(pins({"Production": copy_of(2)}, model="prod.risk"))
    reviewed = house.plan()
    registered_again(house)

    done = house.apply(reviewed=reviewed)

    assert (reviewed.exit_code, done.exit_code) == (ExitCode.OK, ExitCode.STALE)
    assert house.versions_of("prod.risk") == [1]


def test_what_became_another_original_while_it_was_copied_does_not_enter(house: House) -> None:
    environments(house)
    promote_copy(house)
    meanwhile(house, lambda: registered_again(house))

    assert "changed while it was copied" in refused(house)
    assert house.versions_of("prod.risk") == [1, 2]


def test_a_copy_that_got_another_number_than_was_planned_is_moved_nowhere(house: House) -> None:
    environments(house)
    promote_copy(house)

    def renumber() -> None:
        live = house.registry.models[ModelRef("prod.risk")]
        copy = replace(live.versions[Version(2)], version=Version(3))
        house.registry.models[live.name] = replace(
            live, versions={Version(1): live.versions[Version(1)], copy.version: copy}
        )

    meanwhile(house, renumber)

    assert "It was copied, but not under the number that was planned" in refused(house)


@SLOTS
def test_gates_are_asked_again_about_the_copy_that_is_there(house: House, slot: str) -> None:
    environments(house, slot)
    promote_copy(house, slot)
    meanwhile(house, lambda: house.runs.delete_run("prod.risk", 2))

    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED, done.message
    assert "v2 was copied and moved nowhere" in done.message
    assert house.in_slot("prod.risk", slot) == (1,)
    assert house.versions_of("prod.risk") == [1, 2]
    assert house.apply(Trigger.SCHEDULE).exit_code == ExitCode.BLOCKED


@SLOTS
@pytest.mark.parametrize("owner", [True, False], ids=["and on its model", "alone"])
def test_records_that_somebody_writes_on_a_fresh_copy_let_it_in_no_easier(
    plain_house: House, slot: str, owner: bool
) -> None:
    house = plain_house
    environments(house, slot)
    promote_copy(house, slot)

    def forge() -> None:
        house.runs.delete_run("prod.risk", 2)
        house.forge_record("prod.risk", 2, slot, house.main, before="", like_ours=True)
        if owner:
            house.point_owner_record_at("prod.risk", house.main)

    meanwhile(house, forge)

    assert "prod.risk" in refused(house, slot)
    assert house.apply(Trigger.SCHEDULE).exit_code == ExitCode.BLOCKED


def test_a_fresh_copy_that_somebody_moved_in_does_not_stay_unsaid(house: House) -> None:
    environments(house)
    promote_copy(house)
    meanwhile(house, lambda: house.by_hand("prod.risk", 2, "Production"))

    done = house.apply()

    assert done.exit_code != ExitCode.OK


@SLOTS
def test_a_version_of_another_run_is_no_copy(house: House, slot: str) -> None:
    environments(house, slot, PATH)
    house.copy_by_hand("staging.risk", 2, "prod.risk", run_id="f" * 32)
    house.merge(pins({slot: 2}, model="prod.risk"))

    assert ": path: " in refused(house, slot)


@SLOTS
@pytest.mark.parametrize("by", ["number", "origin"])
def test_a_copy_of_a_model_that_has_another_ones_name_now_is_no_copy(house: House, slot: str, by: str) -> None:
    environments(house, slot, PATH)
    run = house.registry.models[ModelRef("staging.risk")].versions[2].run_id  # pyright: ignore[reportArgumentType]
    house.register("evil", 2, run=run)
    house.rename_model("staging.risk", "aside")
    house.rename_model("evil", "staging.risk")
    house.copy_by_hand("staging.risk", 2, "prod.risk")
    house.rename_model("staging.risk", "evil")
    house.rename_model("aside", "staging.risk")
    house.merge(pins({slot: 2 if by == "number" else copy_of(2)}, model="prod.risk"))

    assert "has other files than v2 of staging.risk" in refused(house, slot)


def test_a_version_that_was_never_copied_says_what_to_declare(house: House) -> None:
    environments(house, policy=PATH)
    house.register("prod.risk")
    house.merge(pins({"Production": 2}, model="prod.risk"))

    assert "v2 was not copied from staging.risk; declare a version of it instead" in refused(house)


def test_a_copy_of_a_copy_of_a_copy_is_not_followed_for_ever(house: House) -> None:
    environments(house, policy=PATH)
    for number in range(1, 6):
        house.copy_by_hand("staging.risk" if number == 1 else f"m{number - 1}", 2 if number == 1 else 1, f"m{number}")
    promote_copy(house, version=1)
    house.merge(pins({"Production": copy_of(1, "m5")}, model="prod.risk"))

    assert "only 4 copies of copies are followed" in refused(house)


@pytest.mark.parametrize("forged", ["unsigned", "of other files", "of one before", "failed since"])
def test_a_record_on_an_original_counts_only_for_what_it_is_of(house: House, forged: str) -> None:
    environments(house, policy=CHECK)
    key = ModelRef("staging.risk"), 2
    if forged == "unsigned":
        house.files.records.clear()
        house.check("staging.risk", 2, "bias", signed=False)
    elif forged == "of other files":
        house.files.digests[key] = "sha256:other"
    elif forged == "of one before":
        house.clock.later(hours=1)
        digest = house.files.known(*key)  # pyright: ignore[reportArgumentType]  # a number
        registered_again(house)
        house.files.digests[key] = digest
    else:
        house.check("staging.risk", 2, "bias", passed=False, signed=False)
    promote_copy(house)

    assert ": check: " in refused(house)


def test_a_record_that_somebody_puts_on_a_copy_is_not_its_originals(house: House) -> None:
    environments(house, policy=CHECK.replace("{name: bias}", "{name: bias, signed: true}"))
    house.files.records.clear()
    house.copy_by_hand("staging.risk", 2, "prod.risk")
    house.check("prod.risk", 2, "bias", signed=False)
    promote_copy(house)

    assert ": check: " in refused(house)


def test_a_soak_behind_an_alias_rests_on_records_of_ours_alone(house: House) -> None:
    environments(house, policy=SOAK)
    house.by_hand("staging.risk", 2, "@challenger")
    house.forge_record("staging.risk", 2, "@challenger", "f" * 40)
    promote_copy(house)

    assert ": soak: " in refused(house)


def test_the_record_of_another_repository_is_none(house: House) -> None:
    environments(house, policy=SOAK)
    house.merge(pins({"Staging": 2, "@challenger": 2}, model="staging.risk"))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=4)
    live = house.registry.models[ModelRef("staging.risk")]
    house.registry.models[live.name] = replace(live, versions={v: theirs(one) for v, one in live.versions.items()})
    promote_copy(house)

    assert ": soak: " in refused(house)


def theirs(version: VersionSnapshot) -> VersionSnapshot:
    """A version as another repository would have recorded it."""
    records = {slot: replace(record, repository="acme.example/others#m") for slot, record in version.provenance.items()}  # pyright: ignore[reportArgumentType]
    return replace(version, provenance=records)


@pytest.mark.parametrize("there", [True, False], ids=["of a model that is there", "of a model that is not"])
def test_a_copy_that_waits_is_judged_by_the_rules_that_it_was_declared_under(house: House, there: bool) -> None:
    """Whoever has a copy refused, and then the rule loosened, gets it in by declaring it again alone."""
    house.register("staging.risk", 1)
    house.begin(at_least(0.9), pins({}, model="prod.risk" if there else "other"))
    house.merge(pins({"Production": copy_of(1)}, model="prod.risk", owners=[]))
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.merge(policy=at_least(0.1))
    assert house.apply().exit_code == ExitCode.BLOCKED
    for number in range(3):
        house.merge(pins({}, model="other", also=f"description: Edit {number}\n"))

    done = house.apply()

    assert done.exit_code == ExitCode.BLOCKED
    assert house.versions_of("prod.risk") == []


def test_a_rule_that_a_tag_of_a_new_model_puts_it_under_holds_for_its_first_copy(house: House) -> None:
    house.register("staging.risk", 1)
    tagged = at_least(0.9).replace("  gates:", "  tags: {tier: gold}\n  gates:")
    house.begin(tagged, pins({}, model="other"))
    house.merge(pins({"Production": copy_of(1)}, model="prod.risk", also="tags: {tier: gold}\n"))

    done = house.apply()

    assert done.noes(model="prod.risk") == {"metric"}
    assert house.versions_of("prod.risk") == []


def test_a_held_original_is_not_copied_past_its_hold(house: House) -> None:
    environments(house)
    hold = 'hold: [{version: 2, reason: "It leaks personal data."}]\n'
    house.merge(pins({"Staging": 2}, model="staging.risk", also=hold))
    house.apply()
    promote_copy(house)

    assert "on hold" in refused(house)
    house.merge(pins({"Production": 1}, model="prod.risk"))
    house.apply()
    lifted, copied = pins({"Staging": 2}, model="staging.risk"), pins({"Production": copy_of(2)}, model="prod.risk")
    house.merge(lifted, copied, approved_by=[GRACE])

    assert "on hold" in refused(house), "no change lifts the hold that it needs lifted"
    assert house.versions_of("prod.risk") == [1]


HELD = 'hold: [{version: 2, reason: "It leaks personal data"}]\n'


def test_a_hold_is_on_copies_of_copies_too(house: House) -> None:
    environments(house)
    house.copy_by_hand("staging.risk", 2, "canary.risk")
    house.merge(pins({"Staging": 2}, model="staging.risk", also=HELD))
    house.apply()
    house.merge(pins({"Production": copy_of(1, "canary.risk")}, model="prod.risk"), approved_by=[GRACE])

    said = refused(house)

    assert "a copy of v2 of staging.risk, is on hold for Production: It leaks personal data." in said


def test_no_more_copies_are_made_than_a_hold_is_followed_through(house: House) -> None:
    environments(house, policy="")
    for number in range(1, 6):
        house.copy_by_hand("staging.risk" if number == 1 else f"m{number - 1}", 2 if number == 1 else 1, f"m{number}")
    house.merge(pins({"Staging": 2}, model="staging.risk", also=HELD))
    house.apply()
    house.merge(pins({"Production": copy_of(1, "m5")}, model="prod.risk"))

    assert "so it is not known whether an original of v2 is on hold" in refused(house)


@pytest.mark.parametrize("number", [1, 2], ids=["a copy of it", "a copy of its copy"])
def test_a_hold_is_on_the_copies_of_a_model_that_was_renamed(house: House, number: int) -> None:
    environments(house, policy="")
    house.copy_by_hand("staging.risk", 2, "prod.risk")
    house.copy_by_hand("prod.risk", 2, "prod.risk")
    house.merge(
        pins({"Staging": 2}, model="candidates.risk", also=f"formerly: staging.risk\n{HELD}"),
        files={"manifests/staging.risk.yaml": None},
    )
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({"Production": 1 + number}, model="prod.risk"))

    assert "a copy of v2 of candidates.risk, is on hold" in refused(house)


@pytest.mark.parametrize("signed_then", [True, False], ids=["it passed then", "nothing says that it passed then"])
def test_a_lost_original_is_missing_data_only_where_a_record_says_that_the_check_passed(
    house: House, signed_then: bool
) -> None:
    environments(house, policy=CHECK if signed_then else "")
    house.merge(pins({"Production": copy_of(2)}, model="prod.risk"))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({"Production": 1}, model="prod.risk"))
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({}, model="staging.risk"), policy=CHECK)
    house.delete_model("staging.risk")
    house.merge(pins({"Production": 2}, model="prod.risk"))
    done = house.apply()

    assert (done.exit_code == ExitCode.OK) is signed_then, done.message
    assert signed_then or "and v2 of staging.risk, its original, is not there anymore" in done.message


def test_two_applies_at_once_do_not_undo_each_other(house: House) -> None:
    environments(house)
    promote_copy(house)

    def by_the_other() -> None:
        house.registry.models[ModelRef("prod.risk")] = second(house.registry.models[ModelRef("prod.risk")])

    meanwhile(house, by_the_other)
    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert house.in_slot("prod.risk") == (2,)
    assert set(done.rulings(model="prod.risk").values()) == {Ruling.PASS}


def test_the_copy_that_another_apply_made_is_asked_about_itself_too(house: House) -> None:
    environments(house)
    promote_copy(house)

    def by_the_other() -> None:
        house.copy_by_hand("staging.risk", 2, "prod.risk")
        house.runs.delete_run("prod.risk", 2)

    house.at_read("prod.risk", 2, by_the_other)

    assert "v2 was copied and moved nowhere" in refused(house)


def second(live: ModelSnapshot) -> ModelSnapshot:
    """A model with the copy that another apply made of the same version."""
    newest = max(live.versions)
    copy = replace(live.versions[newest], version=newest + 1)  # pyright: ignore[reportArgumentType]  # a number
    return replace(live, versions={**live.versions, copy.version: copy})


def impostor(house: House, policy: str, slot: str = "Staging") -> None:
    """evil.risk has been in a slot for as long as staging.risk, and a copy of staging.risk's v2 is declared."""
    house.register("evil.risk", 2)
    house.by_hand("evil.risk", 2, slot)
    environments(house, policy=policy)
    house.merge(pins({slot: 2}, model="evil.risk"))
    house.apply()
    house.clock.later(days=5)
    promote_copy(house)


def trade_names(house: House) -> None:
    # Clocks may differ by less.
    house.clock.later(minutes=10)
    house.rename_model("staging.risk", "staging.old")
    house.rename_model("evil.risk", "staging.risk")


@pytest.mark.parametrize(
    ("policy", "slot"),
    [
        (APPROVALS, "Staging"),
        (PATH, "Staging"),
        (SOAK.replace("@challenger", "Staging"), "Staging"),
        (SOAK, "@challenger"),
    ],
    ids=["approvals", "path", "soak", "soak behind an alias"],
)
@pytest.mark.parametrize("pinned", [False, True], ids=["by its number", "by its run too"])
def test_what_takes_an_originals_name_has_none_of_its_word(house: House, policy: str, slot: str, pinned: bool) -> None:
    impostor(house, policy, slot)
    if pinned:
        house.merge(pins({"Production": pinned_copy(house)}, model="prod.risk"), approved_by=[GRACE])
    trade_names(house)

    said = refused(house)

    assert house.versions_of("prod.risk") == [1]
    assert pinned or any(f": {gate}: " in said for gate in ("approvals", "path", "soak"))


def pinned_copy(house: House) -> str:
    run = house.registry.models[ModelRef("staging.risk")].versions[Version(2)].run_id
    return f"{{from: {{model: staging.risk, version: 2, run_id: {run}}}}}"


def test_an_approval_from_before_an_original_was_renamed_says_to_pin_its_run(house: House) -> None:
    impostor(house, APPROVALS)
    trade_names(house)

    said = refused(house)

    assert "since v2 of staging.risk was moved, edited or renamed after" in said
    assert "with its run pinned (`run_id` in `from`)" in said


@SLOTS
def test_with_its_run_pinned_an_original_may_change_after_the_approval(house: House, slot: str) -> None:
    environments(house, slot, APPROVALS)
    house.merge(pins({slot: pinned_copy(house)}, model="prod.risk"), approved_by=[GRACE])
    house.by_hand("staging.risk", 2, "Archived")

    done = house.apply()

    assert done.exit_code == ExitCode.OK, f"{done.message}\n{done.sentences(slot, 'prod.risk')}"
    assert house.in_slot("prod.risk", slot) == (2,)
    assert house.apply(Trigger.SCHEDULE).exit_code == ExitCode.OK


def test_what_is_copied_of_a_pinned_run_is_of_no_other_one(house: House) -> None:
    environments(house, policy="")
    house.merge(pins({"Production": copy_of(2).replace("2}", f"2, run_id: {'e' * 32}}}")}, model="prod.risk"))

    assert "is of another run" in refused(house)
    assert house.versions_of("prod.risk") == [1]


# Originals in models that are read without their versions, because our record on them says that they are ours.


def recorded_as_ours(house: House, model: str) -> None:
    """Somebody writes our record on a model that no manifest declares."""
    house.put_owner_record(model, replace(house.owner_record("prod.risk"), model=ModelRef(model)))


@pytest.mark.parametrize("how", ["released by the change", "somebody wrote our record"])
def test_a_check_that_failed_on_an_original_is_not_lost_with_its_manifest(signing_house: House, how: str) -> None:
    house = signing_house
    environments(house, policy=CHECK)
    for pin in (copy_of(2), 1):
        house.merge(pins({"Production": pin}, model="prod.risk"))
        assert house.apply().exit_code == ExitCode.OK
    house.check("staging.risk", 2, "bias", passed=False)
    gone = {"manifests/staging.risk.yaml": None}
    if how == "somebody wrote our record":
        house.merge(files=gone)
        assert house.apply().exit_code == ExitCode.OK
        recorded_as_ours(house, "staging.risk")
        gone = {}

    house.merge(pins({"Production": 2}, model="prod.risk"), files=gone, by=MALLORY)

    assert ": check: " in refused(house)


def test_a_hold_is_followed_through_a_model_that_somebody_wrote_our_record_on(signing_house: House) -> None:
    house = signing_house
    environments(house, policy="")
    house.copy_by_hand("staging.risk", 2, "canary.risk")
    house.copy_by_hand("canary.risk", 1, "prod.risk")
    held = 'hold: [{version: 2, reason: "It leaks personal data."}]\n'
    house.merge(pins({"Staging": 2}, model="staging.risk", also=held))
    assert house.apply().exit_code == ExitCode.OK

    recorded_as_ours(house, "canary.risk")
    house.merge(pins({"Production": 2}, model="prod.risk"), by=MALLORY)

    assert "is on hold" in refused(house)


def test_a_target_does_not_hide_the_originals_of_what_is_planned(signing_house: House) -> None:
    house = signing_house
    environments(house, policy=CHECK)
    house.merge(pins({"Production": copy_of(2)}, model="prod.risk"))
    house.check("staging.risk", 2, "bias", passed=False)

    done = house.apply(targets=["prod.risk"])

    assert done.noes(model="prod.risk") == {"check"}
    assert "failed" in done.sentences(model="prod.risk")
