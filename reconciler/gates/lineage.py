"""Where a version must have been trained."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from reconciler.core.evidence import RESTORE
from reconciler.core.gate import CANDIDATE, Entrance, FactKey, Facts, Judgement, contained, failed, passed, unknown
from reconciler.core.text import plain
from reconciler.gates.parameters import GateKind, Key


@dataclass(frozen=True, slots=True)
class Lineage:
    """
    The version comes from a run that is still there and, as asked, has ended well, names the git commit that it was
    started from, and that commit is in a branch.
    """

    finished: Annotated[bool, Key("Require a run that finished successfully.", examples=(True,))] = True
    commit: Annotated[bool, Key("Require a run that names a git commit.", examples=(True,))] = False
    branch: Annotated[str, Key("The branch that must contain the commit.", examples=("main",))] = ""

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (CANDIDATE, contained(self.branch)) if self.branch else (CANDIDATE,)

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        candidate, version = facts[CANDIDATE], f"v{entrance.candidate}"
        run, why = candidate.run, candidate.why_missing("version", "run")
        if run is None or why:
            gap = candidate.gap("version", "run")
            told = f"the run of {version} is not known: {plain(why or 'it was not read')}"
            gone = gap is not None and gap.gone
            return unknown(f"{told}; {RESTORE}" if gone else told, gone=gone)
        name = f"the run {plain(run.name or run.run_id, 80)} of {version}"
        if run.deleted:
            return failed(f"{name} was deleted; {RESTORE}", gone=True)
        if self.finished and not run.status:
            return unknown(f"{name} does not say how it ended")
        if self.finished and run.status != "FINISHED":
            return failed(f"{name} is {plain(run.status, 40)}, not FINISHED")
        told = [name + (" is FINISHED" if self.finished else " exists")]
        if self.commit or self.branch:
            commit = plain(run.git_commit, 40)
            if not commit:
                return failed(f"{name} does not say which git commit it was started from")
            if not re.fullmatch(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", run.git_commit):
                return failed(f"{name} names {commit} as its git commit, which is not a full commit ID")
            if self.branch and not facts[contained(self.branch)]:
                return failed(f"{name} was started from the commit {commit[:12]}, which is not in {self.branch}")
            told.append(f"its commit {commit[:12]} is {f'in {self.branch}' if self.branch else 'known'}")
        return passed(", ".join(told))


LINEAGE = GateKind(
    "lineage",
    Lineage,
    asks="come from an existing run that finished successfully and names a commit in this branch",
    example={"commit": True, "branch": "main"},
)
