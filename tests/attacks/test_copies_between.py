"""
What is copied from another registry has its original's word, as far as their files are the same: not because a tag says
so, which whoever writes to prod can write.
"""

from dataclasses import replace

import pytest

from reconciler.core.gate import CheckFacts, Ruling
from reconciler.core.names import ModelRef, Version
from reconciler.core.signature import Column, Scalar, Signature
from reconciler.errors import ExitCode
from reconciler.project import validate
from tests.house import GRACE, House, Trigger
from tests.house.mlflow import SIGNATURE
from tests.house.neighbors import attribute
from tests.house.scenes import APPROVALS, REGISTRIES, SLOTS, between, from_dev, pins, promote_from_dev

RISK = ModelRef("risk")
NO_RULES = ""
METRIC = "slots:\n- {slot: [Production, '@champion'], registries: prod, gates: [metric: {name: f1, threshold: 0.7}]}\n"
PATH = METRIC.replace("metric: {name: f1, threshold: 0.7}", "path: {from: Staging, model: risk, registry: dev}")


def refused(house: House, slot: str = "Production") -> str:
    """What an apply says that must not bring a copy in."""
    done = house.apply()
    assert done.exit_code != ExitCode.OK, done.message
    assert house.in_slot("risk", slot) == (1,)
    return done.message


def altered(house: House, version: int, f1: float) -> None:
    """Somebody alters a figure of a version's run in prod."""
    key = RISK, Version(version)
    facts = house.runs.facts[key]
    house.runs.facts[key] = replace(facts, metrics=(replace(facts.metrics[0], value=f1),))


def untag(house: House, version: int) -> None:
    """Somebody removes what says that a version is a copy."""
    house.registry.put("risk", replace(house.registry.models[RISK].versions[Version(version)], attribution=None))


@SLOTS
@pytest.mark.parametrize("gate", ["path", "soak", "metric", "check", "approvals"])
def test_what_a_gate_refuses_of_an_original_is_not_even_copied(house: House, slot: str, gate: str) -> None:
    dev = between(house, slot)
    if gate in {"path", "soak"}:
        dev.by_hand("risk", 2, "Archived" if gate == "path" else "Staging")
    elif gate == "metric":
        dev.register("risk", f1=0.5)
        dev.by_hand("risk", 3, "Staging")
    elif gate == "check":
        dev.check("risk", 2, "bias", passed=False)
    if gate == "approvals":
        house.merge(pins({slot: from_dev(2)}, model="risk"))
    else:
        promote_from_dev(house, slot, 3 if gate == "metric" else 2)

    assert f": {gate}: " in refused(house, slot)
    assert house.versions_of("risk") == [1]


@SLOTS
@pytest.mark.parametrize("by", ["number", "origin"])
def test_figures_that_somebody_altered_in_the_copied_run_count_for_nothing(house: House, slot: str, by: str) -> None:
    between(house, slot, METRIC)
    house.merge(pins({slot: 1, "None": from_dev(2)}, model="risk"))
    assert house.apply().exit_code == ExitCode.OK
    altered(house, 2, 0.99)
    house.merge(pins({slot: 2 if by == "number" else from_dev(2)}, model="risk"))

    assert "f1 on holdout is 0.64" in refused(house, slot)


@pytest.mark.parametrize("slot", ["Production"])
def test_the_incumbents_figures_are_its_originals_too(house: House, slot: str) -> None:
    better = METRIC.replace("threshold: 0.7", "min-absolute-change: 0.01")
    dev = between(house, slot, better)
    dev.register("risk", f1=0.635)
    promote_from_dev(house, slot)
    assert house.apply().exit_code == ExitCode.OK
    altered(house, 2, 0.1)
    promote_from_dev(house, slot, 3)

    done = house.apply()

    assert done.noes(slot, "risk") == {"metric"}, done.message
    assert house.in_slot("risk", slot) == (2,)


