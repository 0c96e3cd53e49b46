"""What somebody takes away, or puts back, in the registry or in git: absence proves nothing."""

from dataclasses import replace

from reconciler.core.drift import DriftStatus
from reconciler.core.names import Commit, RepositoryId, Slot, Stage, Version
from reconciler.core.snapshot import Placement, encode_provenance, signed_bytes
from reconciler.errors import ExitCode
from tests.build import CHURN
from tests.house import ADA, GRACE, House, Trigger, job_line, key_of
from tests.house.people import seal_with
from tests.house.scenes import NO_RULES, SLOTS, SOAK, at_least, at_work, improving_by, pins


@SLOTS
def test_nobody_chooses_whom_a_version_is_compared_with_by_taking_a_record_away(house: House, slot: str) -> None:
    at_work(house, slot, improving_by(0.1))
    # v6 is 0.72, v4 is 0.68: not better by 0.1; v1 is 0.62
    house.merge(pins({slot: 6}))
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.by_hand("churn", 1, slot)
    house.registry.record("churn", 4, encode_provenance({}))
    done = house.apply()
    assert house.in_slot("churn", slot) == (1,), done.message


@SLOTS
def test_a_version_is_not_compared_with_nobody_because_a_record_was_taken_away(house: House, slot: str) -> None:
    at_work(house, slot, improving_by(0.1))
    house.merge(pins({slot: 6}))
    assert house.apply().exit_code == ExitCode.BLOCKED
    if slot.startswith("@"):
        house.registry.models[CHURN] = replace(house.registry.models[CHURN], aliases={})
    else:
        house.by_hand("churn", 4, "Archived")
    house.registry.record("churn", 4, encode_provenance({}))
    done = house.apply()
    assert house.in_slot("churn", slot) == (), done.message


