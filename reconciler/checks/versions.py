"""Checks of model versions over MLflow: run in the sandbox, recorded as tags, their logs kept with its run."""

import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from reconciler.checks import runner as check_runner
from reconciler.checks.sandbox import Subject, Way, way_to_run
from reconciler.checks.signing import hmac_key, verify
from reconciler.core.bundle import FileDigest, total_digest
from reconciler.core.check_record import Ran, Recorded, check_tag, decode_records, encode_record, signed_bytes
from reconciler.core.gate import CheckFacts, Presence
from reconciler.core.limits import CHECK_RECORDS
from reconciler.core.names import ModelRef, Version
from reconciler.core.policy import Check
from reconciler.core.snapshot import source_digest
from reconciler.core.text import plain, without_credentials
from reconciler.errors import ReconcilerError, RegistryError
from reconciler.evidence import model_files
from reconciler.evidence.artifacts import Artifacts, version_row
from reconciler.evidence.model_files import MOST_BYTES, fetched, folder_digest
from reconciler.ports import Tell, untold
from reconciler.registry.mlflow import MlflowRegistry, translated

LOG_FOLDER = "reconciler/checks"


@dataclass
class MlflowChecks:
    """
    The ports `Checks` and `Benches` over an MLflow registry. `environment` is our own: what a check gets of it, the
    sandbox decides. `logs` is the folder for what cannot be uploaded; a new one where it is None.
    """

    registry_uri: str
    tracking_uri: str
    environment: Mapping[str, str] = field(repr=False)
    most_bytes: int = MOST_BYTES
    logs: Path | None = None
    tell: Tell = untold
    _digests: dict[tuple[ModelRef, Version], tuple[FileDigest, ...]] = field(
        default_factory=dict[tuple[ModelRef, Version], tuple[FileDigest, ...]], init=False, repr=False
    )

    @cached_property
    def registry(self) -> MlflowRegistry:
        return MlflowRegistry(self.registry_uri, self.tracking_uri, tell=self.tell)

    def facts(self, model: ModelRef, version: Version, signers: str = "") -> CheckFacts:
        row = version_row(self.registry, model, version)
        records = decode_records(dict(row.tags))
        if not records:
            return CheckFacts("")
        if len(records) > CHECK_RECORDS:
            raise RegistryError(
                "too-many-records", f"v{version} has {len(records)} check records; at most {CHECK_RECORDS} are read."
            )
        key = hmac_key(self.environment)
        told = tuple(
            record.as_fact(verify(signed_bytes(model, version, record), record.seal, signers, key, record.ended_at))
            for record in records
        )
        return CheckFacts(self.digest(model, version), told)

    def present(self, model: ModelRef, version: Version) -> Presence:
        return model_files.present(self.registry, model, version)

    def digest(self, model: ModelRef, version: Version) -> str:
        return total_digest(self.files(model, version))

    def files(self, model: ModelRef, version: Version) -> tuple[FileDigest, ...]:
        """All files are downloaded for it, so it is found out once for the run of a command."""
        if (model, version) not in self._digests:
            self._digests[model, version] = model_files.digests(self.registry, model, version, self.most_bytes)
        return self._digests[model, version]

    def place(self, model: ModelRef, version: Version) -> str:
        _ = self.registry.store
        with translated(self.registry.uri):
            return source_digest(Artifacts(self.registry).named_place(model, version))

    @contextmanager
    def bench(
        self, model: ModelRef, version: Version, tree: str, secret_files: Iterable[str] = ()
    ) -> Generator["MlflowBench"]:
        way = way_to_run(self.environment, [Path(place) for place in secret_files])
        with fetched(self.registry, model, version, self.most_bytes) as files, self._workspace(way) as workspace:
            subject = Subject(model, version, files, self.tracking_uri, self.registry_uri)
            yield MlflowBench(self, subject, Path(tree), workspace, folder_digest(files), way)

    def record(self, model: ModelRef, version: Version, record: Recorded) -> None:
        from mlflow.entities.model_registry import ModelVersionTag

        try:
            key, text = check_tag(record.check), encode_record(record)
        except ValueError as error:
            raise RegistryError("unfit-record", f"It cannot be a tag: {error}.") from error
        store: Any = self.registry.store
        with translated(self.registry.uri):
            store.set_model_version_tag(model, str(version), ModelVersionTag(key, text))
        if version_row(self.registry, model, version).tags.get(key) != text:
            raise RegistryError(
                "unexpected-answer",
                f"{self.registry.uri} accepted the record of {record.check} but does not show it.",
                "Somebody else may be recording the same check: run it again.",
            )

    @contextmanager
    def _workspace(self, way: Way) -> Generator[Path]:
        with tempfile.TemporaryDirectory(prefix="reconciler-check-", ignore_cleanup_errors=True) as folder:
            top = Path(os.path.realpath(folder))
            top.chmod(0o711 if way.user else 0o700)
            work = top / "0"
            work.mkdir()
            yield work


@dataclass
class MlflowBench:
    """One version's files, fetched once and digested, and the trusted tree: where that version's checks are run."""

    checks: MlflowChecks
    subject: Subject
    tree: Path
    workspace: Path
    digest: str
    way: Way

    def run(self, check: Check) -> Ran:
        if not self._untouched():
            raise ReconcilerError("The files of the model changed while it was checked.", "Run the checks again.")
        folder = Path(tempfile.mkdtemp(dir=self.workspace))
        self.workspace.chmod(0o711)
        return check_runner.run_check(check, self.tree, self.subject, folder, self.checks.environment, way=self.way)

    def _untouched(self) -> bool:
        """Whether the copy that all checks get theirs from is still what was digested."""
        try:
            return folder_digest(self.subject.files) == self.digest
        except (OSError, ValueError):
            return False

    def keep(self, check: str, ran: Ran, at: str) -> tuple[str, tuple[str, ...]]:
        """Beside the version's run; on this machine where it has none, or its files cannot be written."""
        if not ran.files:
            return "", ()
        name = f"{LOG_FOLDER}/{check}/{re.sub('[^0-9TZ]', '', at)}"
        why = "the version names no run"
        row = version_row(self.checks.registry, self.subject.model, self.subject.version)
        if row.run_id:
            try:
                repository = Artifacts(self.checks.registry).of_run(str(row.run_id))
                for file in ran.files:
                    repository.log_artifact(file, name)
            except Exception as error:  # noqa: BLE001  # every store raises what the library under it does
                why = plain(without_credentials(str(error)), 200) or type(error).__name__
            else:
                return f"runs:/{row.run_id}/{name}", ()
        folder = self._kept_here(name, ran)
        return str(folder), (f"the log is kept in {folder}, because it could not be uploaded: {why}",)

    def _kept_here(self, name: str, ran: Ran) -> Path:
        top = self.checks.logs or Path(tempfile.mkdtemp(prefix="reconciler-logs-"))
        folder = top / plain(self.subject.model).replace("/", "_") / str(self.subject.version) / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in ran.files:
            shutil.copy2(file, folder)
        return folder
