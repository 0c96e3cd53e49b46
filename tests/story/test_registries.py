"""Several registries that one repository governs: two real servers, one of them with users."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import reconciler
from reconciler.errors import SeveralRegistriesError
from tests.github_server import Hub, serving
from tests.servers import ADMINISTRATOR, free_port
from tests.story.command import Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, git, manifest
from tests.story.test_review import Actions

POLICY = """\
registries:
  dev: {mode: alias, stages: {Production: champion}}
  prod: {limits: {max-change-percent: 50}}
slots:
- slot: Production
  registries: prod
  gates: [{path: {from: Staging}}]
"""


@dataclass(frozen=True)
class Two:
    """A repository that governs two registries, and a model that both have, with three versions."""

    repository: Repository
    dev: Registry
    prod: Registry
    run: Reconciler
    model: str

    def declare(self, registry: str, **slots: Any) -> None:
        self.repository.write(manifest(self.model, **slots), f"{registry}/models.yaml")


@pytest.fixture
def two(
    command: Callable[[Repository, str], Reconciler],
    repository: Repository,
    mlflow_server: str,
    server_with_users: str,
    model: str,
) -> Two:
    dev, prod = Registry(mlflow_server), Registry(server_with_users, user=ADMINISTRATOR)
    for registry in (dev, prod):
        registry.register(model, versions=3)
    run = command(repository, dev.uri)
    environment = {name: value for name, value in run.environment.items() if name != "MLFLOW_TRACKING_URI"}
    user, password = ADMINISTRATOR
    variables = {
        "DEV_MLFLOW_TRACKING_URI": dev.uri,
        "PROD_MLFLOW_TRACKING_URI": prod.uri,
        "PROD_MLFLOW_TRACKING_USERNAME": user,
        "PROD_MLFLOW_TRACKING_PASSWORD": password,
        # What is in no prefix is no registry's.
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
        "MLFLOW_TRACKING_USERNAME": "nobody",
        "MLFLOW_TRACKING_PASSWORD": "nothing",
    }
    (repository.top / "reconciler.yaml").write_text(POLICY)
    repository.commit("Name the registries")
    return Two(repository, dev, prod, replace(run, environment={**environment, **variables}), model)


def test_each_registry_gets_what_its_folder_declares_by_its_own_rules(two: Two) -> None:
    two.prod.move(two.model, 1, "Staging")
    two.declare("dev", production=3)
    two.declare("prod", production=1)
    two.repository.commit("Promote v3 in dev, and v1 in prod")

    planned = two.run("plan", "--out", "plan.json")
    applied = two.run("apply", "plan.json", "--receipt", "receipt.json")
    status = two.run("status", "--format", "json")
    history = two.run("history")
    audited = two.run("audit")
    again = two.run("plan", "--detailed-exitcode")

    assert [ended.code for ended in (planned, applied, status, history, audited, again)] == [0] * 6, (
        planned.said + applied.said + status.said + history.said + audited.said
    )
    parts = re.split(r"(?m)^(dev|prod):$", planned.out)
    assert "@champion   -> v3" in parts[parts.index("dev") + 1]
    assert "Staging -> Production" in parts[parts.index("prod") + 1]
    assert "pass     path before Production" in parts[parts.index("prod") + 1]
    assert two.dev.aliases(two.model) == {"champion": 3}
    assert (two.dev.production(two.model), two.prod.production(two.model)) == ([], [1])
    assert two.prod.aliases(two.model) == {}
    for file, what in (("plan.json", "digest"), ("receipt.json", "id")):
        document = json.loads((two.repository.top / file).read_text())
        assert len({one[what] for one in document["registries"].values()}) == 2
    assert set(json.loads(status.out)["registries"]) == {"dev", "prod"}
    receipts = git(two.repository.remote, "for-each-ref", "refs/reconciler/receipts")
    assert receipts
    assert len(git(two.repository.remote, "for-each-ref", "refs/reconciler/locks").splitlines()) == 2


def test_a_registry_that_does_not_answer_keeps_no_other_one_from_being_applied(two: Two) -> None:
    two.declare("dev", production=3)
    two.declare("prod", production=[])
    two.repository.commit()
    gone = {"PROD_MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}

    planned = two.run("plan", "--format", "json", **gone)
    applied = two.run("apply", "--yes", **gone)
    one = two.run("plan", "--registry", "dev", "--detailed-exitcode", **gone)

    assert (planned.code, applied.code, one.code) == (1, 1, 0), planned.said + applied.said + one.said
    document = json.loads(planned.out)["registries"]
    assert document["dev"]["digest"]
    assert gone["PROD_MLFLOW_TRACKING_URI"] in document["prod"]["error"]["message"]
    assert f"Error: prod: {gone['PROD_MLFLOW_TRACKING_URI']}" in applied.err
    assert two.dev.aliases(two.model) == {"champion": 3}


def test_what_is_about_one_registry_says_which(two: Two) -> None:
    two.declare("dev", production=3)
    two.repository.commit()

    said = [
        two.run(*arguments)
        for arguments in (
            ("promote", two.model, "2"),
            ("plan", "--target", two.model),
            ("plan", "--registry", "pord"),
        )
    ]
    promoted = two.run("promote", two.model, "2", "--registry", "dev")
    open_to_all, with_users, neither = (
        two.run("access", "--format", "json", *named) for named in (("--registry", "dev"), ("--registry", "prod"), ())
    )
    validated = two.run("validate")

    assert [ended.code for ended in (*said, promoted, validated)] == [1, 1, 1, 0, 0], promoted.said + validated.said
    assert "several registries: dev, prod. Name one of them with --registry." in said[0].err
    assert "--target is about one registry: name it with --registry (dev, prod)." in said[1].err
    assert "names no registry `pord`: it names dev, prod. Did you mean `prod`?" in said[2].err
    assert "Production: 2" in (two.repository.top / "manifests/dev/models.yaml").read_text()
    of_dev, of_prod = (json.loads(ended.out) for ended in (open_to_all, with_users))
    assert (of_dev["registry"], of_prod["registry"]) == (two.dev.uri, two.prod.uri)
    assert (of_dev["server"]["kind"], of_prod["server"]["kind"]) == ("open", "grants")
    assert ([one["slot"] for one in of_dev["governed"]["slots"]], of_prod["governed"]) == (["@champion"], None)
    assert (neither.code, "does not answer" in neither.err) == (1, True), neither.said


def test_no_change_leads_its_own_plan_and_the_credentials_with_it_to_another_registry(two: Two) -> None:
    two.declare("prod", production=1)
    two.repository.commit()
    elsewhere = f"http://127.0.0.1:{free_port()}"
    moved = POLICY.replace("prod: {", f'prod: {{address: "{elsewhere}", prefix: D_, manifests: manifests/dev, ')
    (two.repository.top / "reconciler.yaml").write_text(moved.replace("dev: {", "dev: {manifests: manifests/prod, "))
    git(two.repository.top, "checkout", "--quiet", "-b", "change")
    git(two.repository.top, "commit", "--quiet", "--all", "--message", "Lead it elsewhere")

    planned = two.run("plan", "--base", "origin/main", "--registry", "prod")

    assert planned.code == 3, planned.said
    assert two.prod.uri in planned.out
    assert "fail     path before Production" in planned.out
    assert "This change edits reconciler.yaml (settings)." in planned.out


def test_a_repository_of_one_registry_comes_to_govern_a_second_one(two: Two) -> None:
    two.prod.move(two.model, 2, "Staging")
    alone = {"MLFLOW_TRACKING_URI": two.dev.uri, "MLFLOW_TRACKING_USERNAME": "", "MLFLOW_TRACKING_PASSWORD": ""}
    (two.repository.top / "reconciler.yaml").write_text("stages: {Production: champion}\n")
    git(two.repository.top, "commit", "--quiet", "--all", "--amend", "--message", "Name one registry")
    git(two.repository.top, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/main")
    two.repository.merge(manifest(two.model, production=1))
    assert two.run("apply", "--yes", **alone).code == 0
    (two.repository.top / "reconciler.yaml").write_text(
        "stages: {Production: champion}\nregistries:\n  dev: {manifests: manifests}\n  prod: {manifests: prod}\n"
    )
    git(two.repository.top, "checkout", "--quiet", "-b", "change")
    (two.repository.top / "prod").mkdir()
    (two.repository.top / "prod" / "models.yaml").write_text(manifest(two.model, production=2))
    git(two.repository.top, "add", "--all")
    git(two.repository.top, "commit", "--quiet", "--message", "Govern prod, too")

    changing = two.run("plan", "--base", "origin/main", "--detailed-exitcode", **alone)
    git(two.repository.top, "push", "--quiet", "origin", "change:main")
    still = two.run("apply", "--yes", **alone)
    git(two.repository.top, "commit", "--quiet", "--allow-empty", "--message", "Take it up")
    git(two.repository.top, "push", "--quiet", "origin", "change:main")
    planned = two.run("plan", "--detailed-exitcode")
    applied = two.run("apply", "--yes")
    examined = two.run("doctor")

    assert changing.code == 0, changing.said
    assert "This change names registries: dev, prod. They are planned from the change after it." in changing.err
    assert (still.code, planned.code, applied.code) == (0, 2, 0), still.said + planned.said + applied.said
    assert two.prod.production(two.model) == [2]
    assert two.dev.production(two.model) == [1]
    assert re.search(r"(?s)registry dev.*registry prod", examined.said)


def test_from_python_each_is_opened_by_its_name_and_the_environment_stays_as_it_is(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.declare("dev", production=3)
    two.declare("prod", production=[])
    two.repository.commit()
    for name, value in two.run.environment.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)

    dev, prod = (reconciler.open(two.repository.top, named=name) for name in ("dev", "prod"))
    applied = [project.apply(yes=True).registry for project in (dev, prod)]
    proposed = dev.promote(two.model, 2).title
    with pytest.raises(SeveralRegistriesError) as refused:
        reconciler.open(two.repository.top).plan()

    assert applied == [two.dev.uri, two.prod.uri]
    assert proposed == f"Promote {two.model} v2 to @champion in dev"
    assert "Name one of them with `named`." in str(refused.value)
    assert dict(os.environ) == before


def test_two_names_of_one_registry_are_refused_whatever_says_the_address(two: Two) -> None:
    two.declare("dev", production=3)
    two.declare("prod", production=[])
    two.repository.commit()
    same = {name.replace("PROD_", "DEV_"): value for name, value in two.run.environment.items() if "PROD_" in name}

    planned = two.run("plan", **same)
    elsewhere = two.run("plan", "--registry", "dev", RECONCILER_MANIFESTS="manifests")

    assert (planned.code, elsewhere.code) == (1, 1)
    assert planned.err.count("are the same registry") == 2
    assert "The manifests of dev are in manifests/dev, as the policy says. Leave out --manifests" in elsewhere.err


def test_credentials_that_a_file_has_are_sent_to_none_of_several(two: Two, tmp_path: Path) -> None:
    two.declare("dev", production=3)
    two.repository.commit()
    file = tmp_path / ".mlflow" / "credentials"
    file.parent.mkdir()
    file.write_text("[mlflow]\nmlflow_tracking_username = a\nmlflow_tracking_password = b\n")

    planned = two.run("plan", "--registry", "dev", HOME=str(tmp_path))
    with_own = two.run(
        *("plan", "--registry", "dev"),
        HOME=str(tmp_path),
        DEV_MLFLOW_TRACKING_USERNAME="c",
        DEV_MLFLOW_TRACKING_PASSWORD="d",
    )

    assert (planned.code, with_own.code) == (1, 0), planned.said + with_own.said
    assert f"would send the credentials in {file} to dev. Set DEV_MLFLOW_TRACKING_USERNAME" in planned.err


def test_rules_from_before_a_registry_was_named_are_not_about_it(two: Two) -> None:
    (two.repository.top / "reconciler.yaml").write_text(
        "slots:\n- {slot: Production, gates: [{path: {from: Staging}}]}\n"
    )
    two.repository.write(manifest(two.model, staging=2))
    two.repository.commit("One registry, whose Production is guarded")
    (two.repository.top / "reconciler.yaml").write_text(
        POLICY.replace("dev: {", "dev: {manifests: dev, ").replace("prod: {", "prod: {manifests: manifests, ")
    )
    (two.repository.top / "dev").mkdir()
    (two.repository.top / "dev" / "models.yaml").write_text(manifest(two.model, production=3))
    two.repository.commit("Name two")
    two.repository.write(manifest(two.model, staging=2, production=1))
    two.repository.commit("Promote in prod")

    planned = two.run("plan")

    assert planned.code == 3
    dev, prod = planned.out.split("\nprod:\n")
    assert "@champion   -> v3" in dev
    assert "fail" not in dev
    assert "fail     path before Production" in prod, "by the folder, it is the one that was guarded"


@pytest.fixture
def actions(two: Two, tmp_path: Path) -> Iterator[Actions]:
    folder = tmp_path / "runner"
    folder.mkdir()
    with serving(Hub()) as hub:
        yield Actions(hub, folder, two.run)


def test_one_comment_shows_all_of_them_and_each_is_applied_by_its_part(two: Two, actions: Actions) -> None:
    two.prod.move(two.model, 1, "Staging")
    git(two.repository.top, "checkout", "--quiet", "-B", "promote", "origin/main")
    two.declare("dev", production=3)
    two.declare("prod", production=1)
    git(two.repository.top, "add", "manifests")
    git(two.repository.top, "commit", "--quiet", "--message", "Promote")

    first = actions.pull_request()
    second = actions.pull_request()
    (comment,) = actions.hub.bodies()
    summary = actions.summary
    two.dev.set_alias(two.model, "champion", 2)
    applied = actions.push(two.repository.merge_proposal(), "--expect-reviewed")

    assert (first.code, second.code, applied.code) == (0, 0, 4), first.said + applied.said
    assert comment.count("<!-- reconciler:plan") == 3
    assert comment.index("## `dev`") < comment.index("## `prod`")
    assert summary.count("## `") == 2
    assert "reconciler apply --registry prod --yes --expect-digest" in comment
    assert two.dev.aliases(two.model) == {"champion": 2}
    assert two.prod.production(two.model) == [1]
    assert actions.outputs["failure-reason"] == "plan-changed"
    assert actions.outputs["changes"] == "true"