@SLOTS
def test_a_record_that_is_put_back_and_one_that_is_taken_away_hide_no_drift(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    old = house.owner_record("churn")
    house.merge(pins({slot: 5}))
    house.apply()
    assert house.drift_of() is DriftStatus.IN_SYNC
    house.by_hand("churn", 4, slot)
    house.put_owner_record("churn", old)
    house.registry.record("churn", 5, encode_provenance({}))
    assert house.drift_of() in {DriftStatus.UNKNOWN, DriftStatus.DRIFTED}


@SLOTS
def test_drift_is_not_hidden_by_taking_every_record_away(house: House, slot: str) -> None:
    at_work(house, slot, NO_RULES)
    house.by_hand("churn", 6, slot)
    house.delete_owner_record("churn")
    for n in range(1, 7):
        house.registry.record("churn", n, encode_provenance({}))
    if house.lock is not None:
        house.lock.lease.heads = ()
    assert house.drift_of() in {DriftStatus.UNKNOWN, DriftStatus.DRIFTED}


@SLOTS
def test_a_record_of_before_the_signers_that_turns_up_later_proves_nothing(plain_house: House, slot: str) -> None:
    house = plain_house
    at_work(house, slot, SOAK)
    commit = house.merge(pins({slot: 6})).merged
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.merge(pins({slot: 4}))
    house.apply()
    house.signed = True
    house.list_signer(job_line(key_of(house.key)))
    house.merge(policy=SOAK)
    house.apply()
    house.merge(pins({slot: 4}, also="description: x\n"))
    house.apply()
    if slot.startswith("@"):
        house.forge_record("churn", 6, slot, str(commit), before="v4")
    else:
        house.by_hand("churn", 6, "Archived")
        house.forge_record("churn", 6, slot, str(commit), before="Staging")
    record = house.registry.provenance("churn", 6)
    record = {Slot(slot): replace(record[Slot(slot)], applied_at=house.clock.stamp)}
    house.registry.record("churn", 6, encode_provenance(record))
    house.merge(pins({slot: 6}))
    done = house.apply()
    assert house.in_slot("churn", slot) == (4,), done.message


def test_a_key_that_was_removed_does_not_count_again_where_the_file_of_signers_is_renamed(signing_house: House) -> None:
    house = signing_house
    at_work(house, policy=SOAK)
    stolen = house.key
    # v6 was declared once, and withdrawn
    commit = house.merge(pins({"Production": 6})).merged
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.merge(pins({"Production": 4}))
    house.apply()
    # the key was lost: it is removed from the file, and the job gets another
    house.rotate("new")
    house.signers = house.signers.replace(job_line(key_of(stolen)), "")
    assert job_line(key_of(stolen)) not in house.signers
    house.merge(files={"keys/allowed_signers": house.signers}, approved_by=[GRACE])
    house.apply()
    # a record by the stolen key
    past_version = house.registry.models[CHURN].versions[Version(6)]
    record = Placement(
        Stage.PRODUCTION.slot,
        RepositoryId(house.name),
        Commit(str(commit)),
        "Staging",
        str(ADA),
        house.clock.stamp,
        "0" * 64,
        identity=past_version.identity,
        registry=house.registry.uri,
        workspace=getattr(house.registry, "workspace", ""),
        sequence=9,
    )
    record = replace(record, seal=seal_with(key_of(stolen), signed_bytes(CHURN, record)))
    house.registry.record("churn", 6, encode_provenance({record.slot: record}))
    house.by_hand("churn", 6, "Archived")
    house.merge(
        pins({"Production": 6}), files={"keys/other": house.signers, "reconciler.yaml": f"signers: keys/other\n{SOAK}"}
    )
    done = house.apply()
    assert house.in_slot("churn") == (4,), done.message


def test_a_hold_holds_though_the_record_of_what_came_later_was_taken_away(house: House) -> None:
    slot = "@champion"
    at_work(house, slot, at_least(0.1))
    old = house.owner_record("churn")
    house.merge(pins({slot: 5}))
    house.apply()
    hold = f'hold: {{slot: "{slot}", version: 4, reason: It leaks personal data., until: 2027-01-01}}\n'
    house.merge(pins({slot: 5}, also=hold))
    house.apply()
    house.by_hand("churn", 4, slot)
    house.put_owner_record("churn", old)
    house.registry.record("churn", 5, encode_provenance({}))
    house.merge(pins({slot: 4}, also=hold))
    done = house.apply()
    assert done.exit_code == ExitCode.BLOCKED, done.message


def test_gates_are_asked_though_the_record_of_what_came_later_was_taken_away(signing_house: House) -> None:
    house = signing_house
    slot = "@champion"
    policy = at_least(0.1) + "  - approvals: {count: 1, of: owners}\n    waive-on-rollback: false\n"
    at_work(house, slot, policy)
    old = house.owner_record("churn")
    house.merge(pins({slot: 5}), approved_by=[GRACE])
    assert house.apply().exit_code == ExitCode.OK
    house.merge(pins({slot: 4}))
    assert house.apply().exit_code == ExitCode.BLOCKED
    house.by_hand("churn", 4, slot)
    house.put_owner_record("churn", old)
    house.registry.record("churn", 5, encode_provenance({}))
    done = house.apply()
    assert done.exit_code == ExitCode.BLOCKED, done.message


def test_nothing_is_found_because_a_tag_was_taken_away(house: House) -> None:
    policy = SOAK.replace("- slot: [", "- tags: {tier: gold}\n  slot: [")
    house.register("churn", 6)
    house.by_hand("churn", 5, "Staging")
    house.push(policy=policy)
    house.push(pins({"Staging": 5}, also="tags: {tier: gold}\n"))
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=4)
    house.registry.models[CHURN] = replace(house.registry.models[CHURN], tags={})
    house.by_hand("churn", 6, "Production")
    house.clock.later(days=1)
    house.merge(pins({"Staging": 5, "Production": 6}, also="tags: {tier: gold}\n"))
    done = house.apply()
    assert done.exit_code == ExitCode.BLOCKED, done.message


@SLOTS
def test_a_name_with_quotes_hides_no_history(house: House, slot: str) -> None:
    house.register("o'brien", 6)
    house.by_hand("o'brien", 4, slot)
    text = pins({slot: 4}, model="o'brien").replace("model: o'brien", "model: 'o''brien'")
    house.push(policy=SOAK)
    house.push(files={"manifests/o.yaml": text})
    assert house.apply().exit_code == ExitCode.OK
    house.clock.later(days=4)
    house.by_hand("o'brien", 6, slot)
    house.merge(files={"manifests/o.yaml": text.replace(": 4", ": 6")})
    done = house.apply()
    assert done.exit_code == ExitCode.BLOCKED, done.message


def test_a_forged_record_undoes_no_alias_that_git_never_declared(house: House) -> None:
    at_work(house, "Production", SOAK)
    house.by_hand("churn", 2, "@mine")
    owner = house.owner_record("churn")
    house.put_owner_record("churn", replace(owner, aliases=("mine",)))
    done = house.apply(Trigger.SCHEDULE)
    assert house.in_slot("churn", "@mine") == (2,), done.message
