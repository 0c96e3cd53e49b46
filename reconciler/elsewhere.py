"""
The process that reads another registry for an apply or a plan: it answers what `carrying.process` asks on its standard
input until that ends. Its environment is that of this one registry.
"""

import os
import select
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any

from reconciler.carrying.process import received, send
from reconciler.carrying.reading import Reading, new_folder
from reconciler.checks.versions import MlflowChecks
from reconciler.errors import ReconcilerError, RegistryError, fault_of
from reconciler.evidence.mlflow import MlflowEvidence
from reconciler.evidence.model_files import DOWNLOADING
from reconciler.registry.mlflow import MlflowRegistry
from reconciler.surroundings import SURROUNDINGS

SECONDS_TO_END = 2.0
"""What an answer in hand may take when nobody waits for it anymore."""


def main(registry_uri: str, tracking_uri: str) -> None:
    """Answers one question after the other."""
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # What libraries print is no answer.
    os.dup2(2, 1)
    SURROUNDINGS.are_of_one()
    registry = MlflowRegistry(registry_uri, tracking_uri)
    evidence = MlflowEvidence(registry_uri, tracking_uri)
    checks = MlflowChecks(registry_uri, tracking_uri, os.environ)
    ended = Event()
    with new_folder() as folder:
        Thread(target=_end_with_the_questions, args=(folder, ended), name="end", daemon=True).start()
        reading = Reading(registry, Path(folder))
        known: dict[str, Callable[..., object]] = {
            "snapshot": registry.snapshot,
            "names": registry.names,
            "gather": evidence.gather,
            "runs": evidence.runs,
            "sources": evidence.sources,
            "facts": checks.facts,
            "present": checks.present,
            "digest": checks.digest,
            "files": checks.files,
            "place": checks.place,
            "describe": reading.describe,
            "points": reading.points,
            "listed": reading.listed,
            "fetch": reading.fetch,
            "drop": reading.drop,
            "folder": lambda: folder,
        }
        while True:
            try:
                what, arguments = received(questions)
            except EOFError:
                break
            # What goes on to download what nobody waits for, ends with this process alone.
            answer = _answer(known[what], arguments)
            send(answers, (answer, all(thread.name != DOWNLOADING for thread in threading.enumerate())))
        reading.drop()
    ended.set()


def _end_with_the_questions(folder: str, ended: Event) -> None:
    """
    Whoever asks may be gone, or wait no longer, while a server has not answered, and never will. Nothing else ends a
    read from it, or keeps it from filling the disk.
    """
    asking = select.poll()
    asking.register(sys.stdin.buffer, 0)
    asking.poll()
    if not ended.wait(SECONDS_TO_END):
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


def _answer(ask: Callable[..., object], arguments: tuple[Any, ...]) -> tuple[object, ...]:
    try:
        return "value", ask(*arguments)
    except RegistryError as error:
        return "registry", error.code, error.message, error.fix
    except ReconcilerError as error:
        return "error", error.message, error.fix
    except Exception as error:  # noqa: BLE001  # whatever a model breaks costs its question alone, as `contained`
        return "error", fault_of(error), ""


if __name__ == "__main__":
    main(*sys.argv[1:])
