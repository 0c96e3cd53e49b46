"""The workflows and the action for GitHub: what is in them, and what their scripts do, run as a runner runs them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import COMMANDS
from tests.runner import Command, heeded

ROOT = Path(__file__).parents[2]
SCAFFOLD = ROOT / "reconciler" / "scaffold" / "github"
EXAMPLES = ROOT / "examples" / "github"
FROM_BASE = EXAMPLES / "plan-from-base" / "reconciler-plan.yml"
WORKFLOWS = [*sorted(EXAMPLES.glob("*.yml")), FROM_BASE]
ACTION = ROOT / "action.yml"
FILES = [*WORKFLOWS, ACTION]
BIN = Path(sys.executable).parent


def content(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506  # BaseLoader: `on` stays a word


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return content(path).get("jobs", {})


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job["steps"]
    yield from content(path).get("runs", {}).get("steps", [])


def step(name: str, path: Path) -> dict[str, Any]:
    return next(step for step in steps(path) if step["name"] == name)


def workflow(name: str) -> Path:
    return next(path for path in WORKFLOWS if path.stem == f"reconciler-{name}")


# What is in them.


def test_the_examples_are_what_is_shipped() -> None:
    shipped = [*sorted(SCAFFOLD.glob("*.yml")), SCAFFOLD / "from-base" / FROM_BASE.name]

    assert [path.name for path in WORKFLOWS] == [path.name for path in shipped]
    for one, example in zip(shipped, WORKFLOWS, strict=True):
        assert example.read_bytes() == one.read_bytes(), example


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_githubs_schema_accepts_it(path: Path) -> None:
    kind = "actions" if path == ACTION else "workflows"
    command = [BIN / "check-jsonschema", "--builtin-schema", f"vendor.github-{kind}", path]

    checked = subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout


def zizmor(*paths: Path) -> list[str]:
    """What it finds when it is told to suspect everything, and to heed no comment that says otherwise."""
    command = [BIN / "zizmor", "--offline", "--persona", "auditor", "--no-ignores", "--no-progress", "--format", "json"]
    checked = subprocess.run([*command, *paths], capture_output=True, text=True, check=False)
    return [finding["ident"] for finding in json.loads(checked.stdout)]


def test_zizmor_finds_nothing_even_when_it_is_told_to_suspect_everything() -> None:
    assert zizmor(*(path for path in FILES if path != FROM_BASE)) == []


def test_zizmor_finds_the_one_trigger_that_the_plan_from_the_default_branch_is_about_and_that_is_explained() -> None:
    assert zizmor(FROM_BASE) == ["dangerous-triggers"]
    (explained,) = re.findall(r"# (.*)\n  pull_request_target: # zizmor: ignore\[(.*)\]", FROM_BASE.read_text())
    assert explained[1] == "dangerous-triggers"
    assert "safe only because nothing in them runs" in explained[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_others_wrote_is_pinned_to_a_commit(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))

    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


def test_one_action_has_one_version() -> None:
    used = {line for path in FILES for line in re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))}

    assert len(used) == len({line.partition("@")[0] for line in used})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_no_permissions_but_those_of_its_jobs(path: Path) -> None:
    assert content(path)["permissions"] == {}
    assert all(job["permissions"]["contents"] for job in jobs(path).values())
    assert all(int(job["timeout-minutes"]) <= 60 for job in jobs(path).values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_pasted_into_a_script(path: Path) -> None:
    scripts = [step["run"] for step in steps(path) if "run" in step]

    assert scripts
    assert not [script for script in scripts if "${{" in script]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_checkout_leaves_its_token_behind(path: Path) -> None:
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]

    assert checkouts
    assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_secrets_come_from_an_environment_only(path: Path) -> None:
    for job in jobs(path).values():
        assert ("secrets." in json.dumps(job)) == ("environment" in job)


def test_a_fork_gets_validation_and_no_more() -> None:
    plan = jobs(workflow("plan"))

    assert "if" not in plan["validate"]
    assert plan["validate"]["permissions"] == {"contents": "read"}
    assert "github.event.pull_request.head.repo.full_name == github.repository" in plan["plan"]["if"]
    assert "pull_request_target" not in content(workflow("plan"))["on"]


def test_a_plan_from_the_default_branch_gives_forks_no_more() -> None:
    plan = jobs(FROM_BASE)

    assert "if" not in plan["validate"]
    assert plan["validate"]["permissions"] == {"contents": "read"}
    assert "github.event_name == 'pull_request_target'" in plan["plan"]["if"]
    assert "github.event.pull_request.head.repo.full_name == github.repository" in plan["plan"]["if"]


@pytest.mark.parametrize("path", [workflow("plan"), FROM_BASE], ids=["of the change", "of the default branch"])
def test_a_request_that_is_led_to_another_branch_is_planned_again(path: Path) -> None:
    triggers = content(path)["on"]

    for name in triggers.keys() & {"pull_request", "pull_request_target"}:
        assert triggers[name] == {"branches": ["main"], "types": ["opened", "synchronize", "reopened", "edited"]}
    assert "github.event.pull_request.base.ref" in step("Plan", path)["env"]["BASE"]
    assert "edited" not in json.dumps(jobs(path)), "a check that is skipped for an edit passes"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_step_that_applies_gets_the_key_that_signs(path: Path) -> None:
    holders = {step["name"] for step in steps(path) if "RECONCILER_SIGNING_KEY" in json.dumps(step)}

    assert holders == (
        {"Apply"} if path.stem == "reconciler-apply" else {"Run reconciler"} if path == ACTION else set()
    )
    if path == ACTION:
        key = step("Run reconciler", path)["env"]["RECONCILER_SIGNING_KEY"]
        assert key == "${{ inputs.command == 'apply' && inputs.signing-key || '' }}"


def test_an_apply_without_the_secret_has_no_key(runner: "Runner") -> None:
    script = step("Apply", workflow("apply"))["run"]

    runner.run(script, {"COMPARE": "true", "RECONCILER_SIGNING_KEY": ""})
    without = runner.environment("apply")
    runner.run(script, {"COMPARE": "true", "RECONCILER_SIGNING_KEY": "k"})

    assert "RECONCILER_SIGNING_KEY" not in without
    assert runner.environment("apply")["RECONCILER_SIGNING_KEY"] == "k"


def test_applies_wait_for_each_other_and_none_is_broken_off() -> None:
    apply = content(workflow("apply"))

    assert apply["concurrency"]["cancel-in-progress"] == "false"
    assert "${{" not in apply["concurrency"]["group"]


@pytest.mark.parametrize("path", [*FILES, ROOT / "action" / "run.sh"], ids=lambda path: path.name)
def test_every_option_in_a_script_is_one_of_its_command(path: Path) -> None:
    options = {option for command in COMMANDS.values() for p in command.params for option in p.opts}
    text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if " pip " not in line)

    used = set(re.findall(r"(?<![-\w])--[a-z][a-z-]+", text)) - {"--version"}

    assert used <= options


@pytest.mark.parametrize("name", ["environment.sh", "hook.sh", "install.sh", "run.sh"])
def test_the_scripts_of_the_action_can_be_run(name: str) -> None:
    script = ROOT / "action" / name

    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


def test_the_action_installs_what_is_tested() -> None:
    def pins(path: Path) -> set[str]:
        return set(re.findall(r"^[a-z0-9._-]+==\S+", path.read_text(encoding="utf-8"), re.MULTILINE))

    installed = pins(ROOT / "reconciler" / "scaffold" / "reconciler.lock")

    names = {pin.partition("==")[0] for pin in installed}
    assert names >= {"mlflow-skinny", "pygithub", "click", "pydantic", "hatchling"}
    assert not names & {"mlflow", "pandas", "sqlalchemy", "flask", "scikit-learn", "pyarrow"}
    assert installed <= pins(ROOT / "requirements.lock")


def test_the_action_promises_the_outputs_that_it_has() -> None:
    action = content(ACTION)
    told = set(
        re.findall(r'tell ([a-z-]+)|print\("([a-z]+)=', (ROOT / "action" / "run.sh").read_text(encoding="utf-8"))
    )

    assert {first or second for first, second in told} == action["outputs"].keys()
    assert all(output["value"] == f"${{{{ steps.run.outputs.{name} }}}}" for name, output in action["outputs"].items())


# What their scripts do.

HOSTILE = "::error::from a model's name\nx ##[add-mask]secret\n::set-output name=changes::false\r::add-path::/evil"
STUB = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$STUB_ARGUMENTS.$1"
env -0 > "$STUB_ARGUMENTS.environment.$1"
if [ "$1" = validate ] && [ "${*: -1}" = github ]; then
  printf '::warning title=odd::Odd.\\n'
  exit 1
fi
printf '%s' "$STUB_SAYS"
printf '%s' "$STUB_SAYS" >&2
previous=""
for argument; do
  case $argument in github=*) printf '::notice title=Production::promote v5\\n' > "${argument#github=}" ;; esac
  case $previous in
    --out) printf '{"status": "ready", "digest": "d1", "calls": [1]}' > "$argument" ;;
    --receipt) printf '{}' > "$argument" ;;
  esac
  previous=$argument
done
if [ -n "$STUB_TELLS" ]; then printf 'failure-reason<<end\\n%s\\nend\\n' "$STUB_TELLS" >> "$GITHUB_OUTPUT"; fi
exit "$STUB_STATUS"
"""


