"""What a command looks up, it looks up once, and what it does grows as the models do: counted, and never timed."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest

from reconciler.core.gate import CheckFacts, CheckRecord
from reconciler.core.names import ModelRef, Version
from tests.counting import counting
from tests.desk import run
from tests.house import GRACE, House
from tests.house.mlflow import Files
from tests.house.scenes import pins

RULES = """\
slots:
- slot: Production
  gates:
  - path: {from: Staging}
  - soak: {stage: Staging, for: 3d}
  - approvals: {count: 1, of: owners}
"""

POLICY = """\
checks:
  bias: {command: [python, bias.py]}
slots:
- slot: Production
  gates:
  - path: {from: Staging}
  - soak: {stage: Staging, for: 3d}
  - metric: {name: f1, min-absolute-change: 0.01}
  - artifact: {pinned: true}
  - check: {name: bias}
  - approvals: {count: 1, of: owners}
"""

Promotion: TypeAlias = Callable[[int], Mapping[str, Counter[str]]]
"""What is called in each command that has to do with a promotion of so many models."""

SIZES = (1, 5, 10, 20, 30)

PROCESSES = "subprocess.Popen.__init__"
GIT = "reconciler.git.runner._begun"
PARSED = "reconciler.reading.manifest.parse"
POLICIES = "reconciler.reading.policy.parse_policy"
FORGE = "tests.house.forge.Forge.request"
EVIDENCE = "tests.house.mlflow.Runs.gather"
CHECKS = "tests.everyday.test_counts.Checked.facts"
DIGESTS = "tests.house.mlflow.Files.digest"
COMPARED = "reconciler.git.source._blob_name"
PRESENT = "tests.house.mlflow.Files.present"
SNAPSHOTS = "reconciler.testing.memory.MemoryRegistry.snapshot"
PLAN_DIGESTS = "reconciler.core.plan.Plan.digest"


class Checked(Files):
    """Files on which the check has passed."""

    def facts(self, model: ModelRef, version: Version, signers: str) -> CheckFacts:
        digest = f"sha256:{model}-{version}"
        return CheckFacts(digest, (CheckRecord("bias", True, digest, "2026-01-02T00:00:00Z"),))


@pytest.fixture(scope="module")
def promotion(tmp_path_factory: pytest.TempPathFactory) -> Promotion:
    """So many models, each in a file of its own, are promoted by one request."""

    @cache
    def of(size: int) -> Mapping[str, Counter[str]]:
        house = House.build(tmp_path_factory.mktemp(f"of-{size}"))
        house.files = Checked()
        names = [f"model-{number:02}" for number in range(size)]
        for name in names:
            house.register(name, 2)
            house.by_hand(name, 1, "Production")
            house.by_hand(name, 2, "Staging")
        house.begin(POLICY, *(pins({"Production": 1}, model=name) for name in names))
        house.clock.later(days=4)
        request = house.request(*(pins({"Production": 2}, model=name) for name in names))
        house.approve(GRACE, request)
        with counting() as plan:
            planned = house.plan(request, force=True)
        house.merge(request)
        with counting() as apply:
            done = house.apply(force=True)
        with counting() as drift:
            found = house.drift()
        assert (planned.exit_code, done.exit_code, found.drifted) == (0, 0, False), (planned.text, done.message)
        assert all(house.in_slot(name) == (2,) for name in names)
        return {"plan": plan, "apply": apply, "drift": drift}

    return of


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize("size", SIZES)
def test_what_gates_ask_about_a_version_is_looked_up_once(promotion: Promotion, size: int, command: str) -> None:
    calls = promotion(size)[command]

    assert {what: calls[what] for what in (CHECKS, DIGESTS, PRESENT)} == {
        CHECKS: size,
        DIGESTS: size,
        PRESENT: size,
    }


@pytest.mark.parametrize("command", ["plan", "apply", "drift"])
@pytest.mark.parametrize("size", SIZES)
def test_every_manifest_is_parsed_once_and_the_policy_too(promotion: Promotion, size: int, command: str) -> None:
    calls = promotion(size)[command]

    # As it is, and as it was.
    assert (calls[PARSED], calls[POLICIES]) == (2 * size, 1)


@pytest.mark.parametrize("command", ["plan", "apply", "drift"])
@pytest.mark.parametrize("size", SIZES)
def test_every_manifest_is_compared_with_its_commit_once(promotion: Promotion, size: int, command: str) -> None:
    assert promotion(size)[command][COMPARED] <= size


@pytest.mark.parametrize("command", ["plan", "apply", "drift"])
@pytest.mark.parametrize("what", [PROCESSES, FORGE, EVIDENCE, PLAN_DIGESTS])
def test_what_is_the_same_for_all_models_is_asked_as_often_for_one_as_for_thirty(
    promotion: Promotion, what: str, command: str
) -> None:
    asked = {size: promotion(size)[command][what] for size in SIZES}

    assert len(set(asked.values())) == 1, asked


@pytest.mark.parametrize("command", ["plan", "apply", "drift"])
def test_no_function_is_called_more_often_than_grows_with_the_models(promotion: Promotion, command: str) -> None:
    ten, twenty, thirty = (promotion(size)[command] for size in (10, 20, 30))

    # Into how many pieces a pipe cuts an answer is a matter of moments.
    ours = [
        name
        for name in thirty
        if name.startswith("reconciler.") and not name.endswith((".runner._Objects._more", ".runner._readable"))
    ]
    growth = {name: (twenty[name] - ten[name], thirty[name] - twenty[name]) for name in ours}
    assert {name: steps for name, steps in growth.items() if steps[1] > 1.1 * steps[0] + 5} == {}


PLAIN_PROCESSES = {
    # Settings, objects, the line, who made the change; and what the base is called.
    "plan": 5,
    "apply": 4,
    "drift": 3,
}


@pytest.mark.parametrize("command", PLAIN_PROCESSES)
def test_a_command_starts_few_processes(promotion: Promotion, command: str) -> None:
    assert promotion(1)[command][PROCESSES] == PLAIN_PROCESSES[command]


GIT_PROCESSES = {
    "plan": 5,
    # Beside the four: receipts, here and there; a commit, a push, and refs twice.
    "apply": 10,
    "drift": 3,
    "status": 3,
    # Receipts, here and there.
    "history": 5,
}


def commands(house: House) -> Mapping[str, Counter[str]]:
    """What is called in each command that has to do with a promotion of a model that is in Production and Staging."""
    house.clock.later(days=4)
    request = house.request(pins({"Production": 2}))
    house.approve(GRACE, request, signed=True)
    project = house._project("manifests")  # pyright: ignore[reportPrivateUsage]
    found: dict[str, Counter[str]] = {}
    with counting() as found["plan"]:
        planned = house.plan(request)
    house.merge(request)
    with counting() as found["apply"]:
        done = house.apply()
    with counting() as found["drift"]:
        house.drift()
    with counting() as found["status"]:
        project.status()
    with counting() as found["history"]:
        project.history(["churn"])
    assert (planned.exit_code, done.exit_code, house.in_slot("churn")) == (0, 0, (2,)), done.message
    return found


@pytest.mark.parametrize("more", [0, 40])
def test_a_command_with_signatures_and_receipts_starts_few_however_many_commits_there_are(
    tmp_path: Path, more: int
) -> None:
    house = House.build(tmp_path, signed=True)
    house.receipts = True
    house.register("churn", 2)
    house.by_hand("churn", 1, "Production")
    house.by_hand("churn", 2, "Staging")
    house.begin(RULES, pins({"Production": 1}))
    commit = "commit refs/heads/main\ncommitter Ada <ada@acme.example> 1767225600 +0000\ndata 1\nx\n"
    stream = f"{commit}from refs/heads/main^0\n{commit * more}"
    run(house.repository.top, "git", "fast-import", "--quiet", given=stream.encode())
    house.push(files={"README.md": "Models"})

    found = commands(house)

    # Those of ssh-keygen are asked once for all tests.
    assert {command: calls[GIT] for command, calls in found.items()} == GIT_PROCESSES