@pytest.mark.parametrize("slot", ["Production"])
@pytest.mark.parametrize("policy", [NO_RULES, METRIC.replace("0.7", "0.1"), PATH], ids=["no gate", "metric", "path"])
@pytest.mark.parametrize("by", ["number", "origin"])
def test_a_tag_alone_makes_no_copy(house: House, slot: str, policy: str, by: str) -> None:
    dev = between(house, slot, policy)
    house.register("risk", f1=0.9)
    attribute(house, "risk", 2, dev, "risk", 2, files=False)
    house.merge(pins({slot: 2 if by == "number" else from_dev(2)}, model="risk"))
    if by == "number" and policy != PATH:
        # Then it is a version like any other, and nothing rests on what its tag says.
        assert house.apply().exit_code == ExitCode.OK
        return

    said = refused(house, slot)

    assert "v2 of risk does not have the files of v2 of dev/risk, although its tag says so" in said
    assert house.versions_of("risk") == [1, 2]
    if by == "number":
        return
    assert "Remove the tag `reconciler.original` of v2, and it is copied anew." in said
    untag(house, 2)
    assert house.apply().exit_code == ExitCode.OK
    assert house.in_slot("risk", slot) == (3,)


@SLOTS
@pytest.mark.parametrize("why", ["down", "gone"])
def test_a_tag_alone_makes_no_copy_while_its_original_cannot_be_asked_about(house: House, slot: str, why: str) -> None:
    dev = between(house, slot, NO_RULES)
    house.register("risk", f1=0.9)
    attribute(house, "risk", 2, dev, "risk", 2, files=False)
    promote_from_dev(house, slot)
    if why == "down":
        dev.is_down = True
    else:
        dev.delete_model("risk")

    said = refused(house, slot)

    assert "is down" in said if why == "down" else "There is no v2 of risk" in said


@SLOTS
def test_what_somebody_else_copied_is_not_taken_for_a_copy_of_ours(house: House, slot: str) -> None:
    dev = between(house, slot, NO_RULES)
    house.register("risk", f1=0.64)
    attribute(house, "risk", 2, dev, "risk", 2)
    promote_from_dev(house, slot)

    said = refused(house, slot)

    assert "v2 of risk has the files of v2 of dev/risk, but not where an apply copies to" in said
    house.registry.delete_version("risk", 2)
    assert house.apply().exit_code == ExitCode.OK
    assert house.in_slot("risk", slot) == (2,)


def test_a_version_that_was_moved_in_and_tagged_is_not_in_sync(house: House) -> None:
    dev = between(house, policy=NO_RULES)
    promote_from_dev(house)
    assert house.apply().exit_code == ExitCode.OK
    house.register("risk", f1=0.9)
    attribute(house, "risk", 3, dev, "risk", 2, files=False)
    untag(house, 2)
    house.by_hand("risk", 3, "Production")

    done = house.apply(Trigger.SCHEDULE)

    assert done.exit_code != ExitCode.OK
    assert house.drift_of("risk") != "in sync"


@SLOTS
def test_files_that_were_replaced_after_the_copy_do_not_enter(house: House, slot: str) -> None:
    between(house, slot, NO_RULES)
    house.merge(pins({slot: 1, "None": from_dev(2)}, model="risk"))
    assert house.apply().exit_code == ExitCode.OK
    house.files.digests[RISK, 2] = "sha256:other"
    promote_from_dev(house, slot)

    assert "v2 of risk does not have the files of v2 of dev/risk" in refused(house, slot)
    assert house.versions_of("risk") == [1, 2]


