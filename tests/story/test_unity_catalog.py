"""
A registry without stages, whose tags hold none of our records: Unity Catalog, by the shapes of its answers that
MLflow's client reads. There is no account here, so this is as near as it gets.
"""

import re
from collections.abc import Callable, Generator
from dataclasses import replace

import pytest

from reconciler.core.names import Commit, RepositoryId
from reconciler.core.snapshot import Ownership, encode_owner
from tests.story.command import Ended, Reconciler
from tests.story.repository import Repository, git, manifest
from tests.unity_catalog import TOKEN, Catalog, unity_catalog

RISK = "prod.credit.risk"
POLICY = """\
mode: alias
stages:
  Production: {alias: champion, previous: champion-previous}
"""


@pytest.fixture
def catalog() -> Generator[Catalog]:
    with unity_catalog() as catalog:
        catalog.register(RISK, 4)
        catalog.register("prod.credit.fraud", 2)
        catalog.register("prod.credit.unrelated", 1)
        yield catalog


@pytest.fixture
def reconciler(
    command: Callable[[Repository, str], Reconciler], repository: Repository, catalog: Catalog
) -> Reconciler:
    made = command(repository, "databricks-uc")
    there = {"DATABRICKS_HOST": catalog.url, "DATABRICKS_TOKEN": TOKEN, "MLFLOW_TRACKING_URI": "databricks"}
    return replace(made, environment={**made.environment, **there, "MLFLOW_REGISTRY_URI": "databricks-uc"})


def applied(done: Ended) -> str:
    assert done.code == 0, done.said
    return done.out


def test_a_team_on_unity_catalog_promotes_rolls_back_and_sees_drift(
    repository: Repository, catalog: Catalog, reconciler: Reconciler
) -> None:
    (repository.top / "reconciler.yaml").write_text(POLICY)
    repository.merge(manifest(RISK, production=3))
    models = catalog.models[RISK]

    plan = reconciler("plan")
    assert plan.code == 0, plan.said
    assert models.aliases == {}
    applied(reconciler("apply", "--yes"))
    assert models.aliases == {"champion": "3"}
    assert set(models.tags) == {"reconciler_owner"}
    assert not any(models.version_tags.values())
    assert len(records(repository)) == 1

    promoted = reconciler("promote", RISK, "4")
    assert promoted.code == 0, promoted.said
    repository.commit("Promote v4")
    said = applied(reconciler("apply", "--yes"))
    assert re.search(r"promote +@champion +v3 -> v4", said), said
    assert models.aliases == {"champion": "4", "champion-previous": "3"}

    git(repository.top, "revert", "--no-edit", "HEAD")
    git(repository.top, "push", "--quiet", "origin", "HEAD")
    said = applied(reconciler("apply", "--yes"))
    assert "roll back" in said
    assert models.aliases["champion"] == "3"
    assert "No changes" in applied(reconciler("plan"))

    models.aliases["champion"] = "1"
    drift = reconciler("drift")
    assert drift.code == 2, drift.said
    assert "champion-previous" not in drift.said
    assert "moved by hand" in applied(reconciler("history", RISK))

    repository.write("", "models.yaml")
    repository.commit("Give it up")
    models.aliases["champion"] = "3"
    applied(reconciler("apply", "--yes", "--allow-empty"))
    assert "reconciler_owner" not in models.tags


def test_records_are_in_the_clone_of_nobody_else_and_the_mark_says_whose_a_model_is(
    repository: Repository, catalog: Catalog, reconciler: Reconciler
) -> None:
    theirs = Ownership(RepositoryId("acme.example/others#manifests"), commit=Commit("1" * 40))
    catalog.models[RISK].tags["reconciler_owner"] = encode_owner(theirs)
    repository.merge(f"model: {RISK}\naliases: {{champion: 3}}\n")

    done = reconciler("apply", "--yes")

    assert done.code == 3, done.said
    assert "acme.example/others" in done.said
    assert catalog.models[RISK].aliases == {}


def test_a_stage_is_refused_at_its_line_and_the_message_names_the_alias_to_use(
    repository: Repository, catalog: Catalog, reconciler: Reconciler
) -> None:
    repository.merge(manifest(RISK, production=3))
    plain = reconciler("plan")
    (repository.top / "reconciler.yaml").write_text(POLICY.replace("mode: alias\n", ""))
    repository.commit("An alias stands for Production")
    mapped = reconciler("plan")

    assert (plain.code, mapped.code) == (1, 1)
    assert re.search(r"models.yaml:\d+:\d+: no-stages: .*`production`", plain.said), plain.said
    assert re.search(r"no-stages: .*`champion` stands for it: write `mode: alias`", mapped.said), mapped.said
    assert not any("alias" in request for request in catalog.requests)


def test_what_unity_catalog_takes_no_part_in_is_said_before_anything_is_written(
    repository: Repository, catalog: Catalog, reconciler: Reconciler
) -> None:
    pin = "{run_id: " + "a" * 32 + ", artifact_path: model}"
    repository.merge(f"model: {RISK}\ntags: {{cost.center: risk}}\naliases: {{champion: {pin}}}\n")

    done = reconciler("plan")

    assert done.code == 1
    assert "registers-nothing" in done.said
    assert "`cost.center`" in done.said


def test_a_registry_is_imported_with_its_aliases(
    repository: Repository, catalog: Catalog, reconciler: Reconciler
) -> None:
    catalog.models[RISK].aliases["champion"] = "2"

    done = reconciler("import", "--all")

    assert done.code == 0, done.said
    text = "".join(path.read_text() for path in (repository.top / "manifests").rglob("*.yaml"))
    assert RISK in text
    assert "champion: 2" in text


def test_a_call_that_fails_is_tried_again_and_lost_records_are_made_anew(
    repository: Repository, catalog: Catalog, reconciler: Reconciler
) -> None:
    (repository.top / "reconciler.yaml").write_text(POLICY)
    repository.merge(manifest(RISK, production=3))
    applied(reconciler("apply", "--yes"))
    git(repository.top, "push", "--quiet", "origin", "--delete", *records(repository))
    assert records(repository) == []

    repository.write(manifest(RISK, production=4))
    repository.commit("Promote v4")
    catalog.fails = 1
    applied(reconciler("apply", "--yes"))

    assert catalog.models[RISK].aliases["champion"] == "4"
    assert len(records(repository)) == 1
    assert "No changes" in applied(reconciler("plan"))


def records(repository: Repository) -> list[str]:
    return git(repository.remote, "for-each-ref", "--format=%(refname)", "refs/reconciler/records/*").split()
