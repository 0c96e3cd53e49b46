"""What `reconciler init` writes, keeps and refuses."""

import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.names import model_name_fault
from reconciler.errors import ReconcilerError, Validation
from reconciler.forges.kinds import ForgeKind
from reconciler.project import validation
from reconciler.scaffold import First, Jobs, Renewal, Renewed, Scaffold, scaffold, update
from reconciler.scaffold.keys import key_path
from reconciler.writing.layout import file_stem
from tests.story.repository import git

RISK = First("RiskClassifier", 4, "@acme/risk-ml")
SOURCE = f"git+https://git.acme.example/mlops/mlflow-reconciler@{'a1' * 20}"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return new(tmp_path / "models")


def new(folder: Path, url: str = "git@github.com:acme/models.git") -> Path:
    """An empty clone of a repository with this address."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", url)
    return folder


def lay(top: Path, first: First = First(), forge: ForgeKind | None = None) -> Scaffold:
    """What `init --no-signing-key --install-from …` does; the tests run from a folder, which says nothing."""
    return scaffold(top, first, Jobs(forge, install_from=SOURCE), signing_key=False)


def written(done: Scaffold) -> list[str]:
    return [laid.path for laid in done.laid if not laid.kept]


def files_of(top: Path) -> dict[str, str]:
    found = (path for path in top.rglob("*") if path.is_file() and ".git" not in path.relative_to(top).parts)
    return {path.relative_to(top).as_posix(): path.read_text(encoding="utf-8") for path in found}


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("git@github.com:acme/models.git", ForgeKind.GITHUB),
        ("https://github.acme.example/acme/models", ForgeKind.GITHUB),
        ("https://user:secret@gitlab.com/acme/models.git", ForgeKind.GITLAB),
        ("ssh://git@gitlab.acme.example:2222/acme/models.git", ForgeKind.GITLAB),
        ("https://git.acme.example/github/models.git", ForgeKind.NONE),
        ("/srv/git/gitlab/models.git", ForgeKind.NONE),
    ],
)
def test_the_forge_is_known_by_the_remotes_address(tmp_path: Path, url: str, kind: ForgeKind) -> None:
    assert lay(new(tmp_path / "models", url)).forge is kind


def test_the_forge_may_be_named(top: Path) -> None:
    done = lay(top, forge=ForgeKind.GITLAB)

    assert ".gitlab-ci.yml" in written(done)
    assert not (top / ".github").exists()


def test_on_github_every_workflow_is_written(top: Path) -> None:
    lay(top, RISK)

    files = files_of(top)
    shipped = sorted((ROOT / "reconciler/scaffold/github").glob("*.yml"))
    assert shipped
    for path in shipped:
        text = files[f".github/workflows/{path.name}"]
        assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [ForgeKind.GITHUB, ForgeKind.GITLAB])
def test_the_jobs_look_at_the_folders_of_all_registries(top: Path, kind: ForgeKind) -> None:
    (top / "reconciler.yaml").write_text("registries: {prod: {manifests: manifests}, dev: {manifests: dev.d}}\n")

    lay(top, forge=kind)

    files = files_of(top)
    jobs = "".join(text for path, text in files.items() if path.startswith((".github", ".gitlab/")))
    assert "validate manifests" not in jobs + files[".pre-commit-config.yaml"]
    assert "RECONCILER_MANIFESTS" not in jobs
    assert "files: (?i)^(dev\\.d/|manifests/|reconciler" in files[".pre-commit-config.yaml"]
    owners = files[".github/CODEOWNERS" if kind is ForgeKind.GITHUB else ".gitlab/CODEOWNERS"]
    assert "/dev.d/ " in owners
    assert "/manifests/ " in owners
    if kind is ForgeKind.GITHUB:
        assert 'paths: ["dev.d/**", "manifests/**", reconciler.yaml]' in jobs


def test_on_gitlab_the_jobs_are_included(tmp_path: Path) -> None:
    top = new(tmp_path / "models", "git@gitlab.com:acme/models.git")

    lay(top, RISK)

    example = ROOT / "examples" / "gitlab"
    for name in (".gitlab-ci.yml", ".gitlab/reconciler.gitlab-ci.yml"):
        assert (top / name).read_text(encoding="utf-8") == (example / name).read_text(encoding="utf-8")


def test_without_a_forge_there_are_no_jobs(top: Path) -> None:
    done = lay(top, RISK, ForgeKind.NONE)

    assert written(done) == [
        "manifests/risk-classifier/production.yaml",
        "manifests/risk-classifier/staging.yaml",
        "schemas/manifest.schema.json",
        "schemas/policy.schema.json",
        ".pre-commit-config.yaml",
        ".reconciler/init.json",
    ]
    assert any("--forge" in step for step in done.next_steps)


@pytest.mark.parametrize("branch", ["trunk", "release/next"])
def test_the_workflows_apply_the_branch_that_the_remote_calls_its_default(top: Path, branch: str) -> None:
    head = top / ".git/refs/remotes/origin/HEAD"
    head.parent.mkdir(parents=True, exist_ok=True)
    head.write_text(f"ref: refs/remotes/origin/{branch}\n")

    lay(top)

    apply = (top / ".github/workflows/reconciler-apply.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(apply)[True]["push"]["branches"] == [branch]
    assert "refs/heads/main" not in apply


def test_the_first_manifests_declare_production_and_leave_staging_alone(top: Path) -> None:
    lay(top, RISK)

    files = files_of(top)
    production = yaml.safe_load(files["manifests/risk-classifier/production.yaml"])
    assert production == {"model": "RiskClassifier", "owners": ["@acme/risk-ml"], "stages": {"Production": 4}}
    assert yaml.safe_load(files["manifests/risk-classifier/staging.yaml"]) == {"model": "RiskClassifier"}


def test_the_first_line_leads_editors_to_the_schema(top: Path) -> None:
    lay(top, RISK)

    for path in (top / "manifests").rglob("*.yaml"):
        found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", path.read_text(encoding="utf-8"))
        assert found
        assert (path.parent / found[1]).resolve() == top / "schemas/manifest.schema.json"


def test_an_example_declares_nothing(top: Path) -> None:
    lay(top)

    assert validation([top / "manifests"]) == Validation(2, 0)


def test_an_example_becomes_a_manifest_by_taking_away_the_marks(top: Path) -> None:
    lay(top)
    for path in (top / "manifests").rglob("*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(lines[:2] + [line.removeprefix("# ") for line in lines[2:]]), encoding="utf-8")

    assert validation([top / "manifests"]) == Validation(2, 1)


def test_who_has_manifests_gets_no_example(top: Path) -> None:
    (top / "manifests").mkdir()
    (top / "manifests/churn.yml").write_text("model: churn\n")

    assert not [path for path in written(lay(top)) if path.startswith("manifests/")]


@pytest.mark.parametrize("kind", [ForgeKind.GITHUB, ForgeKind.GITLAB])
def test_production_has_its_own_line_among_the_owners_and_what_decides_is_owned_too(top: Path, kind: ForgeKind) -> None:
    lay(top, RISK, kind)

    rows = [line.split() for line in files_of(top)[f".{kind}/CODEOWNERS"].splitlines() if line.startswith(("/", "C"))]
    assert ["/manifests/**/production.yaml", "@acme/risk-ml"] in rows
    assert [f"/.{kind}/", "@acme/risk-ml"] in rows


def test_without_an_owner_no_line_names_one(top: Path) -> None:
    lay(top)

    assert all(not line or line.startswith("#") for line in files_of(top)[".github/CODEOWNERS"].splitlines())


def test_a_second_run_changes_nothing_and_asks_for_nothing(top: Path) -> None:
    lay(top, RISK)
    before = files_of(top)

    done = lay(top, RISK)

    assert files_of(top) == before
    assert all(laid.kept and not laid.by_hand for laid in done.laid)


def test_it_writes_at_the_top_of_the_repository(top: Path) -> None:
    below = top / "training" / "src"
    below.mkdir(parents=True)

    done = lay(below, RISK)

    assert done.top == top
    assert (top / "manifests").is_dir()
    assert list(below.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (".pre-commit-config.yaml", "id: reconciler-validate"),
        (".gitlab-ci.yml", "local: .gitlab/reconciler.gitlab-ci.yml"),
        ("CODEOWNERS", "/manifests/**/production.yaml"),
        ("manifests/risk-classifier/production.yaml", "model: RiskClassifier"),
    ],
)
def test_what_is_there_is_kept_and_what_to_add_is_said(top: Path, path: str, said: str) -> None:
    (top / path).parent.mkdir(parents=True, exist_ok=True)
    (top / path).write_text("# mine\n")

    done = lay(top, RISK, ForgeKind.GITLAB)

    (kept,) = [laid for laid in done.laid if laid.kept]
    assert kept.path == path
    assert said in kept.by_hand
    assert (top / path).read_text() == "# mine\n"


def test_a_second_owner_and_a_version_that_disagrees_are_said(top: Path) -> None:
    lay(top, RISK, ForgeKind.GITHUB)

    same = {laid.path: laid.by_hand for laid in lay(top, RISK, ForgeKind.GITHUB).laid}
    other = {laid.path: laid.by_hand for laid in lay(top, First("RiskClassifier", 5, "@ada"), ForgeKind.GITHUB).laid}
    second = {laid.path: laid.by_hand for laid in lay(top, First("Churn", 1, "@ada"), ForgeKind.GITHUB).laid}

    manifest = "manifests/risk-classifier/production.yaml"
    assert set(same.values()) == {""}
    assert other[manifest].startswith("It does not declare v5 in Production.")
    assert other[manifest].endswith("Add to its owners: @ada")
    assert second[".github/CODEOWNERS"].splitlines()[1].split() == ["/manifests/churn/", "@ada"]


def test_nothing_is_written_through_a_link(top: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (top / "schemas").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ReconcilerError, match="schemas is a link"):
        lay(top, RISK)

    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert files_of(top) == {}


@pytest.mark.parametrize("path", [".pre-commit-config.yaml", ".github/CODEOWNERS"])
def test_a_link_in_the_place_of_a_file_is_refused(top: Path, path: str) -> None:
    (top / path).parent.mkdir(exist_ok=True)
    (top / path).symlink_to("nowhere")

    with pytest.raises(ReconcilerError, match="is a link"):
        lay(top, RISK)

    assert files_of(top) == {}


def test_what_is_no_file_is_refused(top: Path) -> None:
    (top / ".pre-commit-config.yaml").mkdir()
    (top / "manifests").write_text("a file")

    with pytest.raises(ReconcilerError, match="manifests is not a folder"):
        lay(top, RISK)


def test_all_is_taken_back_when_one_file_cannot_be_written(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (top / ".github").mkdir()
    usual = Path.rename

    def full(path: Path, target: Path) -> Path:
        if target.name == "CODEOWNERS":
            raise OSError(28, "No space left on device", str(target))
        return usual(path, target)

    monkeypatch.setattr(Path, "rename", full)

    with pytest.raises(ReconcilerError, match="No space left on device"):
        lay(top, RISK)

    assert sorted(path.name for path in top.iterdir()) == [".git", ".github"]
    assert list((top / ".github").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_found_out_before_anything_is(top: Path) -> None:
    (top / "schemas").mkdir(mode=0o500)

    with pytest.raises(ReconcilerError, match="is not writable"):
        lay(top, RISK)

    assert not (top / "manifests").exists()


def test_a_model_that_is_declared_elsewhere_is_not_declared_twice(top: Path) -> None:
    (top / "manifests").mkdir()
    (top / "manifests/models.yaml").write_text("model: RiskClassifier\nstages:\n  Production: 3\n")

    with pytest.raises(ReconcilerError, match="declared-twice"):
        lay(top, RISK)

    assert not (top / "schemas").exists()


def test_what_was_wrong_before_is_no_obstacle(top: Path) -> None:
    (top / "manifests").mkdir()
    (top / "manifests/models.yaml").write_text("model: churn\nstages:\n  Prod: 3\n")

    lay(top, RISK)

    assert (top / "manifests/risk-classifier/production.yaml").exists()


@pytest.mark.parametrize(
    "first",
    [
        First("../../etc/passwd"),
        First("models:/a"),
        First(" "),
        First("a\x1b[2J"),
        First("a\udce4"),
        First("a\ufffe"),
        First("churn", 0),
        First(version=3),
        First("churn", 1, "risk ml"),
        First("churn", 1, "@acme/risk-ml\n/manifests/ @mallory"),
    ],
)
def test_a_name_that_cannot_be_is_refused(top: Path, first: First) -> None:
    with pytest.raises(ReconcilerError):
        lay(top, first)

    assert files_of(top) == {}


def test_outside_a_repository_there_is_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError, match="git init"):
        lay(tmp_path)


@pytest.mark.parametrize(
    ("model", "folder"),
    [
        ("RiskClassifier", "risk-classifier"),
        ("churn_v2", "churn_v2"),
        ("Müller & Söhne", "muller-sohne"),
        (".hidden", "hidden"),
        ("fraud.eu", "fraud.eu"),
        ("NUL", "model-nul"),
        ("模型", "model-c98e118e"),
    ],
)
def test_a_models_folder_is_named_after_it(model: str, folder: str) -> None:
    assert file_stem(model) == folder


MODELS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=256).filter(lambda n: not model_name_fault(n))


@given(
    st.one_of(MODELS, st.sampled_from(["con", "NUL.yaml", "模型", "yes", "null", "1e5", "0x10", "2024-01-01", "a: b"]))
)
def test_a_models_folder_is_one_name_on_every_system(model: str) -> None:
    name = file_stem(model)

    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]*[a-z0-9]|[a-z0-9]", name)
    assert len(name) <= 80
    assert name.partition(".")[0] not in {"con", "nul", "aux", "prn", "com1", "lpt1"}


@settings(max_examples=30)
@given(st.one_of(MODELS, st.sampled_from(["yes", "NULL", "1e5", "0x10", "2024-01-01", "a: b", '"', "#", "模型"])))
def test_whatever_the_name_the_manifests_declare_that_model_or_it_is_refused(
    tmp_path_factory: pytest.TempPathFactory, model: str
) -> None:
    top = new(tmp_path_factory.mktemp("any") / "models")

    try:
        lay(top, First(model, 1), ForgeKind.NONE)
    except ReconcilerError:
        assert files_of(top) == {}
        return

    assert validation([top / "manifests"]) == Validation(2, 1)


# The key for signed records


def test_the_key_is_named_by_the_policy_and_is_in_no_work_tree(top: Path) -> None:
    done = scaffold(top, RISK, Jobs(install_from=SOURCE))

    key = key_path(top / ".git")
    assert done.key == key
    assert "PRIVATE KEY" in key.read_text()
    assert key.stat().st_mode & 0o077 == 0
    assert not any("PRIVATE KEY" in text for text in files_of(top).values())
    assert yaml.safe_load(files_of(top)["reconciler.yaml"]) == {"signers": ".reconciler/allowed_signers"}
    assert re.search(
        r'(?m)^reconciler namespaces="reconciler-record,reconciler-check" ssh-ed25519 [A-Za-z0-9+/=]+$',
        files_of(top)[".reconciler/allowed_signers"],
    )


def test_a_second_run_makes_no_second_key(top: Path) -> None:
    first = scaffold(top, RISK, Jobs(install_from=SOURCE))
    before = files_of(top)
    assert first.key is not None
    first.key.unlink()

    done = scaffold(top, RISK, Jobs(install_from=SOURCE))

    assert files_of(top) == before
    assert done.key is None
    assert all(laid.kept and not laid.by_hand for laid in done.laid)


def test_a_policy_and_signers_that_are_there_are_kept_and_what_to_add_is_said(top: Path) -> None:
    (top / "reconciler.yaml").write_text("signers: people\n")
    (top / "people").write_text("ada@acme.example ssh-ed25519 AAAA\n")

    said = [{laid.path: laid.by_hand for laid in scaffold(top, jobs=Jobs(ForgeKind.NONE)).laid} for _ in range(2)]

    assert said[0]["people"] == said[1]["people"]
    assert 'reconciler namespaces="reconciler-record,reconciler-check" ssh-ed25519 ' in said[0]["people"]
    assert (top / "people").read_text() == "ada@acme.example ssh-ed25519 AAAA\n"


# Updates


def renewed(files: tuple[Renewed, ...]) -> dict[str, Renewal]:
    return {file.path: file.renewal for file in files if file.renewal is not Renewal.CURRENT}


OTHER = SOURCE.replace("a1", "b2")
DRIFT = ".github/workflows/reconciler-drift.yml"
PLACE = ".github/workflows/reconciler.source"


def test_an_update_of_what_is_up_to_date_changes_nothing(top: Path) -> None:
    lay(top, RISK)
    before = files_of(top)

    assert renewed(update(top, Jobs(install_from=SOURCE))) == {}
    assert files_of(top) == before


def test_an_update_writes_what_nobody_changed_and_shows_the_difference(top: Path) -> None:
    lay(top, RISK)

    done = update(top, Jobs(install_from=OTHER))

    assert renewed(done) == {PLACE: Renewal.WRITTEN}
    (diff,) = [file.diff for file in done if file.path == PLACE]
    assert diff[-2:] == (f"-{SOURCE}", f"+{OTHER}")
    assert OTHER in files_of(top)[PLACE]
    assert renewed(update(top, Jobs(install_from=OTHER))) == {}


def test_an_update_leaves_what_somebody_changed_unless_it_is_told_to_overwrite(top: Path) -> None:
    lay(top, RISK)
    mine = files_of(top)[DRIFT].replace("17 5", "3 4")
    (top / DRIFT).write_text(mine)

    left = update(top, Jobs(install_from=SOURCE))

    assert renewed(left) == {DRIFT: Renewal.CHANGED}
    (diff,) = [file.diff for file in left if file.path == DRIFT]
    assert [line for line in diff if line.startswith(("-  ", "+  "))] == [
        '-    - cron: "3 4 * * *"',
        '+    - cron: "17 5 * * *"',
    ]
    assert files_of(top)[DRIFT] == mine
    assert renewed(update(top, Jobs(install_from=SOURCE), overwrite=True)) == {DRIFT: Renewal.WRITTEN}
    assert files_of(top)[DRIFT] != mine


def test_without_a_record_of_what_was_written_every_difference_is_somebodys(top: Path) -> None:
    lay(top, RISK)
    (top / ".reconciler/init.json").write_text("[")

    assert renewed(update(top, Jobs(install_from=OTHER))) == {PLACE: Renewal.CHANGED}


def test_what_somebody_removed_stays_removed(top: Path) -> None:
    lay(top, RISK)
    (top / DRIFT).unlink()

    assert renewed(update(top, Jobs(install_from=SOURCE))) == {DRIFT: Renewal.REMOVED}
    assert not (top / DRIFT).exists()


def test_an_update_touches_neither_manifests_nor_owners_nor_the_policy(top: Path) -> None:
    scaffold(top, RISK, Jobs(install_from=SOURCE))
    theirs = ("manifests/risk-classifier/production.yaml", ".github/CODEOWNERS", "reconciler.yaml")
    for path in theirs:
        (top / path).write_text("mine\n")

    done = update(top, Jobs(install_from=OTHER), overwrite=True)

    assert not {file.path for file in done} & set(theirs)
    assert all((top / path).read_text() == "mine\n" for path in theirs)


def test_an_update_that_cannot_be_written_leaves_what_was_there(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(top, RISK)
    before = files_of(top)
    usual = Path.rename

    def full(path: Path, target: Path) -> Path:
        if target.name == "init.json":
            raise OSError(28, "No space left on device", str(target))
        return usual(path, target)

    monkeypatch.setattr(Path, "rename", full)

    with pytest.raises(ReconcilerError, match="No space left on device"):
        update(top, Jobs(install_from=OTHER))

    assert files_of(top) == before


# The plan from the default branch


def test_a_plan_from_the_default_branch_is_an_offer_that_updates_keep(top: Path) -> None:
    plan = ".github/workflows/reconciler-plan.yml"
    lay(top, RISK)
    usual = files_of(top)[plan]

    update(top, Jobs(install_from=SOURCE, plan_from_base=True))
    from_base = files_of(top)[plan]

    assert "pull_request_target" not in yaml.safe_load(usual)[True]
    assert "pull_request_target" in yaml.safe_load(from_base)[True]
    assert renewed(update(top, Jobs(install_from=SOURCE))) == {}
    update(top, Jobs(install_from=SOURCE, plan_from_base=False))
    assert files_of(top)[plan] == usual


@pytest.mark.parametrize("from_base", [True, False])
def test_a_plan_is_of_requests_to_the_default_branch(top: Path, from_base: bool) -> None:
    head = top / ".git/refs/remotes/origin/HEAD"
    head.parent.mkdir(parents=True, exist_ok=True)
    head.write_text("ref: refs/remotes/origin/trunk\n")

    scaffold(top, RISK, Jobs(install_from=SOURCE, plan_from_base=from_base), signing_key=False)

    text = files_of(top)[".github/workflows/reconciler-plan.yml"]
    assert "main" not in re.sub(r"domain|remain", "", text)
    for name, trigger in yaml.safe_load(text)[True].items():
        assert name == "pull_request_review" or trigger["branches"] == ["trunk"]
