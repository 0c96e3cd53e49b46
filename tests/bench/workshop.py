"""A registry that grows, and the git repository whose manifests declare it."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler.core.names import Commit
from tests.bench import fleet
from tests.bench.measure import ROOT, Ran, probe, run, run_forked

Sent = Mapping[str, Any]


class Workshop:
    """Everything lies in one folder, which the caller removes. `forked`: what is measured is forked from here."""

    def __init__(self, folder: Path, *, forked: bool) -> None:
        self.folder = folder
        self._forked = forked
        self.repository = folder / "repository"
        self.manifests = self.repository / "manifests"
        self.database = f"sqlite:///{folder}/mlflow.db"
        self.models = 0
        run(["git", "init", "--quiet", "--bare", str(folder / "remote.git")], folder)
        run(["git", "init", "--quiet", "--initial-branch=main", str(self.repository)], folder)
        for key, value in {"user.name": "Ada Lovelace", "user.email": "ada@acme.example", "gc.auto": "0"}.items():
            self.git("config", key, value)
        self.git("remote", "add", "origin", str(folder / "remote.git"))

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.repository), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def declare(self, numbers: Iterable[int], placed: fleet.Placed) -> Commit:
        """Commit manifests that have these models so."""
        fleet.write_manifests(self.manifests, numbers, placed)
        self.git("add", "manifests")
        self.git("commit", "--quiet", "--message", "Place models")
        return Commit(self.git("rev-parse", "HEAD"))

    def name_registry(self, *uris: str) -> None:
        """Commit a policy by which these addresses lead to one registry: a record by one counts by another then."""
        lines = ["registry-names:", *(f"  - {uri}" for uri in uris)]
        (self.repository / "reconciler.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.git("add", "reconciler.yaml")
        self.git("commit", "--quiet", "--message", "Name the registry")

    def forget_last_commit(self) -> None:
        self.git("reset", "--quiet", "--hard", "HEAD~1")

    def grow(self, models: int) -> None:
        """Declare more models, and register them as an apply of that commit would leave them."""
        added = range(self.models, models)
        rows = self.folder / "rows.json"
        rows.write_text(json.dumps(fleet.rows(added, self.declare(added, fleet.Placed()))), encoding="utf-8")
        command = [sys.executable, str(ROOT / "tests/bench/populate.py"), self.database, str(rows)]
        (run_forked if self._forked else run)(command, self.folder)
        self.models = models

    def plan(self, uri: str, *, promoted: int = 0, admitted: int = 0, force: bool = False) -> Ran:
        """
        One `reconciler plan`, which must find just what this registry was made for: models to promote, and models that
        are as they should be in two slots, but not by an apply.
        """
        saved = self.folder / "plan.json"
        # What a plan costs by itself: evidence is asked for version by version, for those alone that move.
        options = ("--force",) if force else ()
        ran = self._reconciler("plan", uri, "--evidence", "none", "--out", str(saved), *options)
        summary: dict[str, int] = json.loads(saved.read_text(encoding="utf-8"))["summary"]
        expected = {
            "promote": promoted,
            "archive": promoted,
            "roll_back": 0,
            "aliases": promoted,
            "other": 2 * admitted,
            "unchanged": self.models - promoted - admitted,
            "blocked": 0,
        }
        if ran.found["code"] != 0 or summary != expected:
            raise SystemExit(f"plan: exit code {ran.found['code']}, {summary} instead of {expected}")
        return ran

    def apply(self, uri: str, threads: int) -> Ran:
        return _passed(self._reconciler("apply", uri, "--yes", "--lock", "file", "--parallelism", str(threads)))

    def drift(self, uri: str) -> Ran:
        return _passed(self._reconciler("drift", uri))

    def validate(self) -> Ran:
        return _passed(self._probe(self.repository, "reconciler", "validate", str(self.manifests)))

    def _probe(self, folder: Path, *arguments: str) -> Ran:
        return probe(folder, *arguments, forked=self._forked)

    def _reconciler(self, command: str, uri: str, *options: str) -> Ran:
        named = ("--registry-uri", uri, "--repository", fleet.REPOSITORY)
        return self._probe(self.repository, "reconciler", command, *named, *options)

    def script(self, uri: str, every: int) -> Ran:
        ran = self._probe(self.repository, "script", uri, str(self.manifests), str(every))
        if ran.found["different"]:
            raise SystemExit(f"The script found differences: {ran.found['different'][:3]}")
        return ran

    def replay(self, groups: Sequence[Sequence[Sent]], threads: int = 1) -> Ran:
        """The same requests with nothing around them; each group in order, in one of several threads."""
        file = self.folder / "requests.json"
        file.write_text(json.dumps(groups), encoding="utf-8")
        return self._probe(self.folder, "replay", str(file), str(threads))


def _passed(ran: Ran) -> Ran:
    if ran.found["code"] != 0:
        raise SystemExit(f"exit code {ran.found['code']}")
    return ran
