"""A long past: a repository of many commits, and the receipts of the applies among them."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from reconciler.core.chain import Link, digest_of
from reconciler.core.moments import after
from reconciler.core.names import Commit, Stage, alias_slot
from reconciler.core.snapshot import PROVENANCE_TAG
from tests.bench import fleet
from tests.bench.fleet import Placed
from tests.bench.measure import Ran, Usage, probe, run

START = "2025-10-10T00:00:00Z"
"""A little after the versions were registered."""
STEP = 1200
"""Seconds from a commit to the next."""


class LongPast:
    """
    A repository with that past, and what is asked about it: all in one folder, which the caller removes. `forked`: what
    is measured is forked from here.
    """

    def __init__(self, folder: Path, models: int, commits: int, registry: str, *, forked: bool) -> None:
        self._forked = forked
        self.repository = folder / "repository"
        self.models, self.commits, self.registry = models, commits, registry
        run(["git", "init", "--quiet", "--bare", str(folder / "remote.git")], folder)
        run(["git", "init", "--quiet", "--initial-branch=main", str(self.repository)], folder)
        build(self.repository, models, commits, registry)
        self.git("remote", "add", "origin", str(folder / "remote.git"))
        self.git("push", "--quiet", "origin", "main", "refs/reconciler/receipts")
        self._record()

    def _record(self) -> None:
        """The records of what stands, as the applies among these commits would have left them in the registry."""
        listed = ["git", "-C", str(self.repository), "rev-list", "--reverse", "main"]
        at = [*map(Commit, subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split())]
        last = {_promotion(number, self.models, self.commits)[0]: number for number in range(1, self.commits, 2)}
        with requests.Session() as session:
            for model in range(self.models):
                number, stood = last[model], Placed()
                entered = fleet.provenance(
                    [(Stage.PRODUCTION.slot, "Staging"), (alias_slot(fleet.CHAMPION), "v2")],
                    at[number],
                    _applied(number),
                    _receipt_id(number),
                )
                staged = fleet.provenance([(Stage.STAGING.slot, "None")], at[0], _applied(0))
                for version, record in ((stood.production, entered), (stood.staging, staged)):
                    named = {"name": fleet.model_name(model), "version": str(version)}
                    session.post(
                        f"{self.registry}/api/2.0/mlflow/model-versions/set-tag",
                        json={**named, "key": PROVENANCE_TAG, "value": record},
                    ).raise_for_status()

    def git(self, *arguments: str) -> Usage:
        return run(["git", "-C", str(self.repository), *arguments], self.repository)

    def listing(self) -> Ran:
        """What git alone takes to name the files that each commit changed."""
        usage = self.git("log", "--name-only", "--format=%H", "--", "manifests")
        return Ran(usage, {"seconds": usage.seconds})

    def history(self) -> Ran:
        """All that is known of one model."""
        made = self.repository / "history.json"
        ran = self._asked("history", fleet.model_name(0), "--report", f"json={made}")
        turns = json.loads(made.read_text(encoding="utf-8"))["turns"]
        told = sum(turn["word"] == "receipt" and turn["slot"] == "Production" for turn in turns)
        if told != self.promotions:
            raise SystemExit(f"history: {told} promotions instead of {self.promotions}")
        return ran

    def as_of(self) -> Ran:
        """What one model's slots held in the middle of it."""
        return self._asked("as-of", after(START, STEP * self.commits / 2), fleet.model_name(0))

    @property
    def promotions(self) -> int:
        """Of each model."""
        return self.commits // 2 // self.models

    def _asked(self, *arguments: str) -> Ran:
        named = ("--registry-uri", self.registry, "--repository", fleet.REPOSITORY)
        ran = probe(self.repository, "reconciler", *arguments, *named, forked=self._forked)
        if ran.found["code"] != 0:
            raise SystemExit(f"{arguments[0]}: exit code {ran.found['code']}")
        return ran


def build(repository: Path, models: int, commits: int, registry: str) -> None:
    """
    Commits in turn promote a model and change something else; after each promotion an apply left a receipt. The last
    promotion of each model leaves it as `fleet.Placed` has it.
    """
    stream = bytearray(b"reset refs/heads/main\n")
    for number in range(commits):
        files = _first(models) if number == 0 else dict([_changed(number, models, commits)])
        stream += _commit("refs/heads/main", number + 1, number, files, f"Change no. {number}")
    _import(repository, bytes(stream), repository / ".marks")
    names = (line.split() for line in (repository / ".marks").read_text().splitlines())
    at = {int(mark[1:]) - 1: Commit(name) for mark, name in names}
    (repository / ".marks").unlink()
    chain = bytearray()
    for number, link in enumerate(receipts(models, commits, registry, at.__getitem__), 1):
        chain += _commit("refs/reconciler/receipts", number, number, {}, link.text)
    _import(repository, bytes(chain))


