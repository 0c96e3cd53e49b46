"""What is read from a real git repository: commits, the work tree, links, names, and how commits are related."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from random import Random

import pytest

from reconciler.core.limits import FILE_BYTES
from reconciler.core.names import Commit
from reconciler.errors import ManifestError, ReconcilerError
from reconciler.git.remote_ref import RemoteRef
from reconciler.git.runner import git_at
from reconciler.git.source import GitSource, normal_url, open_source
from reconciler.git.tree import exported
from reconciler.ports import Checkout, Relation
from reconciler.reading.files import files_below
from tests.counting import counting
from tests.story.repository import AUTHOR, EMAIL
from tests.story.repository import git as run_git

Git = Callable[..., str]


@pytest.fixture
def top(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def git(top: Path) -> Git:
    def run(*arguments: str, at: Path = top, **environment: str) -> str:
        return run_git(at, *arguments, **environment)

    run("init", "--quiet", "--initial-branch=main")
    return run


def write(path: Path, text: str = "model: churn\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def commit(git: Git, subject: str = "Say so") -> Commit:
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", subject)
    return Commit(git("rev-parse", "HEAD"))


def source(top: Path, folder: str = "manifests") -> GitSource:
    return open_source(top / folder)


def paths(checkout: Checkout) -> list[str]:
    return [file.path for file in checkout.files]


MESSAGES = (
    b"Promote churn\n",
    b"Promote",
    b"",
    b"\n \n\t\nPromote\n\nBecause.\n",
    b"Promote  \nchurn\r\n\nBecause.\n",
    b"Promote\n  churn\n \nBecause.\n",
    b"Bef\xf6rdern \x1b[31m\n",
    b"Promote\0churn\n",
)
AUTHORS = (
    b"author Ada Lovelace <ada@example.org> 1767225600 +0000",
    b"author <ada@example.org> 1767225600 +0000",
    b"author   Ada   <ada@example.org> 1767225600 +0000",
    b"author J\xfcrgen <j\xfcrgen@example.org> 1767225600 +0000",
    b"author Ada <ada@example.org> <b@example.org> 1767225600 +0000",
    b"author Ada <> 1767225600 +0000",
    b"author Ada < a@b.org > 1767225600 +0000",
    b"author Ada <ada@example.org> 1767225600 +0000\nauthor Eve <eve@example.org> 1767225600 +0000",
    b"author Ada <ada@example.org> 1767225600 +0000\nauthor Eve",
)


def test_a_commit_is_by_whom_and_about_what_git_says(top: Path, git: Git) -> None:
    commit(git)
    tree, encodings = git("mktree").encode(), (b"", b"\nencoding ISO-8859-1", b"\nencoding none")
    pairs = [*((author, b"Promote\n") for author in AUTHORS), *((AUTHORS[0], message) for message in MESSAGES)]
    odd, opened = top.parent / "commit", source(top)
    for author, message in pairs:
        for encoding in encodings:
            by = b"tree %b\n%b\ncommitter Ada <ada@example.org> 1767225600 +0000" % (tree, author)
            odd.write_bytes(by + encoding + b"\n\n" + message)
            made = git("hash-object", "-t", "commit", "-w", "--literally", str(odd))

            revision = opened.read(made).revision

            form = ("log", "-1", "--encoding=UTF-8", "--format=%an <%ae>%x00%s", made)
            said = subprocess.run(["git", *form], cwd=top, capture_output=True, check=True).stdout
            author_and_subject = said.decode("utf-8", "replace").removesuffix("\n").split("\0")
            assert [revision.author, revision.subject] == author_and_subject, odd.read_bytes()


def test_a_commit_and_a_clean_work_tree_hold_the_same_files(top: Path, git: Git) -> None:
    for name in ("b.yaml", "a.yml", "deep/er/c.yaml"):
        write(top / "manifests" / name)
    for name in ("notes.txt", ".hidden.yaml", ".git-ish/d.yaml"):
        write(top / "manifests" / name)
    write(top / "elsewhere.yaml")
    made = commit(git)

    of_commit, of_tree = source(top).read("HEAD"), source(top).read(None)

    assert paths(of_commit) == ["manifests/a.yml", "manifests/b.yaml", "manifests/deep/er/c.yaml"]
    assert of_commit == of_tree
    assert of_commit.revision.commit == made
    assert of_commit.revision.author == f"{AUTHOR} <{EMAIL}>"
    assert of_commit.revision.subject == "Say so"


def test_a_commit_is_read_from_git_and_not_from_disk(top: Path, git: Git) -> None:
    write(top / "manifests/a.yaml", "model: first\n")
    first = commit(git)
    write(top / "manifests/a.yaml", "model: second\n")
    commit(git)
    write(top / "manifests/a.yaml", "model: third\n")

    assert source(top).read(first).files[0].data == b"model: first\n"
    assert source(top).read("HEAD").files[0].data == b"model: second\n"
    assert source(top).read(None).files[0].data == b"model: third\n"


def test_what_no_commit_holds_is_named_and_has_no_commit(top: Path, git: Git) -> None:
    for name in ("changed", "staged", "deleted", "kept"):
        write(top / f"manifests/{name}.yaml")
    commit(git)
    write(top / "manifests/changed.yaml", "model: other\n")
    write(top / "manifests/staged.yaml", "model: other\n")
    git("add", "manifests/staged.yaml")
    (top / "manifests/deleted.yaml").unlink()
    write(top / "manifests/nëw file.yaml")
    write(top / "manifests/.hidden.yaml")
    write(top / "README.md", "outside")

    checkout = source(top).read(None)

    assert checkout.dirty == (
        "manifests/changed.yaml",
        "manifests/deleted.yaml",
        "manifests/nëw file.yaml",
        "manifests/staged.yaml",
    )
    assert checkout.revision.commit is None
    assert source(top).read("HEAD").dirty == checkout.dirty


def test_a_manifest_that_git_ignores_is_in_no_commit(top: Path, git: Git) -> None:
    write(top / "manifests/a.yaml")
    write(top / ".gitignore", "local.yaml\n")
    commit(git)
    write(top / "manifests/deep/local.yaml")

    checkout = source(top).read(None)

    assert "manifests/deep/local.yaml" in paths(checkout)
    assert checkout.dirty == ("manifests/deep/local.yaml",)
    assert checkout.revision.commit is None


@pytest.mark.parametrize("folder", [".", ".mlflow/manifests", "odd [*] name"])
def test_what_differs_from_the_commit_is_found_wherever_manifests_are(top: Path, git: Git, folder: str) -> None:
    write(top / folder / "a.yaml")
    commit(git)
    clean = source(top, folder).read(None).dirty
    write(top / folder / "a.yaml", "model: other\n")

    dirty = source(top, folder).read(None).dirty

    assert (clean, dirty) == ((), (str(PurePosixPath(folder) / "a.yaml"),))


def test_a_folder_of_manifests_that_is_a_link_out_of_the_repository_is_an_error(
    top: Path, git: Git, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (top / "manifests").symlink_to(tmp_path / "elsewhere")
    commit(git)

    with pytest.raises(ManifestError, match=r"manifests: link-to-folder: .* out of the repository"):
        source(top)


def test_a_repository_of_another_user_is_an_error_in_the_words_of_git(
    top: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(top / "manifests/a.yaml")
    commit(git)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    with pytest.raises(ReconcilerError, match=r"dubious ownership.* safe\.directory"):
        source(top)


def test_a_repository_is_opened_by_one_process(top: Path, git: Git) -> None:
    git("remote", "add", "origin", "https://forge.example/acme/models.git")

    with counting() as calls:
        opened = source(top)

    assert opened.identity == "forge.example/acme/models#manifests"
    assert calls["subprocess.Popen.__init__"] == 1


def test_a_repository_without_settings_of_its_own_is_opened(top: Path, git: Git) -> None:
    write(top / "manifests/a.yaml")
    made = commit(git)
    (top / ".git" / "config").unlink()

    assert source(top).read("HEAD").revision.commit == made


ELSEWHERE = "https://mirror.example/"
ADDRESSES: dict[str, tuple[dict[str, str | list[str]], bool]] = {
    "as it is": ({}, True),
    "for pushes": ({"remote.origin.pushurl": "ssh://forge.example/push"}, True),
    "several": ({"remote.origin.pushurl": ["ssh://forge.example/one", "ssh://forge.example/two"]}, True),
    "another stands for it": ({f"url.{ELSEWHERE}.insteadOf": "https://forge.example/"}, False),
    "another stands for it in pushes": ({f"url.{ELSEWHERE}.pushInsteadOf": "https://forge.example/"}, False),
    "another remote has it": ({"remote.Origin.url": ELSEWHERE, "remote.origin.x.url": ELSEWHERE}, True),
    "one is empty": ({"remote.origin.pushurl": ["", "ssh://forge.example/one"]}, False),
}


@pytest.mark.parametrize("name", ["origin", "Origin", "https://forge.example/acme/models"])
@pytest.mark.parametrize("about", ADDRESSES)
def test_where_refs_are_pushed_to_is_where_git_pushes_to(top: Path, git: Git, about: str, name: str) -> None:
    settings, alone = ADDRESSES[about]
    git("remote", "add", "origin", "https://forge.example/acme/models.git")
    for key, values in settings.items():
        for value in [values] if isinstance(values, str) else values:
            git("config", "--add", key, value)
    asked = subprocess.run(
        ["git", "remote", "get-url", "--push", "--", name], cwd=top, capture_output=True, text=True, check=False
    )
    ref = RemoteRef(source(top).git, name, "refs/x", 30.0)

    with counting() as calls:
        found = ref.found()

    assert found.url == (asked.stdout.strip() if asked.returncode == 0 else name)
    assert (calls["subprocess.Popen.__init__"] == 0) == (alone and asked.returncode == 0)


def test_links_are_followed_inside_the_repository_and_not_out_of_it(top: Path, git: Git, tmp_path: Path) -> None:
    write(tmp_path / "secret.yaml", "model: secret\n")
    write(top / "shared/a.yaml", "model: shared\n")
    (top / "manifests").mkdir()
    (top / "manifests/inside.yaml").symlink_to("../shared/a.yaml")
    (top / "manifests/outside.yaml").symlink_to("../../secret.yaml")
    (top / "manifests/absolute.yaml").symlink_to(tmp_path / "secret.yaml")
    commit(git)

    for ref in ("HEAD", None):
        checkout = source(top).read(ref)
        assert [(f.path, f.data) for f in checkout.files] == [("manifests/inside.yaml", b"model: shared\n")]
        assert [(str(p.location), p.code) for p in checkout.problems] == [
            ("manifests/absolute.yaml", "link-out-of-repository"),
            ("manifests/outside.yaml", "link-out-of-repository"),
        ]


def test_a_link_to_a_folder_is_told_and_not_passed_over(top: Path, git: Git) -> None:
    write(top / "shared/a.yaml")
    (top / "manifests").mkdir()
    (top / "manifests/shared").symlink_to("../shared")
    commit(git)

    for ref in ("HEAD", None):
        assert [(str(p.location), p.code) for p in source(top).read(ref).problems] == [
            ("manifests/shared", "link-to-folder")
        ]


def test_links_that_go_round_in_circles_end(top: Path, git: Git) -> None:
    (top / "manifests").mkdir()
    (top / "manifests/a.yaml").symlink_to("b.yaml")
    (top / "manifests/b.yaml").symlink_to("a.yaml")
    commit(git)

    for ref in ("HEAD", None):
        assert source(top).read(ref).files == ()
        assert len(source(top).read(ref).problems) == 2


def test_a_folder_that_never_was_there_is_told_from_one_that_is_gone(top: Path, git: Git) -> None:
    before = commit(git)
    never = [source(top).read(ref) for ref in ("HEAD", None)]
    (top / "manifests").mkdir()
    begun = source(top).read(None)
    write(top / "manifests/a.yaml")
    commit(git)
    (top / "manifests/a.yaml").unlink()
    (top / "manifests").rmdir()
    deleted = source(top).read(None)
    commit(git)
    gone = [source(top).read(ref) for ref in ("HEAD", None, before)]
    walked = source(top)
    walked.trunk(walked.meant("HEAD"), ())
    with counting() as calls:
        known = [walked.read(ref).absent for ref in ("HEAD", before)]

    assert (known, calls["subprocess.Popen.__init__"]) == ([False, True], 0)
    assert [(one.files, one.absent) for one in never] == [((), True), ((), True)]
    assert (begun.absent, deleted.absent, deleted.dirty) == (False, False, ("manifests/a.yaml",))
    assert [one.absent for one in gone] == [False, False, True]


def test_an_author_is_spelled_right_whatever_the_commit_is_encoded_in(top: Path, git: Git) -> None:
    name, subject = (os.fsdecode(text.encode("latin-1")) for text in ("Löv Ågren", "Förbättra"))
    old = ("-c", "i18n.commitEncoding=ISO-8859-1", "-c", "i18n.logOutputEncoding=ISO-8859-1")
    git(*old, "commit", "--quiet", "--allow-empty", "--message", subject, GIT_AUTHOR_NAME=name)
    git("config", "i18n.logOutputEncoding", "ISO-8859-1")

    for ref in ("HEAD", None):
        revision = source(top).read(ref).revision
        assert (revision.author, revision.subject) == (f"Löv Ågren <{EMAIL}>", "Förbättra")


def test_a_repository_may_name_its_commits_by_sha256(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "--quiet", "--initial-branch=main", "--object-format=sha256", "models")
    top = tmp_path / "models"
    write(top / "manifests/deep/a.yaml")
    (top / "manifests/link.yaml").symlink_to("deep/a.yaml")
    run_git(top, "add", "--all")
    run_git(top, "commit", "--quiet", "--message", "first")
    first = Commit(run_git(top, "rev-parse", "HEAD"))
    write(top / "manifests/deep/a.yaml", "model: other\n")
    found = source(top)

    assert len(first) == 64
    assert paths(found.read(first[:9])) == ["manifests/deep/a.yaml", "manifests/link.yaml"]
    assert found.read("HEAD").dirty == ("manifests/deep/a.yaml", "manifests/link.yaml")
    assert found.file("main", "manifests/deep/a.yaml") == found.read("HEAD").files[0]
    assert [step.commit for step in found.steps(found.trunk(first, ()))] == [first]
    assert found.contains_commit(first, "main") is True
    with exported(git_at(top), first) as tree:
        assert (tree / "manifests/link.yaml").read_text() == "model: churn\n"


def test_a_clone_without_files_gets_those_that_it_reads(top: Path, git: Git, tmp_path: Path) -> None:
    write(top / "manifests/a.yaml")
    write(top / "manifests/deep/b.yaml")
    commit(git)
    git("config", "uploadpack.allowFilter", "true")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    for filtered in ("blob:none", "tree:0"):
        clone = tmp_path / filtered
        git("clone", "--quiet", "--no-checkout", f"--filter={filtered}", f"file://{top}", str(clone))

        assert paths(source(clone).read("HEAD")) == ["manifests/a.yaml", "manifests/deep/b.yaml"]


def test_of_a_file_that_is_too_large_no_more_is_read_than_tells_so(top: Path, git: Git) -> None:
    write(top / "manifests/a.yaml", "#" * (3 * FILE_BYTES))
    commit(git)

    for ref in ("HEAD", None):
        (file,) = source(top).read(ref).files
        assert len(file.data) == FILE_BYTES + 1


def test_the_repository_is_found_from_below(top: Path, git: Git) -> None:
    write(top / "teams/risk/manifests/a.yaml")
    commit(git)

    found = source(top, "teams/risk/manifests")

    assert paths(found.read("HEAD")) == ["teams/risk/manifests/a.yaml"]
    assert found.identity.endswith("#teams/risk/manifests")


def test_no_repository_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError, match="not in a git repository"):
        open_source(tmp_path / "manifests")


@pytest.mark.parametrize("ref", ["nowhere", "HEAD~9", "--upload-pack=x", "deadbeef", "", "@{yesterday}"])
def test_a_commit_that_is_not_there_is_an_error_with_what_to_do(top: Path, git: Git, ref: str) -> None:
    commit(git)

    with pytest.raises(ReconcilerError, match="no commit"):
        source(top).read(ref)


def test_how_commits_are_related(top: Path, git: Git) -> None:
    first, second = commit(git, "first"), commit(git, "second")
    git("checkout", "--quiet", "-b", "side", first)
    side = commit(git, "side")
    relation = source(top).relation

    assert relation(first, first) is Relation.SAME
    assert relation(first, second) is Relation.ANCESTOR
    assert relation(second, first) is Relation.DESCENDANT
    assert relation(side, second) is Relation.UNRELATED
    assert relation(Commit("f" * 40), second) is Relation.UNKNOWN
    assert relation(Commit("--help"), second) is Relation.UNKNOWN


def test_a_newer_commit_is_fetched_to_be_judged(top: Path, git: Git, tmp_path: Path) -> None:
    first = commit(git, "first")
    git("clone", "--quiet", str(top), str(tmp_path / "clone"))
    second = commit(git, "second")
    clone = source(tmp_path / "clone")

    assert clone.relation(second, first) is Relation.DESCENDANT
    assert not (tmp_path / "clone/.git/FETCH_HEAD").exists()


def test_a_shallow_clone_does_not_pretend_to_know(top: Path, git: Git, tmp_path: Path) -> None:
    first, second = commit(git, "first"), commit(git, "second")
    git("clone", "--quiet", "--depth=1", f"file://{top}", str(tmp_path / "clone"))
    git("remote", "remove", "origin", at=tmp_path / "clone")

    assert source(tmp_path / "clone").relation(first, second) is Relation.UNKNOWN


def test_whether_a_branch_contains_a_commit(top: Path, git: Git) -> None:
    first, second = commit(git, "first"), commit(git, "second")
    git("checkout", "--quiet", "-b", "team/side", first)
    side = commit(git, "side")
    contains = source(top).contains_commit

    assert contains(first, "main") is True
    assert contains(second, "main") is True
    assert contains(f" {second.upper()}\n", "main") is True
    assert contains(side, "main") is False
    assert contains(side, "team/side") is True


def test_the_remotes_branch_goes_before_the_local_one(top: Path, git: Git, tmp_path: Path) -> None:
    merged = commit(git, "merged")
    clone = tmp_path / "clone"
    git("clone", "--quiet", str(top), str(clone))
    git("commit", "--quiet", "--allow-empty", "--message", "mine alone", at=clone)
    mine = git("rev-parse", "HEAD", at=clone)

    assert source(clone).contains_commit(merged, "main") is True
    assert source(clone).contains_commit(mine, "main") is False


def test_a_commit_that_the_clone_lacks_is_fetched(top: Path, git: Git, tmp_path: Path) -> None:
    first = commit(git, "first")
    git("clone", "--quiet", "--single-branch", str(top), str(tmp_path / "clone"))
    git("checkout", "--quiet", "-b", "side")
    side = commit(git, "side")

    assert source(tmp_path / "clone").contains_commit(side, "main") is False
    assert source(tmp_path / "clone").contains_commit(first, "side") is None


NO_COMMITS = ["", "HEAD", "main", "--all", "-h", "HEAD~1", ":/first", "@{-1}", "abc1234", "f" * 41, "main^{commit}"]


@pytest.mark.parametrize("text", NO_COMMITS)
def test_what_is_no_commit_in_full_is_never_looked_up(top: Path, git: Git, text: str) -> None:
    commit(git, "first")
    commit(git, "second")

    assert source(top).contains_commit(text, "main") is None


@pytest.mark.parametrize("branch", ["", "gone", "--help", "main^", "main~0", "*", "../heads/main", "ma\0in", "HEAD"])
def test_a_branch_that_is_not_there_tells_nothing(top: Path, git: Git, branch: str) -> None:
    first = commit(git, "first")

    assert source(top).contains_commit(first, branch) is None


def test_nothing_is_told_of_a_commit_that_nobody_has(top: Path, git: Git) -> None:
    commit(git, "first")

    assert source(top).contains_commit("f" * 40, "main") is None
    assert source(top).contains_commit("f" * 64, "main") is None


def test_a_tree_or_a_blob_is_no_commit(top: Path, git: Git) -> None:
    write(top / "manifests/a.yaml")
    commit(git, "first")

    assert source(top).contains_commit(git("rev-parse", "HEAD^{tree}"), "main") is None


def test_a_shallow_clone_tells_what_it_has_and_denies_nothing(top: Path, git: Git, tmp_path: Path) -> None:
    first, second, third = commit(git, "first"), commit(git, "second"), commit(git, "third")
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--depth=1", f"file://{top}", str(clone))

    assert source(clone).contains_commit(third, "main") is True
    assert source(clone).contains_commit(first, "main") is None
    # What a commit itself names as its parent is in it, wherever the clone is cut.
    assert source(clone).contains_commit(second, "main") is True


def test_a_replaced_commit_is_judged_as_it_was_made(top: Path, git: Git) -> None:
    first = commit(git, "first")
    git("checkout", "--quiet", "-b", "side")
    side = commit(git, "side")
    git("checkout", "--quiet", "main")
    tip = commit(git, "second")
    git("replace", "--graft", tip, first, side)

    assert source(top).contains_commit(side, "main") is False


def test_a_repository_without_a_remote_is_known_by_its_first_commit(top: Path, git: Git, tmp_path: Path) -> None:
    commit(git, "first")
    before = source(top).identity
    commit(git, "second")

    assert source(top).identity == before
    assert before.startswith("git:")


def test_an_empty_repository_can_be_planned_under_a_name_that_owns_nothing(top: Path, git: Git) -> None:
    before = source(top).read(None).revision

    commit(git, "first")

    assert before.commit is None
    assert source(top).identity != before.repository


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/acme/models.git", "github.com/acme/models"),
        ("https://user:secret@GitHub.com/acme/models", "github.com/acme/models"),
        ("git@github.com:acme/models.git", "github.com/acme/models"),
        ("https://github.com/Acme/Models", "github.com/acme/models"),
        ("git@gitlab.com:Acme/Risk/Models.git", "gitlab.com/acme/risk/models"),
        ("git@bitbucket.org:Acme/Models.git", "bitbucket.org/acme/models"),
        ("https://www.github.com./acme//models.GIT/", "github.com/acme/models"),
        ("https://github.com:443/acme/models", "github.com/acme/models"),
        ("git@github.com:/acme/models.git", "github.com/acme/models"),
        ("[git@github.com:22]:acme/models", "github.com/acme/models"),
        ("ssh://git@ssh.github.com:443/acme/models.git", "github.com/acme/models"),
        ("ssh.github.com:443/acme/models", "github.com/acme/models"),
        ("ssh://git@altssh.gitlab.com:443/Acme/models", "gitlab.com/acme/models"),
        ("git+ssh://git@github.com/acme/mod%65ls", "github.com/acme/models"),
        ("https://git.acme.example/Acme/Models", "git.acme.example/Acme/Models"),
        ("ssh://git@github.com:22/acme/models.git/", "github.com/acme/models"),
        ("/srv/git/models.git", "srv/git/models"),
        ("file:///srv/git/models.git", "srv/git/models"),
    ],
)
def test_one_repository_has_one_name_however_it_is_reached(url: str, name: str) -> None:
    assert normal_url(url) == name


def test_files_named_one_by_one_are_read_and_missing_ones_are_told(top: Path) -> None:
    write(top / "a.yaml")

    files, problems = files_below([top / "a.yaml", top / "missing.yaml"], top)

    assert [file.path for file in files] == ["a.yaml"]
    assert [problem.code for problem in problems] == ["no-such-path"]


def test_a_source_gives_what_its_line_changed_in_its_own_folder(top: Path, git: Git) -> None:
    write(top / "manifests/a.yaml", "model: first\n")
    first = commit(git, "first")
    write(top / "elsewhere.yaml")
    second = commit(git, "second")

    found = source(top)
    line = found.trunk(second, ())
    (step,) = found.steps(line)

    assert [one.commit for one in line] == [second, first]
    assert (step.commit, step.before, step.after) == (
        first,
        {"manifests/a.yaml": None},
        {"manifests/a.yaml": b"model: first\n"},
    )


def test_a_file_or_folder_is_told_from_what_another_commit_has_there(top: Path, git: Git) -> None:
    write(top / "checks/bias.py", "1")
    write(top / "README.md", "1")
    first = commit(git)
    write(top / "checks/bias.py", "2")
    second = commit(git)

    same = {
        path: source(top).digest(first, path) == source(top).digest(second, path)
        for path in ("checks", "checks/bias.py", "README.md", "nothing", "checks/nothing", "/", "..")
    }

    assert [path for path, value in same.items() if not value] == ["checks", "checks/bias.py"]
    assert source(top).digest(first, "nothing") is None


def test_the_files_of_each_step_are_those_of_its_commit_however_often_they_came_and_went(top: Path, git: Git) -> None:
    """Far more commits than are read at once; the same text in several files, there and back again."""
    random = Random(3)  # noqa: S311  # no secret
    here = {"manifests/a.yaml": "", "manifests/b.yaml": "", "manifests-of-others/c.yaml": "", "reconciler.yaml": ""}
    states: list[dict[str, str]] = []
    stream = "reset refs/heads/main\n"
    for number in range(130):
        path = random.choice([*here])
        here[path] = random.choice(["", "model: one\n", "model: two\n"])
        files = "".join(f"M 100644 inline {p}\ndata {len(t)}\n{t}\n" if t else f"D {p}\n" for p, t in here.items())
        stream += f"commit refs/heads/main\ncommitter A <a@x> {number} +0000\ndata 1\nx\n{files}"
        states.append(dict(here))
    subprocess.run(["git", "fast-import", "--quiet"], cwd=top, input=stream.encode(), check=True)
    found = source(top)
    line = found.trunk(found.meant("main"), ())

    for path, elsewhere, below in (
        ("reconciler.yaml", False, ("reconciler.yaml",)),
        (None, False, ("manifests/",)),
        ("", False, ("",)),
        ("", True, ("manifests-of-others/", "reconciler.yaml")),
    ):
        told = {s.commit: (s.before, s.after) for s in found.steps(line, path, elsewhere=elsewhere)}
        for one, now, then in zip(line, reversed(states), [*reversed(states[:-1]), {}], strict=True):
            changed = [p for p in here if p.startswith(below) and now[p] != then.get(p, "")]
            before, after = ({p: s.get(p, "").encode() or None for p in changed} for s in (then, now))
            assert told.get(one.commit, ({}, {})) == (before, after)