def test_what_became_other_files_on_the_way_does_not_enter(house: House) -> None:
    between(house)
    promote_from_dev(house)
    copied = house.registry.copied

    def copy(change: object) -> None:
        copied(change)  # pyright: ignore[reportArgumentType]
        house.files.digests[RISK, 2] = "sha256:other"

    house.registry.copied = copy

    assert "does not have the files of v2 of dev/risk" in refused(house)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_original_that_was_registered_again_is_another_one(house: House, when: str) -> None:
    dev = between(house, policy=APPROVALS)
    house.merge(pins({"Production": 1, "None": from_dev(2)}, model="risk"), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    if when == "before":
        promote_from_dev(house)
    house.clock.later(minutes=10)
    dev.delete_model("risk")
    dev.register("risk", 2)
    dev.by_hand("risk", 2, "Staging")
    if when == "after":
        promote_from_dev(house)

    said = refused(house)

    assert "v2 of risk is a copy of another v2 of dev/risk, which was deleted or renamed since" in said
    assert "Declare v2 by its number" not in said
    assert house.versions_of("risk") == [1, 2]


def test_an_approval_from_before_the_original_was_registered_again_is_of_another_one(house: House) -> None:
    dev = between(house, policy=APPROVALS)
    promote_from_dev(house)
    house.clock.later(minutes=10)
    dev.delete_model("risk")
    dev.register("risk", 2)

    assert ": approvals: " in refused(house)


HELD = 'hold: [{version: 2, reason: "It leaks personal data."}]\n'


@pytest.mark.parametrize("by", ["origin", "number", "a copy of it"])
def test_a_hold_in_the_other_registrys_folder_is_on_its_copies(house: House, by: str) -> None:
    between(house, policy=NO_RULES)
    if by != "origin":
        house.merge(pins({"Production": 1, "None": from_dev(2)}, model="risk"))
        house.merge(pins({"None": from_dev(2)}, model="canary"))
        assert house.apply().exit_code == ExitCode.OK
    house.merge(files={"dev/risk.yaml": pins({"Staging": 2}, model="risk", also=HELD)})
    wanted = {"origin": from_dev(2), "number": 2, "a copy of it": "{from: {model: canary, version: 1}}"}[by]
    house.merge(pins({"Production": wanted}, model="risk"))

    assert "a copy of v2 of dev/risk, is on hold for Production: It leaks personal data." in refused(house)
    house.merge(pins({"Production": 1}, model="risk"))
    house.apply()
    lifted = {"dev/risk.yaml": pins({"Staging": 2}, model="risk")}
    house.merge(pins({"Production": wanted}, model="risk"), files=lifted, approved_by=[GRACE])

    assert "on hold" in refused(house), "no change lifts the hold that it needs lifted"


def test_what_another_registrys_folder_holds_must_be_readable(house: House) -> None:
    between(house, policy=NO_RULES)
    house.merge(files={"dev/risk.yaml": "model: risk\nhold: [{version: two}]\n"})
    promote_from_dev(house)

    assert "The manifests of dev cannot be read: dev/risk.yaml:2:" in refused(house)


def test_copies_in_a_circle_over_registries_are_an_error_at_their_line_and_end_no_other_model(
    plain_house: House,
) -> None:
    house = plain_house
    between(house, policy=NO_RULES)
    house.register("other")
    back = "{from: {registry: prod, model: canary, version: 1}}"
    house.push(files={"dev/risk.yaml": pins({"Staging": back}, model="risk")})
    house.push(pins({"None": "{from: {model: risk, version: 1}}"}, model="canary"))
    promote_from_dev(house)
    house.merge(pins({"Production": 1}, model="other"))
    (house.repository.top / "reconciler.yaml").write_text(REGISTRIES)

    said = refused(house)
    found = [str(problem) for problem in validate([house.repository.top / name for name in ("manifests", "dev")])]

    circle = "prod/risk is copied from dev/risk, and that from prod/risk. Copy in one direction"
    assert circle in said
    assert [problem for problem in found if f"manifests/risk.yaml:4:16: copied-in-a-circle: {circle}" in problem]
    assert house.in_slot("other") == (1,)
    assert sum("copied-in-a-circle" in problem for problem in found) == 2, found


def test_a_soak_behind_an_alias_of_the_other_registry_rests_on_records_of_ours_alone(house: House) -> None:
    soak = 'slots:\n- {slot: Production, registries: prod, gates: [soak: {stage: "@challenger", model: risk, '
    dev = between(house, policy=f"{soak}registry: dev, for: 3d}}]}}\n")
    dev.by_hand("risk", 2, "@challenger")
    dev.forge_record("risk", 2, "@challenger", "f" * 40)
    promote_from_dev(house)

    assert ": soak: " in refused(house)


def test_a_record_on_an_original_counts_only_for_the_files_that_it_is_of(house: House) -> None:
    dev = between(house)
    dev.files.digests[RISK, 2] = "sha256:other"
    promote_from_dev(house)

    assert ": check: " in refused(house)


def test_what_is_copied_of_a_pinned_run_is_of_no_other_one(house: House) -> None:
    between(house, policy=NO_RULES)
    house.merge(pins({"Production": from_dev(2).replace("2}", f"2, run_id: {'e' * 32}}}")}, model="risk"))

    assert "dev: The v2 of risk is of another run." in refused(house)


@pytest.mark.parametrize("said", ["another registry", "a name with a slash", "version 0", "no JSON"])
def test_a_tag_that_names_nothing_that_the_policy_has_makes_no_difference(house: House, said: str) -> None:
    dev = between(house, policy=METRIC.replace("0.7", "0.1"))
    house.register("risk")
    attribute(house, "risk", 2, dev, "risk", 2, files=False)
    version = house.registry.models[RISK].versions[Version(2)]
    assert version.attribution is not None
    other = {
        "another registry": replace(version.attribution, registry="memory://elsewhere"),
        "a name with a slash": replace(version.attribution, model=ModelRef("lab/risk")),
        "version 0": replace(version.attribution, version=Version(0)),
        "no JSON": None,
    }[said]
    house.registry.put("risk", replace(version, attribution=other))
    house.merge(pins({"Production": 2}, model="risk"))

    done = house.apply()

    assert done.exit_code == ExitCode.OK, done.message
    assert done.rulings(model="risk") == {"metric": Ruling.PASS}


def of_aliases(champion: str) -> str:
    """dev has an alias for Production, and no stages."""
    return REGISTRIES.replace("manifests: dev", f"manifests: dev, mode: alias, stages: {{Production: {champion}}}")


@pytest.mark.parametrize("when", ["with the pin", "while the pin waits"])
def test_no_change_says_itself_what_a_stage_of_another_registry_is(house: House, when: str) -> None:
    rules = PATH.replace("Staging", "Production")
    dev = between(house, policy=NO_RULES)
    dev.by_hand("risk", 1, "@champion")
    dev.by_hand("risk", 2, "@scratch")
    house.push(policy=of_aliases("champion") + rules)
    house.apply()

    if when == "while the pin waits":
        promote_from_dev(house)
        refused(house)
    policy = of_aliases("scratch") + rules
    house.merge(pins({"Production": from_dev(2)}, model="risk"), policy=policy, approved_by=[GRACE])

    assert ": path: " in refused(house)
    house.merge(files={"notes.md": "A note"})
    assert ": path: " in refused(house), "a waiting pin keeps the rules of its change"


@pytest.mark.parametrize("why", ["down", "gone"])
def test_what_somebody_moved_in_and_tagged_is_not_found_there_while_its_original_cannot_be_asked_about(
    house: House, why: str
) -> None:
    dev = between(house, policy=NO_RULES)
    house.register("canary", 2)
    attribute(house, "canary", 2, dev, "risk", 2, files=False)
    house.by_hand("canary", 2, "Production")
    if why == "down":
        dev.is_down = True
    else:
        dev.delete_model("risk")

    house.merge(pins({"Production": from_dev(2)}, model="canary"), approved_by=[GRACE])
    done = house.apply()

    assert done.exit_code != ExitCode.OK, done.kinds("canary")
    assert house.record_on("canary", 2).count("Production") == 0


@SLOTS
@pytest.mark.parametrize("why", ["down", "gone"])
def test_what_was_there_once_for_itself_does_not_come_back_as_a_copy_by_its_tag(
    house: House, slot: str, why: str
) -> None:
    dev = between(house, slot, NO_RULES)
    promote_from_dev(house, slot)
    assert house.apply().exit_code == ExitCode.OK
    attribute(house, "risk", 1, dev, "risk", 2, files=False)
    if why == "down":
        dev.is_down = True
    else:
        dev.delete_model("risk")

    for restore in ((), ("risk",)):
        assert house.apply(Trigger.SCHEDULE, restore=restore).exit_code != ExitCode.OK
        assert house.in_slot("risk", slot) == (2,)


def test_a_server_that_gives_other_files_to_each_who_asks_has_no_check_count_for_them(house: House) -> None:
    rules = PATH.replace("path: {from: Staging, model: risk, registry: dev}", "check: {name: bias, signed: true}")
    dev = between(house, policy=f'checks: {{bias: {{command: ["true"]}}}}\n{rules}')
    checked = dev.files.facts(RISK, Version(2), "")
    dev.files.digests[RISK, 2] = "sha256:other"
    house.merge(pins({"Production": 1, "None": from_dev(2)}, model="risk"))
    assert house.apply().exit_code == ExitCode.OK

    def facts(model: ModelRef, version: Version, signers: str) -> CheckFacts:
        return checked

    dev.files.facts = facts
    promote_from_dev(house)

    assert ": check: " in refused(house)


def test_a_server_that_shows_another_signature_than_it_gives_away_does_not_have_it_count(house: House) -> None:
    between(house, policy=PATH.replace("path: {from: Staging, model: risk, registry: dev}", "signature: {}"))
    house.merge(pins({"Production": 1, "None": from_dev(2)}, model="risk"))
    assert house.apply().exit_code == ExitCode.OK
    key = RISK, Version(2)
    loaded = Signature(inputs=(Column("income", Scalar("string")),), outputs=SIGNATURE.outputs, params=())
    house.runs.facts[key] = replace(house.runs.facts[key], signature=loaded)
    promote_from_dev(house)

    assert ": signature: " in refused(house)