def receipts(models: int, commits: int, registry: str, at: Callable[[int], Commit]) -> Iterator[Link]:
    """One behind the other, each of the apply of one promotion."""
    sequence, digest = 0, ""
    for number in range(1, commits, 2):
        model, before, now = _promotion(number, models, commits)
        when = _applied(number)
        made = Link(_receipt_id(number), when, _receipt(model, before, now, at(number), when, registry))
        link = made.behind(sequence, digest)
        sequence, digest = link.sequence, digest_of(link.text)
        yield link


def _applied(number: int) -> str:
    return after(START, STEP * number + 600)


def _receipt_id(number: int) -> str:
    return f"{_applied(number).replace('-', '').replace(':', '')}-{number:010x}"


def _first(models: int) -> Mapping[str, str]:
    return {f"manifests/{fleet.model_name(n)}.yaml": fleet.manifest(n, Placed(1, 4, 1)) for n in range(models)}


def _changed(number: int, models: int, commits: int) -> tuple[str, str]:
    if number % 2 == 0:
        return f"src/train_{number % 97}.py", f"ROUND = {number}\n"
    model, _, now = _promotion(number, models, commits)
    return f"manifests/{fleet.model_name(model)}.yaml", fleet.manifest(model, Placed(now, 4, now))


def _promotion(number: int, models: int, commits: int) -> tuple[int, int, int]:
    """Of which model, from which version, and to which: there and back again; the last is to that of `Placed`."""
    turn, model = divmod(number // 2, models)
    last = turn == ((commits - 2) // 2 - model) // models
    return model, 1 if turn == 0 else 1 + turn % 2, Placed().production if last else 2 - turn % 2


def _receipt(model: int, before: int, now: int, commit: Commit, when: str, registry: str) -> Mapping[str, Any]:
    name = fleet.model_name(model)
    gates = ("path", "soak", "metric", "signature", "approvals")
    return {
        "actor": {"who": "runner@ci", "run": f"https://ci.acme.example/runs/{commit[:8]}", "person": fleet.AUTHOR},
        "computed_from": {"repository": fleet.REPOSITORY, "commit": commit, "registry": registry, "workspace": ""},
        "started_at": when,
        "finished_at": after(when, 4),
        "models": [
            {
                "model": name,
                "status": "applied",
                "read_back": True,
                "calls": [
                    {
                        "method": "transition_model_version_stage",
                        "arguments": {"name": name, "version": now, "stage": "Production"},
                        "before": "Staging",
                        "after": "Production",
                        "at": after(when, 2),
                    }
                ],
                "slots": [{"slot": slot, "before": [before], "after": [now]} for slot in ("@champion", "Production")],
                "entrances": [{"version": now, "slot": s, "kind": "new"} for s in ("@champion", "Production")],
            }
        ],
        "verdicts": [
            {
                "model": name,
                "version": now,
                "slot": "Production",
                "gate": gate,
                "ruling": "pass",
                "sentence": f"v{now} is as the policy of the slot wants it, by all that is known of it.",
                "note": "",
            }
            for gate in gates
        ],
    }


def _commit(ref: str, mark: int, number: int, files: Mapping[str, str], message: str) -> bytes:
    time = fleet.SINCE // 1000 + 54_400 + STEP * number  # from START on
    people = "".join(f"{role} {fleet.AUTHOR} {time} +0000\n" for role in ("author", "committer"))
    text = f"{message}\n"
    head = f"commit {ref}\nmark :{mark}\n{people}data {len(text.encode())}\n{text}\n"
    parent = f"from :{mark - 1}\n" if mark > 1 else ""
    changed = "".join(f"M 100644 inline {path}\ndata {len(body.encode())}\n{body}\n" for path, body in files.items())
    return f"{head}{parent}{changed}".encode()


def _import(repository: Path, stream: bytes, marks: Path | None = None) -> None:
    exported = [] if marks is None else [f"--export-marks={marks}"]
    subprocess.run(["git", "-C", str(repository), "fast-import", "--quiet", *exported], input=stream, check=True)
