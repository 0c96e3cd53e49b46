"""Where credentials go is said by nobody but the user and the policy that stands."""

import os
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from reconciler.core.heads import Head
from reconciler.core.names import Commit
from reconciler.errors import ManifestError, ReconcilerError
from reconciler.git.source import normal_url, open_source
from reconciler.ports import SourceFile
from reconciler.reading.policy import parse_policy
from reconciler.wiring import LockKind, Settings, open_world
from tests.attacks.conftest import Said
from tests.story.repository import Repository, git, manifest

Command = Callable[..., Said]

OURS, THEIRS = "https://mlflow.acme.example", "https://mlflow.evil.example"


def policy(repository: Repository, registry: str | None, manifests: str = "manifests") -> None:
    lines = [*([f"registry: {registry}"] if registry else []), f"manifests: {manifests}"]
    (repository.top / "reconciler.yaml").write_text("\n".join(lines) + "\n")


def registry_of(repository: Repository, monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    """Which registry a command would speak to, without any named by option or environment."""
    monkeypatch.chdir(repository.top)
    environment = options.pop("environment", {})
    return open_world(Settings(lock=LockKind.NONE), environment, **options).registry.uri


@pytest.fixture
def redirected(repository: Repository) -> list[str]:
    """A merged policy with our registry, then a change of it to theirs, and one more commit."""
    policy(repository, OURS)
    commits = [repository.merge(manifest("churn", production=1))]
    policy(repository, THEIRS)
    commits.append(repository.commit("redirect"))
    commits.append(repository.merge(manifest("churn", production=2)))
    return commits


def test_a_changed_registry_holds_from_the_change_after_it_in_every_command(
    repository: Repository, redirected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, change, after = redirected

    assert registry_of(repository, monkeypatch, ref=change) == OURS  # apply, drift, gates, plan of that commit
    assert registry_of(repository, monkeypatch, base=f"{change}^", ref=change) == OURS  # plan of the request
    assert registry_of(repository, monkeypatch, ref=after) == THEIRS
    git(repository.top, "reset", "--quiet", "--hard", change)
    assert registry_of(repository, monkeypatch) == OURS  # plan of a work tree that is as the change is
    repository.write(manifest("churn", production=3))
    assert registry_of(repository, monkeypatch) == THEIRS  # what is to be committed is the change after it


@pytest.fixture
def led_away(repository: Repository) -> tuple[str, str]:
    """Main as it was, and a merge that it moved forward to: of a branch whose policy names theirs, with main."""
    policy(repository, OURS)
    first = repository.merge(manifest("churn", production=1))
    ours = repository.merge(manifest("churn", production=2))
    git(repository.top, "checkout", "--quiet", "-b", "side", first)
    policy(repository, THEIRS)
    git(repository.top, "commit", "--quiet", "--all", "--message", "theirs")
    git(repository.top, "merge", "--quiet", "--no-commit", "main")
    policy(repository, OURS)
    git(repository.top, "commit", "--quiet", "--all", "--message", "nothing to see")
    git(repository.top, "checkout", "--quiet", "main")
    git(repository.top, "merge", "--quiet", "--ff-only", "side")
    return ours, git(repository.top, "rev-parse", "HEAD")


def test_the_side_that_a_merge_names_first_leads_no_credentials_away(
    repository: Repository, led_away: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, merged = led_away

    with pytest.raises(ReconcilerError, match=r"name different places.*policy-ref"):
        registry_of(repository, monkeypatch, ref=merged)
    assert registry_of(repository, monkeypatch, ref=merged, policy_ref=before) == OURS
    assert registry_of(repository, monkeypatch, ref=merged, environment={"MLFLOW_TRACKING_URI": OURS}) == OURS

    applied(before, ref=merged, policy_ref=before)
    assert registry_of(repository, monkeypatch, ref=merged) == OURS


def applied(commit: str, **options: Any) -> None:
    """An apply begins with a commit."""
    lock = open_world(Settings(), {}, **options).lock
    assert lock is not None
    lease = lock.acquire(10, lambda _holder, _seconds: None)
    lease.mark(Commit(commit), [Head(Commit(commit))])
    lease.release()


def test_a_commit_within_a_push_leads_no_credentials_away(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.top)
    policy(repository, OURS)
    before = repository.merge(manifest("churn", production=1))
    applied(before, ref=before, policy_ref=before)
    policy(repository, THEIRS)
    repository.commit("theirs")
    policy(repository, OURS)
    tip = repository.commit("and back")

    assert registry_of(repository, monkeypatch, ref=tip) == OURS


def test_a_merge_commit_that_changes_the_registry_holds_from_the_change_after_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.top)
    policy(repository, OURS)
    repository.merge(manifest("churn", production=1))
    before = repository.merge(manifest("churn", production=2))
    applied(before, ref=before)
    git(repository.top, "checkout", "--quiet", "-b", "side")
    policy(repository, THEIRS)
    git(repository.top, "commit", "--quiet", "--all", "--message", "theirs")
    git(repository.top, "checkout", "--quiet", "main")
    git(repository.top, "merge", "--quiet", "--no-ff", "--no-edit", "side")

    assert registry_of(repository, monkeypatch, ref="HEAD") == OURS
    assert registry_of(repository, monkeypatch, ref=repository.merge(manifest("churn", production=3))) == THEIRS


def test_a_registry_in_the_work_tree_alone_is_not_spoken_to(
    repository: Repository, redirected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository.top, "reset", "--quiet", "--hard", redirected[0])
    policy(repository, THEIRS)

    assert registry_of(repository, monkeypatch) == OURS


def test_a_registry_that_is_named_first_is_not_spoken_to_by_the_change_that_names_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.merge(manifest("churn", production=1))
    policy(repository, THEIRS)
    repository.commit()

    with pytest.raises(ReconcilerError, match=r"No registry is configured.*next change"):
        registry_of(repository, monkeypatch, ref="HEAD")


@pytest.mark.parametrize("committed", [True, False])
def test_nobody_is_told_to_set_one_address_for_several_registries_that_do_not_count_yet(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    (repository.top / "reconciler.yaml").write_text(f"registries:\n  dev: {{address: {OURS}}}\n  prod: {{}}\n")
    repository.write(manifest("churn", production=1), "prod/churn.yaml")
    if committed:
        repository.commit()

    with pytest.raises(ReconcilerError) as refused:
        registry_of(repository, monkeypatch)

    assert str(refused.value) == (
        "No registry is known yet: reconciler.yaml names dev, prod, and counts from the change after this one. Commit "
        "it by itself, then go on with the next change; `git commit --allow-empty` begins one."
    )


def test_what_the_user_names_goes_before_and_is_taken_as_it_is(
    repository: Repository, redirected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        environment = {name: "http://mlflow.internal:5000"}
        assert registry_of(repository, monkeypatch, environment=environment) == "http://mlflow.internal:5000"
    assert registry_of(repository, monkeypatch, environment={"MLFLOW_TRACKING_URI": " "}, ref="HEAD") == THEIRS


def test_a_changed_folder_of_manifests_holds_from_the_change_after_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy(repository, OURS)
    repository.merge(manifest("churn", production=1))
    policy(repository, OURS, "other")
    (repository.top / "other").mkdir()
    (repository.top / "other/x.yaml").write_text(manifest("other", production=1))
    change = repository.commit("elsewhere")
    after = repository.merge(manifest("churn", production=2))
    monkeypatch.chdir(repository.top)

    def folder(ref: str) -> str:
        return str(open_world(Settings(lock=LockKind.NONE), {}, ref=ref).source.identity).partition("#")[2]

    assert (folder(change), folder(after)) == ("manifests", "other")


def test_a_policy_that_cannot_be_read_leads_nowhere(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (
        "manifests: ../x\n",
        "registry: [a]\n",
        "manifests: a\nmanifests: b\n",
        "registry: http://evil.example\n",
    ):
        (repository.top / "reconciler.yaml").write_text(text)
        repository.commit()
        repository.merge(manifest("churn", production=len(text)))

        with pytest.raises(ManifestError):
            registry_of(repository, monkeypatch, ref="HEAD")


ADDRESSES = {
    "https://mlflow.acme.example": True,
    "https://mlflow.acme.example:8443/team/a": True,
    "http://localhost:5000": True,
    "http://127.0.0.1:5000/": True,
    "http://[::1]:5000": True,
    "http://mlflow.acme.example": False,
    "http://localhost.evil.example": False,
    "http://127.0.0.1.evil.example": False,
    "http://localhost@evil.example": False,
    "http://localhost:5000@evil.example": False,
    "https://mlflow.acme.example@evil.example": False,
    "https://user:secret@mlflow.acme.example": False,
    "https://evil.example\\@mlflow.acme.example": False,
    "https://mlflow.acme.example#@evil.example": False,
    "https://mlflow.acme.example?x=y": False,
    "https://mlflоw.acme.example": False,
    "https:/mlflow.acme.example": False,
    "https:mlflow.acme.example": False,
    "https://": False,
    "//mlflow.acme.example": False,
    "sqlite:///mlflow.db": False,
    "postgresql://evil.example/db": False,
    "databricks": False,
    "file:///tmp/x": False,
    "ftp://mlflow.acme.example": False,
    "http://127.1": False,
    "http://0x7f000001": False,
    "http://2130706433": False,
    "http://[::ffff:127.0.0.1]": False,
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_in_a_policy_is_https_or_on_this_machine(address: str) -> None:
    file = SourceFile("reconciler.yaml", f"manifests: manifests\nregistry: '{address}'\n".encode())

    found, problems = parse_policy(file)

    if ADDRESSES[address]:
        assert found is not None
        assert found.settings.registry == address
    else:
        assert [(str(p.location), p.code) for p in problems] == [("reconciler.yaml:2:11", "invalid-registry")]


def test_validate_says_so_at_its_place(repository: Repository, command: Command) -> None:
    repository.write(manifest("churn", production=1))
    policy(repository, "http://mlflow.acme.example")

    said = command("validate")

    assert said.code == 1
    assert "reconciler.yaml:1:11: invalid-registry: " in said.text


class Listener:
    """A host that notes what it is told, and may send elsewhere."""

    def __init__(self, elsewhere: str = "", status: int = 307) -> None:
        heard: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                heard.append({name.lower(): value for name, value in self.headers.items()})
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status if elsewhere else 403)
                if elsewhere:
                    self.send_header("Location", f"{elsewhere}{self.path}")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST = answer  # noqa: N815  # as the library calls them

            def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002  # the library's name
                """Quietly."""

        self.heard = heard
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def listeners() -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def listen(*arguments: Any) -> Listener:
        made.append(Listener(*arguments))
        return made[-1]

    yield listen
    for listener in made:
        listener.server.shutdown()
        listener.server.server_close()


@pytest.mark.parametrize("status", [302, 307, 308])
def test_credentials_do_not_follow_a_redirect_to_another_host(
    repository: Repository,
    command: Command,
    listeners: Callable[..., Listener],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    theirs = listeners()
    ours = listeners(f"http://localhost:{theirs.port}", status)
    repository.merge(manifest("churn", production=1))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{ours.port}")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")

    said = command("plan")

    assert said.code == 1
    assert ours.heard[0]["authorization"] == f"Basic {b64encode(b'ada:hunter2').decode()}"
    assert all("authorization" not in told for told in theirs.heard)
    assert "hunter2" not in said.text


def test_a_merged_change_of_the_registry_gets_no_credentials_of_its_own_apply(
    repository: Repository,
    command: Command,
    listeners: Callable[..., Listener],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, theirs = listeners(), listeners()
    policy(repository, f"http://127.0.0.1:{ours.port}")
    repository.merge(manifest("churn", production=1))
    policy(repository, f"http://127.0.0.1:{theirs.port}")
    repository.commit("redirect")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")

    for arguments in (("plan",), ("apply", "--yes", "--no-lock"), ("drift",), ("gates", "churn")):
        command(*arguments)

    assert len(ours.heard) >= 4
    assert theirs.heard == []


def test_the_remote_is_what_git_is_configured_with_and_never_a_file_of_the_work_tree(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.write(manifest("churn", production=1))
    (repository.top / ".gitmodules").write_text('[submodule "x"]\npath = x\nurl = https://evil.example\n')
    (repository.top / ".gitconfig").write_text(f'[url "{THEIRS}"]\n\tinsteadOf = {repository.remote}\n')
    (repository.top / "config").write_text(f'[remote "origin"]\n\turl = {THEIRS}\n')
    repository.commit()
    monkeypatch.chdir(repository.top)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", OURS)

    world = open_world(Settings(lock=LockKind.NONE), os.environ)

    assert str(world.source.identity) == f"{str(repository.remote).strip('/').removesuffix('.git')}#manifests"


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/models",
        "https://github.com/acme/models.git",
        "https://github.com/acme/models.git/",
        "https://github.com//acme/models/",
        "https://token@github.com/acme/models.git",
        "https://user:secret@GitHub.com:443/acme/models",
        "https://www.github.com/acme/models",
        "http://github.com/acme/models",
        "git://github.com/acme/models.git",
        "git@github.com:acme/models.git",
        "git@github.com:/acme/models.git",
        "github.com:acme/models",
        "ssh://git@github.com/acme/models.git",
        "ssh://git@github.com:22/acme/models.git",
        "git+ssh://git@github.com/acme/models.git",
        "ssh://git@ssh.github.com:443/acme/models.git",
        "org-7@github.com:acme/models.git",
        "https://github.com/acme/%6Dodels",
    ],
)
def test_one_repository_has_one_identity_however_its_remote_is_spelled(url: str) -> None:
    assert normal_url(url) == "github.com/acme/models"


def test_an_abbreviation_of_the_users_own_is_the_same_repository(repository: Repository) -> None:
    git(repository.top, "remote", "set-url", "origin", "gh:acme/models")
    git(repository.top, "config", "url.https://github.com/.insteadOf", "gh:")

    assert open_source(repository.top / "manifests").identity == "github.com/acme/models#manifests"


def test_two_repositories_have_two() -> None:
    urls = ["https://github.com/a/b", "https://gitlab.com/a/b", "https://github.com/a/c", "/srv/a/b", "file:///srv/a/c"]

    assert len({normal_url(url) for url in urls}) == len(urls)
