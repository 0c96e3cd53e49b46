"""A registry that people have worked with for years comes under manifests by one command and one merge."""

import json
import re
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.writing.layout import file_stem
from tests.story.command import Ended, Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository

CLAIMS = re.compile(r"Plan: (\d+ found and not judged, )?\d+ models? to claim\.")


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def register_prompt(registry: Registry, name: str) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    body = json.dumps({"name": name, "tags": tags}).encode()
    at = f"{registry.uri}/api/2.0/mlflow/registered-models/create"
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(at, body, headers), timeout=60).close()


@pytest.mark.parametrize("registry", ["mlflow_server_alone"], indirect=True)
def test_a_registry_is_imported_whole_and_the_plan_claims_and_moves_nothing(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    odd, greek = f'{model} "x" #1 O\'Hara', f"Größe-模型-{model}"
    registry.register(odd, versions=0)
    registry.train(odd, "flavors: {}\n", f1=0.91)
    registry.register(model, greek, versions=4)
    for version, stage in ((1, "Archived"), (2, "Production"), (3, "Production"), (4, "Staging")):
        registry.move(model, version, stage)
    registry.set_alias(model, "old", 1)
    registry.set_alias(greek, "champion", 4)
    register_prompt(registry, f"{model}-prompt")

    imported = reconciler("import", "--all", "--owner", "@acme/ml")
    planned = reconciler("plan")

    assert imported.code == 0, imported.said
    assert f"{model}  2 versions are in Production: v2, v3." in imported.out
    assert f"{model}  @old names v1, which is archived." in imported.out
    assert f"{model}-prompt" not in imported.out
    assert (planned.code, CLAIMS.fullmatch(last_line(planned.out)) is not None) == (0, True), planned.said
    first = contents(repository.top / "manifests")
    assert any(f"model: {greek}" in text or f'model: "{greek}"' in text for text in first.values())

    repository.commit()
    registry.register(f"{model}-new", versions=1)
    registry.set_alias(model, "challenger", 4)
    registry.move(greek, 4, "Production")
    again = reconciler("import", "--all", "--owner", "@acme/ml")
    planned = reconciler("plan")

    second = contents(repository.top / "manifests")
    (new,) = second.keys() - first.keys()
    assert f"model: {model}-new\n" in second[new]
    changed = [path for path, text in first.items() if second[path] != text]
    assert len(changed) == 2, again.said
    assert any(second[path] == first[path] + "  challenger: 4\n" for path in changed)
    assert CLAIMS.fullmatch(last_line(planned.out)), planned.said

    repository.commit()
    registry.move(model, 2, "Archived")
    registry.set_alias(model, "old", 3)
    differing = reconciler("import", "--all")

    assert f"{model}  Production is declared to hold v2, v3, but holds v3 (" in differing.out
    assert f"{model}  @old is declared to name v1, but names v3 (" in differing.out
    assert contents(repository.top / "manifests") == second


def test_who_names_nothing_is_told_what_there_is_and_a_dry_run_writes_nothing(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=1)
    registry.move(model, 1, "Production")

    nothing = reconciler("import")
    wrong = reconciler("import", model[:-1])
    unmatched = reconciler("import", "--match", "no-such-*")
    both = reconciler("import", "--all", model)
    dry = reconciler("import", model, "--dry-run")

    assert (nothing.code, wrong.code, unmatched.code, both.code, dry.code) == (1, 1, 1, 1, 0), dry.said
    assert re.search(r"The registry has \d+ models?; not declared: ", nothing.err)
    assert "--match GLOB, or --all" in nothing.err
    assert f"Did you mean `{model}`?" in wrong.err
    assert "matches `no-such-*`" in unmatched.err
    assert f"+model: {model}\n" in dry.out
    assert not (repository.top / "manifests").exists()


def test_each_slot_gets_a_file_and_a_line_for_code_owners(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")
    registry.move(model, 2, "Staging")
    (repository.top / "owners").write_text(f"{model[:10]}* @acme/risk\n")
    (repository.top / "schemas").mkdir()
    (repository.top / "schemas" / "manifest.schema.json").write_text("{}")
    wrong = repository.top / "wrong"
    wrong.write_text("# who\nrisk*\n")

    refused = reconciler("import", model, "--owners", str(wrong))
    imported = reconciler("import", model, "--split", "slot", "--owners", "owners")
    planned = reconciler("plan")

    assert (refused.code, "wrong:2:1: invalid-owners: `risk*` has no owner." in refused.err) == (1, True), refused.said
    assert imported.code == 0, imported.said
    (folder,) = (repository.top / "manifests").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["production.yaml", "staging.yaml"]
    modeline = "# yaml-language-server: $schema=../../schemas/manifest.schema.json"
    assert (folder / "production.yaml").read_text().splitlines()[0] == modeline
    assert re.search(rf"^/manifests/{folder.name}/production.yaml +@acme/risk$", imported.out, re.MULTILINE)
    assert CLAIMS.fullmatch(last_line(planned.out)), planned.said


@pytest.mark.parametrize("trap", ["link", "repository", "file"])
def test_nothing_is_written_through_what_is_not_reviewed(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str, trap: str, tmp_path: Path
) -> None:
    registry.register(model, versions=1)
    registry.move(model, 1, "Production")
    manifests = repository.top / "manifests"
    if trap == "link":
        (tmp_path / "elsewhere").mkdir()
        manifests.symlink_to(tmp_path / "elsewhere")
    elif trap == "repository":
        (manifests / ".git").mkdir(parents=True)
    else:
        manifests.write_text("")

    refused = reconciler("import", model)

    assert refused.code == 1, refused.said
    assert not list(tmp_path.rglob("*.yaml"))


def test_the_manifests_are_the_same_ones_from_every_folder_of_the_repository(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")
    below = repository.top / "training" / "churn"
    below.mkdir(parents=True)
    inside = replace(reconciler, folder=below)
    refused = f"{model}\u200b"
    registry.register(refused, versions=1)

    imported = inside("import", model, "--owners", str(owners_file(repository.top)))
    again = inside("import", model, refused)
    proposed = inside("promote", model, "v2")
    planned, checked = inside("plan"), inside("validate")
    elsewhere = replace(inside, environment={**inside.environment, "RECONCILER_MANIFESTS": "nowhere"})("validate")

    assert imported.code == 0, imported.said
    assert "Note: `nobody-*` of the owners matches no model of the registry." in imported.err
    assert (again.code, "It cannot be declared" in again.out) == (1, True), again.said
    assert list(repository.top.rglob(f"{file_stem(model)}.yaml")) == [
        repository.top / "manifests" / f"{file_stem(model)}.yaml"
    ]
    assert proposed.code == 0, proposed.said
    assert planned.code == 0, planned.said
    assert "promote  v2" in planned.out
    assert (checked.code, elsewhere.code) == (0, 1)
    assert "training/churn/nowhere: no-such-path" in elsewhere.said


def owners_file(folder: Path) -> Path:
    path = folder / "owners"
    path.write_text("nobody-* @acme/ml\n")
    return path


SOURCE = f"git+https://git.acme.example/mlops/mlflow-reconciler@{'a1' * 20}"


def test_a_first_model_is_declared_as_the_registry_holds_it(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=3)
    registry.move(model, 2, "Production")
    registry.move(model, 3, "Staging")
    registry.set_alias(model, "champion", 2)
    registry.register(f"{model}-new", versions=0)

    def init(*arguments: str, **environment: str) -> Ended:
        at = replace(reconciler, environment={**reconciler.environment, **environment})
        return at("init", "--install-from", SOURCE, "--no-signing-key", *arguments)

    refusals = {
        "Did you mean": init("--model", model[:-1]),
        f"{model} has no version 9; the newest is 3": init("--model", model, "--version", "9"),
        "holds v2, not v3. First declare what is there: --version 2;": init("--model", model, "--version", "3"),
        f"{model}-new has no versions yet": init("--model", f"{model}-new", "--version", "1"),
        f"reconciler import {model} other": init("--model", model, "--model", "other"),
    }
    written = (repository.top / "manifests").exists()
    begun = init("--model", model, "--version", "2", "--owner", "@acme/ml")
    planned = reconciler("plan")

    for words, refused in refusals.items():
        assert (refused.code, words in refused.err) == (1, True), refused.said
    assert not written
    assert begun.code == 0, begun.said
    (folder,) = (repository.top / "manifests").iterdir()
    lines = {path.name: path.read_text().splitlines() for path in folder.iterdir()}
    assert lines["production.yaml"][1:4] == [f"model: {model}", 'owners: ["@acme/ml"]', "stages:"]
    assert re.fullmatch(r"  Production: 2  # \d{4}-\d\d-\d\d", lines["production.yaml"][4])
    assert "../../schemas/manifest.schema.json" in lines["production.yaml"][0]
    assert re.match(r"  Staging: 3\b", lines["staging.yaml"][-1])
    assert re.match(r"  champion: 2\b", lines["aliases.yaml"][-1])
    assert CLAIMS.fullmatch(last_line(planned.out)), planned.said

    registry.move(model, 3, "Production", archive=True)
    before = contents(repository.top / "manifests")
    again = init("--model", model, "--owner", "@acme/ml")

    assert "Production is declared to hold v2, but holds v3 (manifests/" in again.out, again.said
    assert "Staging is declared to hold v3, but holds nothing (manifests/" in again.out
    assert contents(repository.top / "manifests") == before


@pytest.mark.parametrize(
    ("uri", "why"), [("", "no registry is named"), ("http://127.0.0.1:9", "nothing listens at that port")]
)
def test_a_first_model_without_a_registry_is_not_compared_and_that_is_said(
    repository: Repository, reconciler: Reconciler, uri: str, why: str
) -> None:
    at = replace(reconciler, environment={**reconciler.environment, "MLFLOW_TRACKING_URI": uri})

    begun = at("init", "--install-from", SOURCE, "--no-signing-key", "--model", "churn", "--version", "4")

    assert begun.code == 0, begun.said
    assert "The manifest was not compared with a registry" in begun.err
    assert why in begun.err
    assert "  Production: 4\n" in (repository.top / "manifests" / "churn" / "production.yaml").read_text()
