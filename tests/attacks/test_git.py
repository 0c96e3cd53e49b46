"""What a branch can bring along, git internals included, runs nothing and hides nothing."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.core.names import Commit
from reconciler.errors import ManifestError, ReconcilerError
from reconciler.git.remote_ref import RemoteRef
from reconciler.git.runner import Git, open_git
from reconciler.git.source import GitSource, open_source
from reconciler.ports import Relation
from tests.attacks.conftest import Said
from tests.story.repository import Repository, git, manifest

Command = Callable[..., Said]

COMMANDS = [
    ("validate",),
    ("plan",),
    ("plan", "--ref", "HEAD"),
    ("apply", "--yes"),
    ("drift",),
    ("gates", "churn"),
]


def source(repository: Repository) -> GitSource:
    return open_source(repository.top / "manifests")


def codes(repository: Repository, ref: str | None) -> list[tuple[str, str]]:
    try:
        problems = source(repository).read(ref).problems
    except ManifestError as error:
        problems = error.problems
    return [(str(problem.location), problem.code) for problem in problems]


def plant(repository: Repository, folder: str, marker: Path) -> None:
    """A folder that git would take for a repository, with a setting that runs a program; ordinary tracked files all."""
    place = repository.top / folder
    for part in ("objects/info", "refs/heads"):
        (place / part).mkdir(parents=True)
        (place / part / ".keep").touch()
    (place / "HEAD").write_text("ref: refs/heads/main\n")
    (place / "config").write_text(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
        f'\tworktree = {place}\n\tfsmonitor = "touch {marker};false"\n\tsshCommand = "touch {marker};false"\n'
        f"\thooksPath = {place}\n"
    )


def entry(repository: Repository, mode: str, kind: str, sha: str, name: str) -> str:
    return mktree(repository, f"{mode} {kind} {sha}\t{name}\0".encode("utf-8", "surrogateescape"), "-z")


def mktree(repository: Repository, lines: bytes, *options: str) -> str:
    command = ["git", "mktree", *options]
    done = subprocess.run(command, input=lines, cwd=repository.top, capture_output=True, check=True)
    return done.stdout.decode().strip()


def commit_tree(repository: Repository, tree: str) -> str:
    """A commit of any tree, however git itself would refuse to make or to check out that."""
    made = git(repository.top, "commit-tree", "-p", "HEAD", "-m", "Hostile", tree)
    git(repository.top, "update-ref", "refs/heads/hostile", made)
    return made


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_repository_in_the_manifests_is_refused_and_its_settings_run_nothing(
    repository: Repository, command: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    marker = tmp_path / "ran"
    repository.write(manifest("churn", production=1))
    plant(repository, "manifests", marker)
    repository.commit()

    said = command(*arguments)

    assert said.code == 1
    assert "manifests: nested-repository: " in said.text
    assert not marker.exists()


@pytest.mark.parametrize("folder", ["manifests/team", "manifests/team/deep"])
def test_a_repository_further_down_is_refused_in_the_work_tree_and_in_the_commit(
    repository: Repository, tmp_path: Path, folder: str
) -> None:
    repository.write(manifest("churn", production=1))
    plant(repository, folder, tmp_path / "ran")
    repository.commit()

    assert codes(repository, None) == codes(repository, "HEAD") == [(folder, "nested-repository")]


@pytest.mark.parametrize("names", [("head", "OBJECTS", "Refs"), ("HEAD", "commondir")], ids=str)
def test_what_only_some_file_systems_and_some_layouts_take_for_a_repository_is_one(
    repository: Repository, names: tuple[str, ...]
) -> None:
    for name in names:
        path = repository.top / "manifests/team" / name
        path = path if name in {"head", "HEAD", "commondir"} else path / "x"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    repository.commit()

    assert codes(repository, None) == codes(repository, "HEAD") == [("manifests/team", "nested-repository")]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_repository_on_the_way_to_the_manifests_is_refused(
    repository: Repository, command: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    marker = tmp_path / "ran"
    repository.write(manifest("churn", production=1), "../team/manifests/churn.yaml")
    plant(repository, "team", marker)
    repository.commit()
    where = ("team/manifests",) if arguments[0] == "validate" else ("--manifests", "team/manifests")

    said = command(*arguments, *where)

    assert said.code == 1
    assert "team: nested-repository: " in said.text
    assert not marker.exists()


def test_a_submodule_is_never_taken_for_the_manifests(repository: Repository, command: Command, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "other")
    (tmp_path / "other/churn.yaml").write_text(manifest("churn", production=1))
    git(tmp_path / "other", "add", "--all")
    git(tmp_path / "other", "commit", "--quiet", "--message", "theirs")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    git(repository.top, *add, str(tmp_path / "other"), "manifests")
    repository.commit()

    for arguments in COMMANDS:
        said = command(*arguments)
        assert said.code == 1
        assert "manifests: nested-repository: " in said.text
    assert codes(repository, "HEAD") == [("manifests", "nested-repository")]


def test_a_submodule_among_the_manifests_is_told_also_where_it_is_not_checked_out(repository: Repository) -> None:
    repository.write(manifest("churn", production=1))
    git(repository.top, "update-index", "--add", "--cacheinfo", f"160000,{repository.head},manifests/team")
    git(repository.top, "add", "manifests/models.yaml")
    git(repository.top, "commit", "--quiet", "--message", "submodule")

    assert codes(repository, "HEAD") == [("manifests/team", "nested-repository")]


DOT_GITS = [".git", ".GIT", ".Git ", ".git.", "git~1", "GIT~1", ".g\u200cit", ".git::$INDEX_ALLOCATION"]


@pytest.mark.parametrize("name", DOT_GITS)
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_whatever_some_file_system_takes_for_dot_git_is_refused(repository: Repository, name: str, kind: str) -> None:
    (repository.top / "manifests" / "team").mkdir(parents=True)
    place = repository.top / "manifests/team" / name
    if kind == "file":
        place.write_text("gitdir: ../../elsewhere\n")
    else:
        place.mkdir()

    assert codes(repository, None) == [(f"manifests/team/{name}", "nested-repository")]


@pytest.mark.parametrize("name", DOT_GITS)
def test_dot_git_is_refused_in_a_commit_that_no_git_would_check_out(repository: Repository, name: str) -> None:
    blob = git(repository.top, "hash-object", "-w", "README.md")
    inner = entry(repository, "100644", "blob", blob, name)
    made = commit_tree(repository, entry(repository, "040000", "tree", inner, "manifests"))

    assert codes(repository, made) == [(f"manifests/{name}", "nested-repository")]


@pytest.mark.parametrize("mode", ["120000", "160000", "100644"])
def test_a_manifest_folder_that_is_no_folder_in_a_commit_is_not_taken_for_an_empty_one(
    repository: Repository, mode: str
) -> None:
    sha = repository.head if mode == "160000" else git(repository.top, "hash-object", "-w", "README.md")
    kind = "commit" if mode == "160000" else "blob"
    made = commit_tree(repository, entry(repository, mode, kind, sha, "manifests"))

    assert len(codes(repository, made)) == 1


def test_a_link_to_a_folder_on_the_way_is_refused(repository: Repository, command: Command) -> None:
    (repository.top / "real").mkdir()
    (repository.top / "real/churn.yaml").write_text(manifest("churn", production=1))
    (repository.top / "manifests").symlink_to("real")
    repository.commit()

    for arguments in COMMANDS:
        said = command(*arguments)
        assert said.code == 1
        assert "manifests: link-to-folder: " in said.text


def test_a_link_reads_nothing_of_what_git_keeps(repository: Repository) -> None:
    """`.git/config` of a job holds its token, and what cannot be parsed is quoted."""
    (repository.top / "manifests").mkdir()
    (repository.top / "manifests/a.yaml").symlink_to("../.git/config")
    repository.commit()

    assert codes(repository, None) == codes(repository, "HEAD") == [("manifests/a.yaml", "link-out-of-repository")]


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("churn.YAML", "model: churn\n", "odd-suffix"),
        ("churn.Yml", "model: churn\n", "odd-suffix"),
        ("churn.yaml ", "model: churn\n", "odd-suffix"),
        ("churn．yaml", "model: churn\n", "odd-suffix"),
        ("churn.yaml.bak", "model: churn\n", "odd-suffix"),
        ("churn.yml~", "model: churn\n", "odd-suffix"),
        ("churn.YAML.txt", "model: churn\n", "odd-suffix"),
        (os.fsdecode(b"ch\xfcrn.YAML"), "model: churn\n", "odd-suffix"),
        ("a\nb.yaml", "model: churn\n", "unreadable-name"),
        ("a\u202eb.yaml", "model: churn\n", "unreadable-name"),
        ("churn.yaml", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "lfs-pointer"),
    ],
)
def test_what_looks_like_a_manifest_and_is_not_read_is_an_error(
    repository: Repository, name: str, text: str, code: str
) -> None:
    repository.write(text, name)
    repository.commit()

    assert [found for _, found in codes(repository, None)] == [code]
    assert [found for _, found in codes(repository, "HEAD")] == [code]


def test_a_copy_beside_its_manifest_is_no_error_and_neither_is_what_is_hidden(repository: Repository) -> None:
    for name in ("churn.yaml", "churn.yaml~", "#churn.yaml#", "old churn.yaml.bak", ".churn.yml", ".old/churn.YAML"):
        repository.write("model: churn\n", name)
    repository.commit()

    assert codes(repository, None) == codes(repository, "HEAD") == []


@pytest.mark.parametrize("name", ["reconciler.yaml", "keys/signers"])
def test_a_policy_or_its_signers_in_lfs_are_told(repository: Repository, command: Command, name: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    repository.write(manifest("churn", production=1))
    (repository.top / "keys").mkdir()
    (repository.top / "reconciler.yaml").write_text("signers: keys/signers\n")
    (repository.top / name).write_text(pointer)
    repository.commit()

    for arguments in (("validate",), ("plan",), ("apply", "--yes")):
        said = command(*arguments)
        assert said.code == 1
        assert f"{name}: lfs-pointer: " in said.text


def test_a_folder_of_manifests_that_nobody_made_is_not_taken_for_an_empty_one(
    repository: Repository, command: Command
) -> None:
    repository.write(manifest("churn", production=1))
    repository.commit()

    for arguments in COMMANDS[1:]:
        said = command(*arguments, "--manifests", "manifest")
        assert said.code == 1
        assert "There is no folder `manifest` in " in said.text


def test_what_cannot_be_listed_or_is_no_file_is_an_error_and_is_not_waited_for(repository: Repository) -> None:
    (repository.top / "manifests").mkdir()
    os.mkfifo(repository.top / "manifests/pipe.yaml")
    (repository.top / "manifests/link.yaml").symlink_to("pipe.yaml")
    if os.geteuid() != 0:
        (repository.top / "manifests/closed").mkdir(mode=0)

    found = codes(repository, None)

    assert {code for _, code in found} == {"unreadable-file"}
    assert len(found) == (2 if os.geteuid() == 0 else 3)


def test_a_folder_too_deep_to_walk_is_an_error_and_no_fault_of_ours(repository: Repository) -> None:
    tree = git(repository.top, "rev-parse", "HEAD^{tree}")
    for _ in range(70):
        tree = entry(repository, "040000", "tree", tree, "d")
    made = commit_tree(repository, entry(repository, "040000", "tree", tree, "manifests"))
    (repository.top / "manifests" / "/".join("d" * 70)).mkdir(parents=True)

    assert [code for _, code in codes(repository, made)] == ["too-deep"]
    assert [code for _, code in codes(repository, None)] == ["too-deep"]


def test_a_commit_that_unfolds_without_end_is_refused_quickly(repository: Repository) -> None:
    tree = git(repository.top, "rev-parse", "HEAD^{tree}")
    for _ in range(12):
        line = "".join(f"040000 tree {tree}\t{n}\n" for n in range(10))
        done = subprocess.run(
            ["git", "mktree"], input=line, text=True, cwd=repository.top, capture_output=True, check=True
        )
        tree = done.stdout.strip()
    made = commit_tree(repository, entry(repository, "040000", "tree", tree, "manifests"))

    with pytest.raises(ReconcilerError, match="holds more than"):
        source(repository).read(made)


@pytest.mark.parametrize("name", ["reconciler.yml", "Reconciler.yaml", "RECONCILER.YAML"])
def test_a_policy_by_another_name_guards_nothing_and_is_told(
    repository: Repository, command: Command, name: str
) -> None:
    repository.write(manifest("churn", production=1))
    (repository.top / name).write_text("limits: {max-change-models: 1}\n")

    said = command("validate")

    assert said.code == 1
    assert f"{name}: odd-policy-name: " in said.text


def test_a_policy_that_is_a_link_is_refused(repository: Repository, command: Command, tmp_path: Path) -> None:
    repository.write(manifest("churn", production=1))
    (tmp_path / "policy").write_text("limits: {max-change-models: 1}\n")
    (repository.top / "reconciler.yaml").symlink_to(tmp_path / "policy")
    repository.commit()

    for arguments in (("validate",), ("plan",), ("apply", "--yes")):
        said = command(*arguments)
        assert said.code == 1
        assert "reconciler.yaml" in said.text
        assert "is a link" in said.text


def test_a_policy_that_is_a_pipe_is_not_waited_for(repository: Repository, command: Command) -> None:
    repository.write(manifest("churn", production=1))
    os.mkfifo(repository.top / "reconciler.yaml")

    assert "reconciler.yaml: no-plain-file: " in command("validate").text
    assert command("plan").code == 1


def test_a_commit_with_names_that_no_git_checks_out_is_refused_and_is_no_fault_of_ours(
    repository: Repository, command: Command
) -> None:
    blob = git(repository.top, "hash-object", "-w", "README.md")
    made = commit_tree(repository, entry(repository, "100644", "blob", blob, ".git"))
    git(repository.top, "update-ref", "refs/heads/main", made)

    for arguments in (("plan",), ("apply", "--yes"), ("drift",), ("plan", "--ref", made)):
        said = command(*arguments)
        assert said.code == 1
        assert "nested-repository" in said.text
        assert "bug in reconciler" not in said.text


# What hides a difference from `git status`.


@pytest.fixture
def applied(repository: Repository) -> Repository:
    repository.merge(manifest("churn", production=1))
    return repository


DISGUISES: dict[str, Callable[[Repository], object]] = {
    "assume-unchanged": lambda r: git(r.top, "update-index", "--assume-unchanged", "manifests/models.yaml"),
    "skip-worktree": lambda r: git(r.top, "update-index", "--skip-worktree", "manifests/models.yaml"),
    "fsmonitor": lambda r: git(r.top, "config", "core.fsmonitor", "printf '/\\0'"),
    "an ignoring attribute": lambda r: (r.top / ".gitattributes").write_text("*.yaml filter=same\n"),
    "a filter": lambda r: git(r.top, "config", "filter.same.clean", f"git -C {r.top} show HEAD:manifests/models.yaml"),
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_manifest_that_differs_from_the_commit_is_told_whatever_git_is_told_to_assume(
    applied: Repository, disguise: str
) -> None:
    if "filter" in disguise or "attribute" in disguise:
        DISGUISES["an ignoring attribute"](applied)
        DISGUISES["a filter"](applied)
    DISGUISES[disguise](applied)
    path = applied.top / "manifests/models.yaml"
    before = path.stat()
    path.write_text(manifest("churn", production=2))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    checkout = source(applied).read(None)

    assert checkout.dirty == ("manifests/models.yaml",)
    assert checkout.revision.commit is None


def test_line_ends_that_git_would_convert_are_a_difference(applied: Repository) -> None:
    git(applied.top, "config", "core.autocrlf", "true")
    path = applied.top / "manifests/models.yaml"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    assert source(applied).read(None).dirty == ("manifests/models.yaml",)


def test_a_file_that_a_sparse_checkout_leaves_away_is_told(applied: Repository) -> None:
    git(applied.top, "update-index", "--skip-worktree", "manifests/models.yaml")
    (applied.top / "manifests/models.yaml").unlink()

    assert source(applied).read(None).dirty == ("manifests/models.yaml",)


# What of the job's own git is not obeyed.


def test_no_hook_monitor_filter_or_driver_is_run(
    applied: Repository, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    program = f"touch {marker};cat"
    (applied.top / ".gitattributes").write_text("*.yaml filter=f diff=d merge=m ident\n")
    for name in ("core.fsmonitor", "filter.f.clean", "filter.f.smudge", "diff.d.textconv", "diff.d.command"):
        git(applied.top, "config", name, program)
    git(applied.top, "config", "diff.external", program)
    git(applied.top, "config", "core.hooksPath", str(tmp_path / "hooks"))
    git(applied.top, "config", "core.pager", program)
    (tmp_path / "hooks").mkdir()
    for hook in ("post-index-change", "reference-transaction", "pre-push", "post-checkout", "pre-auto-gc"):
        (tmp_path / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {marker}\n")
        (tmp_path / "hooks" / hook).chmod(0o755)
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", program)
    monkeypatch.setenv("GIT_PAGER", program)

    for arguments in COMMANDS[1:]:
        command(*arguments)
    list(source(applied).steps(source(applied).trunk(source(applied).meant("HEAD"), ())))

    assert not marker.exists()


REDIRECTIONS: dict[str, dict[str, str]] = {
    "GIT_DIR": {"GIT_DIR": "{other}/.git"},
    "GIT_WORK_TREE": {"GIT_WORK_TREE": "{other}"},
    "GIT_COMMON_DIR": {"GIT_COMMON_DIR": "{other}/.git"},
    "GIT_OBJECT_DIRECTORY": {"GIT_OBJECT_DIRECTORY": "{other}/.git/objects"},
    "GIT_INDEX_FILE": {"GIT_INDEX_FILE": "{other}/.git/index"},
    "GIT_NAMESPACE": {"GIT_NAMESPACE": "other"},
    "GIT_CEILING_DIRECTORIES": {"GIT_CEILING_DIRECTORIES": "{top}"},
    "GIT_REPLACE_REF_BASE": {"GIT_REPLACE_REF_BASE": "refs/heads/"},
    "GIT_CONFIG_PARAMETERS": {"GIT_CONFIG_PARAMETERS": "'core.worktree'='{other}'"},
    "GIT_CONFIG_COUNT": {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "core.worktree",
        "GIT_CONFIG_VALUE_0": "{other}",
        "GIT_CONFIG_KEY_1": "core.bare",
        "GIT_CONFIG_VALUE_1": "true",
    },
}


@pytest.mark.parametrize("name", REDIRECTIONS)
def test_no_variable_leads_to_another_repository(
    applied: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shutil.copytree(applied.top, tmp_path / "other")
    git(tmp_path / "other", "commit", "--quiet", "--allow-empty", "--message", "theirs")
    expected = source(applied).read("HEAD")
    for variable, value in REDIRECTIONS[name].items():
        monkeypatch.setenv(variable, value.format(other=tmp_path / "other", top=applied.top))

    assert source(applied).read("HEAD") == expected
    assert source(applied).read(None) == expected


def test_settings_from_the_work_tree_are_refused(applied: Repository) -> None:
    (applied.top / ".gitconfig").write_text("[core]\n\tsshCommand = false\n")
    applied.commit()
    git(applied.top, "config", "include.path", "../.gitconfig")

    with pytest.raises(ReconcilerError, match=r"comes from .*\.gitconfig"):
        source(applied)


def test_settings_from_outside_of_it_are_obeyed(applied: Repository, tmp_path: Path) -> None:
    """As the checkout of GitHub's jobs keeps its token."""
    (tmp_path / "credentials").write_text(f'[url "{applied.remote}"]\n\tinsteadOf = https://forge.example/models\n')
    git(applied.top, "config", f"includeIf.gitdir:{applied.top}/.git.path", str(tmp_path / "credentials"))
    git(applied.top, "remote", "set-url", "origin", "https://forge.example/models")

    answer = source(applied).git.reach("ls-remote", "--", "origin", "refs/heads/main")

    assert answer.text.startswith(applied.head)


