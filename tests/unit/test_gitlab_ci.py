"""The files for GitLab CI: what `init` writes, the same as an example, and the components."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCAFFOLD = ROOT / "reconciler" / "scaffold" / "gitlab"
EXAMPLE = ROOT / "examples" / "gitlab"
COMPONENTS = sorted((ROOT / "templates").glob("*/template.yml"))
INPUT = re.compile(r"\$\[\[ inputs\.([a-z-]+) \]\]")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def jobs_of(text: str) -> dict[str, dict[str, Any]]:
    """The jobs, with what they extend, by their names without prefix."""
    content = yaml.safe_load(text)
    hidden = content.pop(".reconciler", {})
    variables = hidden.get("variables", {})
    return {
        name.rpartition(":")[2]: {**hidden, **job, "variables": {**variables, **job.get("variables", {})}}
        for name, job in content.items()
    }


def component(path: Path) -> tuple[dict[str, Any], str]:
    """The inputs, and the rest with the defaults filled in, as GitLab does: as values, not as text."""
    header, rest = text_of(path).split("\n---\n")
    inputs: dict[str, Any] = yaml.safe_load(header)["spec"]["inputs"]

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return INPUT.sub(lambda found: str(inputs[found[1]]["default"]), value)
        if isinstance(value, list):
            return [filled(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # YAML
        if isinstance(value, dict):
            return {filled(k): filled(v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType]  # YAML
        return value

    return inputs, yaml.safe_dump(filled(yaml.safe_load(rest)))


SHIPPED = jobs_of(text_of(SCAFFOLD / "reconciler.gitlab-ci.yml"))


@pytest.mark.parametrize("name", ["reconciler.gitlab-ci.yml", "gitlab-ci.yml"])
def test_the_example_is_what_init_writes(name: str) -> None:
    written = EXAMPLE / (".gitlab-ci.yml" if name == "gitlab-ci.yml" else f".gitlab/{name}")

    assert text_of(written) == text_of(SCAFFOLD / name)


@pytest.mark.parametrize("path", [*SCAFFOLD.iterdir(), *COMPONENTS], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_gitlabs_schema_accepts_it(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / ".gitlab-ci.yml"
    copy.write_text(component(path)[1] if path in COMPONENTS else text_of(path), encoding="utf-8")

    done = subprocess.run(
        [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", copy],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_component_for_each_command_in_ci() -> None:
    assert [path.parent.name for path in COMPONENTS] == ["apply", "drift", "plan"]


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda p: p.parent.name)
def test_a_component_uses_the_inputs_that_it_declares_and_says_what_they_are(path: Path) -> None:
    inputs, _ = component(path)

    assert set(INPUT.findall(text_of(path))) == inputs.keys()
    assert all(given["description"] and "default" in given for given in inputs.values())
    assert inputs["install"]["default"] == SHIPPED["apply"]["variables"]["RECONCILER_INSTALL"]


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda p: p.parent.name)
def test_an_input_reaches_a_script_as_a_variable_only(path: Path) -> None:
    for job in jobs_of(text_of(path).split("\n---\n")[1]).values():
        assert not INPUT.search("\n".join([*job["before_script"], *job["script"]]))


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda p: p.parent.name)
def test_a_component_does_what_the_job_of_that_name_does(path: Path) -> None:
    for name, job in jobs_of(component(path)[1]).items():
        shipped = SHIPPED[name]
        script = [line.replace('"$RECONCILER_EVIDENCE"', "production") for line in job["script"]]

        assert script == shipped["script"]
        for key in (
            *("before_script", "rules", "artifacts", "interruptible", "needs", "dependencies", "cache"),
            *("environment", "resource_group"),
        ):
            assert job.get(key) == shipped.get(key), key
        for key in ("GIT_LFS_SKIP_SMUDGE", "GIT_STRATEGY"):
            assert job["variables"].get(key) == shipped["variables"].get(key), key


@pytest.mark.parametrize("name", SHIPPED)
def test_a_script_is_one_for_any_shell(name: str) -> None:
    script = "\n".join([*SHIPPED[name]["before_script"], *SHIPPED[name]["script"]])

    done = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", [name for name in SHIPPED if name != "promote"])
def test_what_a_job_hands_over_is_what_it_writes(name: str) -> None:
    artifacts = SHIPPED[name]["artifacts"]
    files = {*artifacts.get("paths", []), *artifacts["reports"].values()} - {"reconciler.env"}

    script = "\n".join(SHIPPED[name]["script"])

    assert all(file in script for file in files)
    assert artifacts["when"] == "always"


@pytest.mark.parametrize("name", ["plan", "apply", "drift", "promote"])
def test_a_job_that_asks_which_commit_is_the_later_one_has_all_of_history(name: str) -> None:
    assert SHIPPED[name]["variables"]["GIT_DEPTH"] == "0"


def test_forks_are_validated_and_not_planned() -> None:
    never = {"if": "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID != $CI_MERGE_REQUEST_PROJECT_ID", "when": "never"}

    assert SHIPPED["plan"]["rules"][0] == never
    assert never not in SHIPPED["validate"]["rules"]


def test_an_apply_is_alone_and_not_broken_off() -> None:
    apply = SHIPPED["apply"]

    assert apply["resource_group"]
    assert apply["interruptible"] is False
    assert apply["rules"][-1] == {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}


def test_no_other_job_hands_an_apply_anything() -> None:
    apply = SHIPPED["apply"]

    assert apply["dependencies"] == []
    assert apply["variables"]["GIT_STRATEGY"] == "clone"
    assert all(job["cache"] == [] for job in SHIPPED.values())
    assert all(SHIPPED[name]["needs"] == [] for name in ("validate", "plan", "drift"))


@pytest.mark.parametrize(
    ("version", "model", "more", "call"),
    [
        ("", "risk", {}, "--to Production --open-pr --from Staging -- risk"),
        ("latest", "risk", {"COMMENT": "It won."}, "--to Production --open-pr --comment It won. --latest -- risk"),
        (
            "@champion",
            "a b; $(touch x)",
            {"SLOT": "Staging"},
            "--to Staging --open-pr --from @champion -- a b; $(touch x)",
        ),
        ("7", "--all", {}, "--to Production --open-pr -- --all 7"),
    ],
)
def test_a_promotion_is_asked_for_as_whoever_starts_it_says(
    tmp_path: Path, version: str, model: str, more: dict[str, str], call: str
) -> None:
    given = {"MODEL": model, "VERSION": version, **more}
    script = "\n".join(['reconciler() { echo "$*"; return 3; }', *SHIPPED["promote"]["script"]])

    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], **{f"RECONCILER_PROMOTE_{key}": value for key, value in given.items()}},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.strip(), done.returncode) == (f"promote {call}", 3)
    assert not (tmp_path / "x").exists()


def test_a_promotion_is_asked_for_on_the_default_branch_alone_and_pushes_as_an_apply_does() -> None:
    promote = SHIPPED["promote"]

    assert promote["rules"][0]["if"].endswith("$CI_COMMIT_BRANCH != $CI_DEFAULT_BRANCH")
    assert promote["rules"][-1]["when"] == "manual"
    assert promote["script"][0] == SHIPPED["apply"]["script"][0]
    assert "environment" not in promote, "the environment of the apply has the identity that writes"


def test_no_job_names_the_key_that_signs() -> None:
    assert not [name for name, job in SHIPPED.items() if "SIGNING_KEY" in str(job)], "a protected variable brings it"


def test_git_gets_the_token_that_may_push_and_no_file_does(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    subprocess.run(
        ["git", "remote", "add", "origin", "https://ci:job@gitlab.example/a/b.git"], cwd=tmp_path, check=True
    )
    setting = next(line for line in SHIPPED["apply"]["script"] if "GIT_CONFIG" in line)
    asking = (
        "git remote get-url --push origin; printf 'protocol=https\\nhost=%s\\n\\n' $HOST | git credential fill || true"
    )

    def said(host: str) -> str:
        done = subprocess.run(
            ["sh", "-c", f"{setting}\n{asking}"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "CI_PROJECT_URL": "https://gitlab.example/a/b",
                "CI_SERVER_URL": "https://gitlab.example",
                "RECONCILER_PUSH_TOKEN": "glpat-x;$(true)",
                "HOST": host,
            },
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert said("gitlab.example").splitlines()[0] == "https://gitlab.example/a/b.git"
    assert "username=reconciler\npassword=glpat-x;$(true)\n" in said("gitlab.example")
    assert "glpat-x" not in said("elsewhere.example")
    assert "glpat-x" not in (tmp_path / ".git/config").read_text()
