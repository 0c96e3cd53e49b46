"""One way to say the same of every forge: a job, the comments under its request, who approved that, what goes wrong."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from reconciler.core.names import Commit
from reconciler.forges.github import GithubForge
from reconciler.forges.gitlab import GitlabForge
from reconciler.forges.kinds import ForgeKind
from reconciler.forges.patience import Timing
from reconciler.ports import Forge, Requests
from tests import github_server as hub
from tests import gitlab_server as lab

ROBOT, MALLORY = "robot", "mallory"
"""Whose the token is, and somebody else."""

MERGED = Commit("ab" * 20)
HEAD = Commit("cd" * 20)


class WholeForge(Forge, Requests, Protocol):
    """All that a forge does for us."""


class Desk(Protocol):
    """A forge, with request `name` open from commit HEAD to main, and the seconds that were slept."""

    name: str
    slept: list[float]

    def forge(self, **variables: str) -> WholeForge:
        """Of a job for the request; an empty variable is not set."""
        ...

    def forge_elsewhere(self, address: str) -> Forge: ...

    def forge_for(self, commit: str) -> Forge:
        """Of a job that began when the request was at that commit."""
        ...

    def forge_on(self, branch: str, **variables: str) -> Forge:
        """Of a job for a branch."""
        ...

    def say(self, body: str, who: str = ROBOT, edited: str = "10:00:00") -> None: ...

    def bodies(self) -> list[str]: ...

    def writes(self) -> list[str]: ...

    def asked(self) -> list[str]: ...

    def opened(self) -> list[dict[str, Any]]:
        """The requests that were opened, as the forge's API calls their parts."""
        ...

    def fail(self, status: int, *, after: str = "", method: str = "", done: bool = False) -> None:
        """Answer one request like this: `after` is in how many seconds to ask again; `done` loses the answer alone."""
        ...

    def merge(self, branch: str = "main", *, number: int = 0, at: str | None = "12:00:00", exact: bool = True) -> None:
        """A request (0: this one) that MERGED is of; it ended in MERGED itself if `exact`."""
        ...

    def approve(self, who: str, at: str = "11:00:00") -> None: ...

    def lead_away(self, at: str) -> None:
        """From now on the request is to be merged into another branch."""
        ...


class GithubDesk:
    name = "#7"

    def __init__(self, state: hub.Hub, folder: Path, event: dict[str, Any] = hub.PULL_REQUEST) -> None:
        self.state, self.folder, self.event = state, folder, event
        self.slept: list[float] = []
        self.timing = Timing(timeout=1, sleep=self.slept.append)

    def forge(self, **variables: str) -> GithubForge:
        file = self.folder / "event.json"
        file.write_text(json.dumps(self.event))
        environment = {
            "GITHUB_API_URL": self.state.url,
            "GITHUB_REPOSITORY": hub.REPOSITORY,
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_TOKEN": hub.TOKEN,
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
        }
        variables = {"GITHUB_SHA" if name == "COMMIT" else name: value for name, value in variables.items()}
        return GithubForge({**environment, **variables}, self.timing)

    def forge_elsewhere(self, address: str) -> GithubForge:
        return self.forge(GITHUB_API_URL=address)

    def forge_for(self, commit: str) -> GithubForge:
        event = {**hub.PULL_REQUEST, "pull_request": {"number": 7, "head": {"sha": commit}}}
        return GithubDesk(self.state, self.folder, event).forge()

    def forge_on(self, branch: str, **variables: str) -> GithubForge:
        return GithubDesk(self.state, self.folder, hub.PUSH).forge(GITHUB_REF=f"refs/heads/{branch}", **variables)

    def say(self, body: str, who: str = ROBOT, edited: str = "10:00:00") -> None:
        self.state.add(body, hub.BOT if who == ROBOT else {"login": who, "type": "User"}, updated=edited)

    def bodies(self) -> list[str]:
        return self.state.bodies()

    def writes(self) -> list[str]:
        return self.state.writes()

    def asked(self) -> list[str]:
        return self.state.requests

    def opened(self) -> list[dict[str, Any]]:
        return self.state.opened

    def fail(self, status: int, *, after: str = "", method: str = "", done: bool = False) -> None:
        headers = {"Retry-After": after} if after else {}
        self.state.faults.append(hub.Fault(status, {"message": "No."}, headers, method, applied=done))

    def merge(self, branch: str = "main", *, number: int = 0, at: str | None = "12:00:00", exact: bool = True) -> None:
        request = self.state.merged(number or 7, MERGED if exact else "ff" * 20, at)
        self.state.pulls.setdefault(MERGED, []).append({**request, "base": {"ref": branch}})

    def approve(self, who: str, at: str = "11:00:00") -> None:
        self.state.review(hub.BOT if who == ROBOT else {"login": who, "type": "User"}, at=at)

    def lead_away(self, at: str) -> None:
        self.state.event("base_ref_changed", at, hub.ADA)


