"""What needs no registry starts at once, and nothing ends in a traceback."""

import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.story.command import Reconciler
from tests.story.repository import Repository, manifest

REPORTS_MLFLOW = """
import sys
from reconciler.cli import run
code = run(sys.argv[1:])
print("imported:", sorted(name for name in sys.modules if name.split(".")[0] == "mlflow"))
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["plan", "--help"], ["apply", "--help"], ["validate"], ["schema", "plan"]],
    ids=" ".join,
)
def test_what_needs_no_registry_does_not_import_mlflow(
    repository: Repository, reconciler: Reconciler, model: str, arguments: list[str]
) -> None:
    repository.write(manifest(model, production=1))

    done = subprocess.run(
        [sys.executable, "-c", REPORTS_MLFLOW, *arguments],
        cwd=repository.top,
        env=dict(reconciler.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"


def test_a_mistake_in_a_manifest_is_found_before_mlflow_is_imported(
    repository: Repository, reconciler: Reconciler
) -> None:
    repository.write("model: [unfinished\n")

    done = subprocess.run(
        [sys.executable, "-c", REPORTS_MLFLOW, "plan"],
        cwd=repository.top,
        env=dict(reconciler.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert "manifests/models.yaml:" in done.stderr
    assert done.stdout.splitlines()[-1] == "imported: []"


REPORTS_MODULES = """
import sys
from reconciler.cli import run
code = run(sys.argv[1:])
print(*sorted(sys.modules))
sys.exit(code)
"""


def loaded(repository: Repository, reconciler: Reconciler, script: str, arguments: Sequence[str] = ()) -> set[str]:
    """The names on the last line of what a script says in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=repository.top,
        env=dict(reconciler.environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_list_of_commands_is_shown_without_them(
    repository: Repository, reconciler: Reconciler, option: str
) -> None:
    modules = loaded(repository, reconciler, REPORTS_MODULES, [option])

    assert {name for name in modules if name.split(".")[0] == "reconciler"} == {
        "reconciler",
        "reconciler.cli",
        "reconciler.cli.group",
        "reconciler.cli.types",
        "reconciler.errors",
        "reconciler.version",
    }
    assert not {"pathlib", "yaml", "pydantic", "rich"} & modules


WHAT_CHECKING_NEEDS_NOT = {
    "croniter",
    "git",
    "json",
    "reconciler.carrying",
    "reconciler.checks",
    "reconciler.git",
    "reconciler.pipeline",
    "reconciler.planning",
    "reconciler.ports",
    "reconciler.project",
    "reconciler.registry",
    "reconciler.reporter",
    "requests",
    "rich",
}
"""Also where there are a policy and gates, but no freeze."""
WHAT_PLAIN_MANIFESTS_NEED_NOT = {
    "reconciler.conditions",
    "reconciler.core.evidence",
    "reconciler.core.gate",
    "reconciler.core.policy",
    "reconciler.core.snapshot",
    "reconciler.gates",
    "reconciler.reading.gates",
    "reconciler.reading.policy",
    "reconciler.wiring",
}


def test_manifests_are_checked_without_what_plans_need_and_without_gates(
    repository: Repository, reconciler: Reconciler, model: str
) -> None:
    repository.write(manifest(model, production=1))

    modules = loaded(repository, reconciler, REPORTS_MODULES, ["validate"])

    assert "reconciler.reading.manifest" in modules
    assert not (WHAT_CHECKING_NEEDS_NOT | WHAT_PLAIN_MANIFESTS_NEED_NOT) & modules


def test_a_policy_is_checked_without_what_plans_need(
    repository: Repository, reconciler: Reconciler, model: str
) -> None:
    repository.write(manifest(model, production=1))
    policy = "slots: [{slot: Production, gates: [{soak: {stage: Staging, for: 3d}}]}]\n"
    (repository.top / "reconciler.yaml").write_text(policy)

    modules = loaded(repository, reconciler, REPORTS_MODULES, ["validate"])

    assert WHAT_PLAIN_MANIFESTS_NEED_NOT - modules == {"reconciler.conditions", "reconciler.core.snapshot"}
    assert not (WHAT_CHECKING_NEEDS_NOT - {"json"}) & modules


LEAVES_ALONE = """
import gc, os, reconciler
before = gc.get_threshold(), gc.isenabled(), dict(os.environ)
reconciler.validate()
assert (gc.get_threshold(), gc.isenabled(), dict(os.environ)) == before
print("as", "before")
"""


def test_only_the_command_alters_its_process_to_start_sooner(
    repository: Repository, reconciler: Reconciler, model: str
) -> None:
    repository.write(manifest(model, production=1))

    assert loaded(repository, reconciler, LEAVES_ALONE) == {"as", "before"}


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "\ufeffmodel: x\n",
        "a: &a [*a]\n",
        "model: x\nstages: {Production: 1.5}\n",
        "- model: x\n",
        "model: !!python/object/apply:os.system [true]\n",
        "? [model]\n: x\n",
        "model: x\nstages: {Production: " + "[" * 5000 + "]" * 5000 + "}\n",
        "model: x\nstages:\n\tProduction: 1\n",
        "model: 2026-01-01\nstages: {Production: 99999999999999999999999}\n",
    ],
    ids=range(10),
)
def test_no_manifest_however_odd_ends_in_a_traceback(repository: Repository, reconciler: Reconciler, text: str) -> None:
    repository.write(text)

    checked = reconciler("validate")

    assert checked.code in {0, 1}
    assert "Traceback" not in checked.said
    assert "bug in reconciler" not in checked.said


def test_a_manifest_that_is_not_utf_8_is_told_with_its_name(repository: Repository, reconciler: Reconciler) -> None:
    folder = repository.top / "manifests"
    folder.mkdir()
    (folder / "latin.yaml").write_bytes("model: Kühe\n".encode("latin-1"))

    checked = reconciler("validate")

    assert checked.code == 1
    assert "manifests/latin.yaml" in checked.said
    assert "Traceback" not in checked.said
