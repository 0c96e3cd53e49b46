"""What people call a commit by → the commit: a branch first, and nothing that could be two."""

import re
from dataclasses import dataclass
from pathlib import Path

from reconciler.core.names import Commit
from reconciler.core.text import did_you_mean, plain
from reconciler.errors import ReconcilerError
from reconciler.git.runner import FULL_NAME, Git

# A name, and what says how to get from it to the commit that is meant: `main~2`, `main^{commit}`, `main@{u}`.
_EXPRESSION = re.compile(r"(?s)(.*?)((?:[\^~:]|@\{).*)?")
_STEPS = re.compile(r"(?is)(?:\^[0-9]*|~[0-9]*|\^\{(?:commit|tag|object|/[^}]*)?\}|@\{(?:-?[0-9]+|u|upstream|push)\})*")
_OTHER_BRANCH = re.compile(r"(?i)@\{(?:u|upstream|push|-[1-9][0-9]*)\}")
_SHORT = re.compile(r"[0-9a-f]{4,63}")
_DESCRIBED = re.compile(r".+-[0-9]+-g([0-9a-f]{4,64})")
_PSEUDO = re.compile(r"[A-Z_]*HEAD")

_KINDS = {
    "refs/heads/": "branch",
    "refs/remotes/": "remote branch",
    "refs/tags/": "tag",
}


@dataclass(frozen=True, slots=True)
class _Meaning:
    """One thing that a name can stand for: how it is written beyond doubt, and its commit."""

    full: str
    commit: Commit

    def __str__(self) -> str:
        kind = next((word for place, word in _KINDS.items() if self.full.startswith(place)), "commit")
        return f"the {kind} {plain(self.full, 200)} ({self.commit[:12]})"


def resolve(git: Git, text: str) -> Commit:
    """
    The commit that somebody names. Raises ReconcilerError where there is none, and where a branch, a tag and a commit
    of that name are not one and the same.
    """
    parts = _EXPRESSION.fullmatch(text)
    name, steps = (parts[1], parts[2] or "") if parts else (text, "")
    if not text.isprintable():
        raise _none(git, text)
    if text.startswith(":/"):
        return _verified(git, text, text)
    if not _STEPS.fullmatch(steps):
        raise _none(git, text)
    if not name and (branch := _OTHER_BRANCH.match(steps)):
        return _verified(git, _full_name(git, branch[0], text) + steps[branch.end() :], text)
    if not name and not steps.startswith("@{"):
        raise _none(git, text)
    meanings = _meanings(git, "HEAD" if name in {"", "@"} else name)
    if not meanings:
        raise _none(git, text)
    if len({meaning.commit for meaning in meanings}) > 1:
        raise ReconcilerError(
            f"`{plain(name, 200)}` is ambiguous: it is {' and '.join(map(str, meanings))}.",
            f"Write the full name: {' or '.join(plain(m.full, 200) for m in meanings)}. Or delete the others.",
        )
    if not steps:
        return meanings[0].commit
    full = meanings[0].full
    if (upstream := _OTHER_BRANCH.match(steps)) and full.startswith("refs/heads/"):
        # Git knows whose upstream is meant by the short name alone.
        full = _full_name(git, full.removeprefix("refs/heads/") + upstream[0], text)
        steps = steps[upstream.end() :]
    return _verified(git, full + steps, text)


def _full_name(git: Git, expression: str, text: str) -> str:
    """Which branch `@{u}`, `main@{u}` or `@{-1}` stands for: git itself would go on by its short name."""
    answer = git.read("rev-parse", "--verify", "--quiet", "--symbolic-full-name", expression, may_fail=True)
    if answer.code != 0 or not answer.text.startswith(("refs/heads/", "refs/remotes/")):
        raise _none(git, text)
    return answer.text


def branch_tip(git: Git, branch: str, remote: str | None) -> Commit | None:
    """
    The newest commit of a branch: the remote's, as far as it was fetched, or else the local one. None where there is
    none, and where the name is also that of another remote branch, as `origin/main` can be.
    """
    if not branch.isprintable():
        return None
    places = [f"refs/remotes/{remote}/{branch}"] if remote is not None else []
    places, other = [*places, f"refs/heads/{branch}"], f"refs/remotes/{branch}"
    tips = _refs(git, *places, other)
    found, spelled = [tips[place] for place in places if place in tips], tips.get(other)
    return found[0] if found and spelled in {None, found[0]} else None


def _meanings(git: Git, name: str) -> list[_Meaning]:
    if _PSEUDO.fullmatch(name) and _is_kept(git, name):
        return _as_commits(git, [name])
    if name.startswith("refs/"):
        return _as_commits(git, [name] if _refs(git, name) else [])
    places = ("refs/heads/", "refs/remotes/", "refs/tags/", "refs/")
    wanted = [f"{place}{name}" for place in places] + [f"refs/remotes/{name}/HEAD"]
    listed = _refs(git, *wanted)
    names = [full for full in wanted if full in listed]
    lower = name.lower()
    if FULL_NAME.fullmatch(lower):
        names.append(lower)
    elif _SHORT.fullmatch(lower):
        names.extend(git.read("rev-parse", f"--disambiguate={lower}", may_fail=True).text.split())
    elif not names and (described := _DESCRIBED.fullmatch(name)):
        names.extend(git.read("rev-parse", f"--disambiguate={described[1]}", may_fail=True).text.split())
    return _as_commits(git, names)


def _as_commits(git: Git, names: list[str]) -> list[_Meaning]:
    """Those names that lead to a commit, each once."""
    meanings: dict[str, _Meaning] = {}
    for full in names:
        if (commit := git.commit(full)) is not None:
            meanings[full] = _Meaning(full, Commit(commit))
    return list(meanings.values())


def _refs(git: Git, *names: str) -> dict[str, Commit]:
    """What those refs point to that are there, by their full names."""
    listing = git.read("for-each-ref", "--format=%(objectname) %(refname)", *names, may_fail=True).text
    found = (line.partition(" ") for line in listing.splitlines())
    # Git also lists what is below a name.
    return {name: Commit(value) for value, _, name in found if name in names}


def _is_kept(git: Git, name: str) -> bool:
    return Path(git.folder / name).exists()


def _verified(git: Git, expression: str, text: str) -> Commit:
    peeled = expression if expression.startswith(":/") else f"{expression}^{{commit}}"
    answer = git.read("rev-parse", "--verify", "--quiet", peeled, may_fail=True)
    if answer.code != 0 or not FULL_NAME.fullmatch(answer.text):
        raise _none(git, text)
    return Commit(answer.text)


def _none(git: Git, text: str) -> ReconcilerError:
    places = ("refs/heads", "refs/remotes", "refs/tags")
    known = git.read("for-each-ref", "--format=%(refname:short)", "--count=1000", *places, may_fail=True).text.split()
    fix = did_you_mean(text, known, "Correct the name, or fetch it first.")
    return ReconcilerError(f"This repository has no commit `{plain(text, 200)}`.", fix)


def default_branch(git: Git, remote: str) -> str:
    """The branch that changes are merged into: the remote's own, as a clone remembers it, else `main`."""
    prefix = f"refs/remotes/{remote}/"
    text = git.read("symbolic-ref", "--quiet", f"{prefix}HEAD", may_fail=True).text
    branch = text.removeprefix(prefix) if text.startswith(prefix) else "main"
    return branch if re.fullmatch(r"[\w./-]+", branch, re.ASCII) else "main"