PYTHON = f"""#!/usr/bin/env bash
if [ "$1 $2 $3" = "-I -m reconciler" ]; then exec "$(dirname "$0")/reconciler" "${{@:4}}"; fi
exec {sys.executable} "$@"
"""


class Runner:
    """Runs scripts with a `reconciler` that notes how it was called, and says what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "temp").mkdir()
        (folder / "temp" / "reconciler").symlink_to(folder)
        (folder / "output").touch()
        for name, text in (("reconciler", STUB), ("python", PYTHON)):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        self.printed = ""
        self.status = 0

    def run(self, script: str, environment: Mapping[str, str], *, status: int = 0, tells: str = "") -> None:
        """As `shell: bash` does it; the shell that is the default differs by `pipefail` alone."""
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            env={
                "PATH": os.environ["PATH"],
                "RUNNER_TEMP": str(self.folder / "temp"),
                "GITHUB_ACTION_PATH": str(ROOT),
                "GITHUB_OUTPUT": str(self.folder / "output"),
                "STUB_ARGUMENTS": str(self.folder / "arguments"),
                "STUB_SAYS": HOSTILE,
                "STUB_STATUS": str(status),
                "STUB_TELLS": tells,
                "RECONCILER_SIGNING_KEY": "",
                **environment,
            },
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        assert done.stderr == b"", done.stderr
        self.printed = done.stdout.decode()
        self.status = done.returncode

    def arguments(self, command: str) -> list[str]:
        said = (self.folder / f"arguments.{command}").read_text().splitlines()
        return [re.sub(r"/\S*/", "…/", argument) for argument in said]

    def environment(self, command: str) -> dict[str, str]:
        entries = (self.folder / f"arguments.environment.{command}").read_text().split("\0")
        return dict(entry.split("=", 1) for entry in entries if entry)

    def heeded(self) -> list[Command]:
        return list(heeded(self.printed))

    def outputs(self) -> dict[str, str]:
        text = (self.folder / "output").read_text()
        simple = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        told = dict(re.findall(r"^(\S+)<<end\n(.*)\nend$", text, re.MULTILINE))
        return {name: re.sub(r"^/\S*/", "…/", value) for name, value in {**simple, **told}.items()}


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


def test_the_runner_would_heed_what_these_names_say() -> None:
    assert [command.name for command in heeded(HOSTILE)] == ["error", "add-mask", "set-output", "add-path"]


def test_the_plan_of_a_pull_request_keeps_its_exit_code_and_heeds_no_name(runner: Runner) -> None:
    runner.run(step("Plan", workflow("plan"))["run"], {"BASE": "HEAD^1"}, status=3)

    assert runner.status == 3
    assert [command.name for command in runner.heeded()] == ["notice"]
    assert runner.arguments("plan")[:5] == ["plan", "--ref", "HEAD", "--base", "HEAD^1"]
    assert "--detailed-exitcode" not in runner.arguments("plan")


def test_an_apply_compares_with_the_review_unless_it_is_told_not_to(runner: Runner) -> None:
    script = step("Apply", workflow("apply"))["run"]

    runner.run(script, {"COMPARE": "true"})
    compared = runner.arguments("apply")
    runner.run(script, {"COMPARE": "false"})

    assert compared == [*runner.arguments("apply"), "--expect-reviewed"]
    assert runner.heeded() == []
    assert (runner.status, (runner.folder / "temp/apply/receipt.json").exists()) == (0, True)


def test_an_apply_that_is_stale_says_what_to_do(runner: Runner) -> None:
    runner.run(step("Apply", workflow("apply"))["run"], {"COMPARE": "true"}, status=4)

    (error,) = runner.heeded()
    assert (runner.status, error.name, error.properties["title"]) == (4, "error", "Not applied")


def test_drift_is_an_error_with_the_exit_code_of_drift(runner: Runner) -> None:
    runner.run(step("Look for drift", workflow("drift"))["run"], {}, status=2)

    (error,) = runner.heeded()
    assert (runner.status, error.name, error.properties["title"]) == (2, "error", "Drift")


@pytest.mark.parametrize(
    ("version", "model", "call"),
    [
        ("latest", "risk", "promote --to Staging --open-pr --latest -- risk"),
        ("Staging", "risk", "promote --to Staging --open-pr --from Staging -- risk"),
        ("@champion", "a b; $(touch x)", "promote --to Staging --open-pr --from @champion -- a b; $(touch x)"),
        ("7", "--all", "promote --to Staging --open-pr -- --all 7"),
    ],
)
def test_a_promotion_is_asked_for_as_whoever_runs_it_says(runner: Runner, version: str, model: str, call: str) -> None:
    inputs = {"MODEL": model, "VERSION": version, "SLOT": "Staging", "COMMENT": ""}

    runner.run(step("Promote", workflow("promote"))["run"], inputs, status=3)

    assert " ".join(runner.arguments("promote")) == call
    assert (runner.status, runner.heeded()) == (3, [])
    assert not (runner.folder / "x").exists()


@pytest.mark.parametrize("path", [workflow("apply"), workflow("promote"), ACTION], ids=["apply", "promote", "action"])
def test_git_gets_the_token_of_the_step_that_pushes(path: Path, tmp_path: Path) -> None:
    name = "Run reconciler" if path == ACTION else path.stem.removeprefix("reconciler-").capitalize()
    settings = {key: value for key, value in step(name, path)["env"].items() if key.startswith("GIT_CONFIG_")}
    settings = {key: value.replace("${{ github.server_url }}", "https://github.com") for key, value in settings.items()}

    def asked(host: str) -> str:
        filled = subprocess.run(
            ["git", "credential", "fill"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GITHUB_TOKEN": "ghs_x;$(true)",
                **settings,
            },
            input=f"protocol=https\nhost={host}\n\n",
            capture_output=True,
            text=True,
            check=False,
        )
        return filled.stdout

    assert "username=x-access-token\npassword=ghs_x;$(true)\n" in asked("github.com")
    assert "ghs_x" not in asked("elsewhere.example")


# The action.

INPUTS = {
    "COMMAND": "plan",
    "REGISTRY_URI": "",
    "MANIFESTS": "manifests",
    "BASE": "",
    "EVIDENCE": "",
    "COMMENT": "true",
    "EXPECT_REVIEWED": "true",
    "ARGS": "",
    "RECONCILER_POLICY_REF": "",
    "RECONCILER_SIGNING_KEY": "",
}


def act(runner: Runner, inputs: Mapping[str, str], *, status: int = 0, tells: str = "") -> None:
    script = step("Run reconciler", ACTION)["run"]
    assert INPUTS.keys() | {"VENV", "GITHUB_TOKEN"} == {
        name for name in step("Run reconciler", ACTION)["env"] if not name.startswith("GIT_")
    }
    runner.run(script, {"VENV": str(runner.folder), **INPUTS, **inputs}, status=status, tells=tells)


PLAN = (
    "plan --manifests manifests --ref HEAD --out …/plan.json --report html=…/plan.html --report markdown=…/plan.md "
    "--report github=…/annotations"
)
ALL = {
    "REGISTRY_URI": "https://m.example",
    "BASE": "HEAD^1",
    "EVIDENCE": "all",
    "COMMENT": "false",
    "ARGS": "--target\nA B; $(touch x)\n\n",
}
CALLS: dict[str, tuple[dict[str, str], str]] = {
    "plan": ({}, f"{PLAN} --publish github"),
    "plan with all inputs": (
        ALL,
        f"{PLAN} --base HEAD^1 --evidence all --publish none --registry-uri https:…/m.example --target|A B; $(touch x)",
    ),
    "apply": (
        {"COMMAND": "apply"},
        "apply --manifests manifests --yes --publish auto --receipt …/receipt.json --expect-reviewed",
    ),
    "apply without a comparison": (
        {"COMMAND": "apply", "EXPECT_REVIEWED": "false"},
        "apply --manifests manifests --yes --publish auto --receipt …/receipt.json",
    ),
    "drift": ({"COMMAND": "drift"}, "drift --manifests manifests --publish auto"),
}


@pytest.mark.parametrize(("inputs", "call"), CALLS.values(), ids=CALLS.keys())
def test_the_inputs_become_options(runner: Runner, inputs: dict[str, str], call: str) -> None:
    act(runner, inputs)

    head, _, last = call.partition("|")
    assert runner.arguments(call.split(maxsplit=1)[0]) == [*head.split(), *([last] if last else [])]
    assert {command.name for command in runner.heeded()} <= {"notice"}


PLANNED = {"plan-path": "…/plan.json", "changes": "true", "blocked": "false", "digest": "d1"}
APPLIED = {"receipt-path": "…/receipt.json"}
ENDS: dict[str, tuple[str, int, str, dict[str, str]]] = {
    # the command, its exit code, what it told itself → the outputs
    "a plan": ("plan", 0, "", {**PLANNED, "failure-reason": ""}),
    "a plan with changes": ("plan", 2, "", {**PLANNED, "failure-reason": "changes"}),
    "an apply": ("apply", 0, "", {**APPLIED, "failure-reason": ""}),
    "an apply that failed": ("apply", 1, "", {**APPLIED, "failure-reason": "error"}),
    "an apply that found the lock held": ("apply", 1, "locked", {**APPLIED, "failure-reason": "locked"}),
    "a blocked apply": ("apply", 3, "", {**APPLIED, "failure-reason": "blocked"}),
    "a stale apply": ("apply", 4, "", {**APPLIED, "failure-reason": "plan-changed"}),
    "an apply that was broken off": ("apply", 130, "", {**APPLIED, "failure-reason": "interrupted"}),
    "drift": ("drift", 2, "", {"failure-reason": "drift"}),
    "wrong manifests": ("validate", 1, "", {"failure-reason": "error"}),
}


@pytest.mark.parametrize(("command", "status", "tells", "outputs"), ENDS.values(), ids=ENDS.keys())
def test_the_outputs_say_how_it_ended(
    runner: Runner, command: str, status: int, tells: str, outputs: dict[str, str]
) -> None:
    act(runner, {"COMMAND": command}, status=status, tells=tells)

    assert runner.status == status
    assert runner.outputs() == outputs


def test_a_validation_is_annotated(runner: Runner) -> None:
    act(runner, {"COMMAND": "validate", "MANIFESTS": "models"})

    assert [command.name for command in runner.heeded()] == ["warning"]
    assert runner.arguments("validate")[:2] == ["validate", "models"]


@pytest.mark.parametrize("wrong", [{"COMMAND": "destroy"}, {"COMMENT": "yes"}, {"EXPECT_REVIEWED": ""}])
def test_an_input_that_means_nothing_is_refused(runner: Runner, wrong: dict[str, str]) -> None:
    act(runner, wrong)

    assert runner.status == 1
    assert [command.name for command in runner.heeded()] == ["error"]
    assert runner.outputs() == {"failure-reason": "error"}
    assert not list(runner.folder.glob("arguments.*"))


def test_the_action_runs_the_commit_that_is_named_and_not_what_the_repository_holds(tmp_path: Path) -> None:
    product = tmp_path / "an action" / "v1"
    (product / "action").mkdir(parents=True)
    shutil.copy(ROOT / "action" / "environment.sh", product / "action")
    (product / "reconciler" / "scaffold").mkdir(parents=True)
    (product / "reconciler" / "scaffold" / "reconciler.lock").write_text("")
    (product / "reconciler" / "__init__.py").write_text("")
    (product / "reconciler" / "cli.py").write_text("def main():\n    print('ours')\n")
    work = tmp_path / "work"
    (work / "reconciler").mkdir(parents=True)
    (work / "reconciler" / "cli.py").write_text("def main():\n    print('theirs')\n")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "PYTHONPATH": str(work),
        "PIP_NO_INDEX": "1",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_ACTION_PATH": str(product),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }

    for _ in range(2):
        done = subprocess.run(
            [ROOT / "action" / "install.sh"], env=environment, cwd=work, capture_output=True, text=True, check=True
        )
        assert done.stdout == "ours\n"

    (venv,) = set((tmp_path / "output").read_text().splitlines())
    assert Path(venv.removeprefix("venv="), "bin", "reconciler").exists()