@pytest.mark.parametrize("how", ["by a link to its folder", "by a link that its work tree names"])
def test_what_is_included_for_a_repository_by_another_name_is_seen(
    applied: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What is included by `gitdir` is included by the name that git is given, which is not the one that it finds."""
    link = tmp_path / "link"
    link.symlink_to(applied.top.parent)
    top, name = link / applied.top.name, f"{link}/{applied.top.name}/.git"
    if how == "by a link that its work tree names":
        top = tmp_path / "beside"
        git(applied.top, "worktree", "add", "--quiet", str(top))
        name += "/worktrees/beside"
        (top / ".git").write_text(f"gitdir: {name}\n")
    settings, included = tmp_path / "settings", tmp_path / "included"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    for file in (included, top / "included"):
        file.write_text(f'[url "https://mirror.example/"]\n\tpushInsteadOf = {applied.remote}\n')
    git(applied.top, "config", "remote.origin.url", str(applied.remote))

    settings.write_text(f'[includeIf "gitdir:{name}"]\n\tpath = {included}\n')
    assert RemoteRef(open_git(top), "origin", "refs/x", 30.0).found().url.startswith("https://mirror.example/")
    settings.write_text(f'[includeIf "gitdir:{name}"]\n\tpath = {top}/included\n')
    with pytest.raises(ReconcilerError, match="inside its work tree"):
        open_git(top)


def test_the_ssh_command_of_the_user_is_the_one_that_is_run(
    applied: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gitconfig").write_text(f'[core]\n\tsshCommand = "touch {tmp_path}/ssh;false"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    git(applied.top, "remote", "set-url", "origin", "ssh://forge.example/models")

    source(applied).git.reach("ls-remote", "--", "origin")

    assert (tmp_path / "ssh").exists()


def test_a_program_called_git_in_the_work_tree_is_not_run(
    applied: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (applied.top / "git").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (applied.top / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(applied.top)

    source(applied).git.reach("ls-remote", "--", "origin")

    assert not (tmp_path / "ran").exists()


def keep_in_tree(top: Path, how: str) -> None:
    """Keep what git keeps in a folder that a commit can change."""
    shutil.move(top / ".git", top / "store")
    match how:
        case "a file":
            (top / ".git").write_text("gitdir: store\n")
        case "a link":
            (top / ".git").symlink_to("store")
        case "a common folder":
            (top / ".git").mkdir()
            (top / ".git/HEAD").write_text("ref: refs/heads/main\n")
            (top / ".git/commondir").write_text("../store\n")
        case _:
            shutil.copytree(top / "store", top / ".git")
            shutil.rmtree(top / ".git/refs")
            (top / ".git/refs").symlink_to("../store/refs")


@pytest.mark.parametrize("how", ["a file", "a link", "a common folder", "linked refs"])
def test_what_git_keeps_is_not_looked_for_in_the_work_tree(applied: Repository, how: str) -> None:
    keep_in_tree(applied.top, how)

    with pytest.raises(ReconcilerError, match="inside its work tree"):
        source(applied)


@pytest.fixture
def own_places(applied: Repository, tmp_path: Path) -> list[Path]:
    """Where people work besides a plain clone: linked work trees, outside and inside, and a submodule."""
    git(applied.top, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    git(applied.top, "worktree", "add", "--quiet", "--detach", str(applied.top / "aside"))
    git(tmp_path, "init", "--quiet", "outer")
    add = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    git(tmp_path / "outer", *add, str(applied.remote), "models")
    git(tmp_path, "clone", "--quiet", "--separate-git-dir", str(tmp_path / "kept"), str(applied.remote), "separate")
    return [tmp_path / "linked", applied.top / "aside", tmp_path / "outer/models", tmp_path / "separate"]


def test_a_work_tree_of_the_users_own_goes_on_working(
    own_places: list[Path], applied: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in own_places:
        monkeypatch.chdir(place)
        checkout = open_source(Path("manifests")).read(None)
        assert (checkout.revision.commit, checkout.problems, checkout.dirty) == (applied.head, (), ())


def test_a_repository_inside_of_another_is_meant_only_by_those_who_stand_in_it(
    own_places: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "outer")
    with pytest.raises(ManifestError, match="models: nested-repository"):
        open_source(Path("models/manifests"))

    monkeypatch.chdir("/")
    with pytest.raises(ReconcilerError, match="inside the one that you want"):
        open_source(tmp_path / "outer/models/manifests")


def test_a_replaced_or_grafted_commit_is_read_as_it_was_made(applied: Repository) -> None:
    real = applied.head
    applied.write(manifest("churn", production=9))
    forged = applied.commit("forged")
    git(applied.top, "reset", "--quiet", "--hard", real)
    git(applied.top, "replace", real, forged)
    expected = manifest("churn", production=1).encode()

    assert source(applied).read("HEAD").files[0].data == expected
    assert source(applied).read(None).dirty == ()


def test_what_names_itself_like_an_option_is_no_option(applied: Repository) -> None:
    made = Git(applied.top / ".git", applied.top)

    for text in ("--output=/tmp/x", "-c", "--upload-pack=touch x", "--exec=x", "HEAD\n--all", "HEAD\0"):
        with pytest.raises(ReconcilerError):
            source(applied).read(text)
    assert made.read("rev-parse", "HEAD").text == applied.head


def test_the_identity_of_commits_is_ours_alone(applied: Repository) -> None:
    made = open_git(applied.top).read("commit-tree", "-m", "x", "HEAD^{tree}").text

    assert git(applied.top, "log", "-1", "--format=%an %cn", made) == "reconciler reconciler"


def made_by_hand(repository: Repository, *lines: str) -> Commit:
    """A commit with these lines of a header, in braces what they name."""
    top = repository.top
    names = {"tree": git(top, "rev-parse", "HEAD^{tree}"), "tip": git(top, "rev-parse", "main")}
    names["other"] = git(top, "rev-parse", "other")
    text = "\n".join((*lines, "", "By hand")).format(**names, TIP=names["tip"].upper(), A=f"A <a@acme.example> {NOW}")
    command = ["git", "hash-object", "-t", "commit", "-w", "--literally", "--stdin"]
    done = subprocess.run(command, cwd=top, input=text.encode(), capture_output=True, check=True)
    return Commit(done.stdout.decode().strip())


NOW = "1767225600 +0000"
USUAL = ("tree {tree}", "parent {tip}", "author {A}", "committer {A}")
MADE_UP = {
    "behind the committer, which no forge refuses": (*USUAL, "parent {other}"),
    "behind another field": (*USUAL, "x-note x", "parent {other}"),
    "behind a signature": (*USUAL, "gpgsig x", " y", "parent {other}"),
    "behind a signature before the parents": ("tree {tree}", "gpgsig x", " y", *USUAL[1:]),
    "behind the author": ("tree {tree}", "parent {tip}", "author {A}", "parent {other}", "committer {A}"),
    "the name of a branch": (*USUAL, "parent other"),
    "words": (*USUAL, "parent a b"),
    "in capitals": ("tree {tree}", "parent {TIP}", *USUAL[2:]),
    "behind a NUL": (*USUAL, "x-note \0", "parent {other}"),
    "twice": ("tree {tree}", "parent {tip}", *USUAL[1:]),
    "in a folded line": (*USUAL, "mergetag object {other}", " type commit", " parent {other}", "parent {other}"),
}


@pytest.mark.parametrize("lines", MADE_UP.values(), ids=MADE_UP)
def test_a_commit_has_the_parents_that_git_says(repository: Repository, lines: tuple[str, ...]) -> None:
    """
    To git, a line that names a parent is one behind the tree alone. What another one names, a commit does not contain.
    """
    top = repository.top
    repository.merge(manifest("churn", production=1))
    git(top, "branch", "other", git(top, "commit-tree", "HEAD^{tree}", "-m", "Never merged"))
    made = made_by_hand(repository, *lines)
    git(top, "update-ref", "refs/heads/forged", made)
    opened, other = source(repository), Commit(git(top, "rev-parse", "other"))

    assert opened.parents(made) == tuple(git(top, "log", "-1", "--format=%P", made).split())
    assert opened.relation(other, made) is Relation.UNRELATED
    assert opened.contains_commit(other, "forged") is False
    with pytest.raises(ReconcilerError, match="no commit in common"):
        opened.fork(other, made)


TIMES = {"none": "", "a word": " yesterday +0000", "a long number": f" {'9' * 5000} +0000", "negative": " -5 +0000"}


@pytest.mark.parametrize("time", TIMES.values(), ids=TIMES)
def test_a_commit_without_a_time_is_read_like_any_other(repository: Repository, time: str) -> None:
    repository.merge(manifest("churn", production=1))
    git(repository.top, "branch", "other")
    made = made_by_hand(repository, *USUAL[:3], f"committer A <a@acme.example>{time}")
    git(repository.top, "update-ref", "refs/heads/main", made)
    opened = source(repository)

    assert opened.trunk(made, ())[0].time == 0
    assert opened.described([made])[made].author == "A <a@acme.example>"