class GitlabDesk:
    name = "!3"

    def __init__(self, state: lab.Gitlab, folder: Path) -> None:
        self.state, self.folder = state, folder
        self.slept: list[float] = []
        self.timing = Timing(sleep=self.slept.append)
        state.push("09:30:00")

    def forge(self, **variables: str) -> GitlabForge:
        variables = {"CI_COMMIT_SHA" if name == "COMMIT" else name: value for name, value in variables.items()}
        environment = {name: value for name, value in {**self.state.job, **variables}.items() if value}
        return GitlabForge(environment, self.folder, self.timing)

    def forge_elsewhere(self, address: str) -> GitlabForge:
        return self.forge(CI_API_V4_URL=f"{address}/api/v4")

    def forge_for(self, commit: str) -> GitlabForge:
        return self.forge(CI_MERGE_REQUEST_SOURCE_BRANCH_SHA=commit)

    def forge_on(self, branch: str, **variables: str) -> GitlabForge:
        return self.forge(CI_MERGE_REQUEST_IID="", CI_COMMIT_BRANCH=branch, **variables)

    def say(self, body: str, who: str = ROBOT, edited: str = "10:00:00") -> None:
        self.state.note(body, lab.OURS if who == ROBOT else {"id": 8, "username": who})
        self.state.notes[-1]["updated_at"] = f"2026-05-01T{edited}.000Z"

    def bodies(self) -> list[str]:
        return self.state.bodies()

    def writes(self) -> list[str]:
        return [line for line in self.state.asked if not line.startswith("GET")]

    def asked(self) -> list[str]:
        return self.state.asked

    def opened(self) -> list[dict[str, Any]]:
        return self.state.opened

    def fail(self, status: int, *, after: str = "", method: str = "", done: bool = False) -> None:
        headers = {"Retry-After": after} if after else {}
        self.state.faults.append(lab.Fault(status, headers, method=method, done=done))

    def merge(self, branch: str = "main", *, number: int = 0, at: str | None = "12:00:00", exact: bool = True) -> None:
        self.state.merge_requests.append(
            {
                "iid": number or 3,
                "state": "merged" if at else "closed",
                "target_branch": branch,
                "sha": HEAD,
                "merge_commit_sha": MERGED if exact else None,
                "merged_at": at and f"2026-05-01T{at}.000Z",
            }
        )
        if not number:
            self.state.request.update(self.state.merge_requests[-1])

    def approve(self, who: str, at: str = "11:00:00") -> None:
        number = sum(map(ord, who))
        user = {"id": number, "username": "project_42_bot" if who == ROBOT else who, "name": who}
        self.state.approve(user, at)

    def lead_away(self, at: str) -> None:
        self.state.note("changed target branch from `playground` to `main`", lab.THEIRS, system=True)
        self.state.notes[-1]["created_at"] = f"2026-05-01T{at}.000Z"


@contextmanager
def desk_of(kind: ForgeKind, folder: Path) -> Generator[Desk]:
    """The desk of a forge, with its server."""
    if kind is ForgeKind.GITHUB:
        with hub.serving(hub.Hub()) as state:
            yield GithubDesk(state, folder)
    else:
        assert kind is ForgeKind.GITLAB, f"{kind} has no desk yet"
        with lab.gitlab_server() as state:
            yield GitlabDesk(state, folder)
