"""At a terminal an apply shows the plan and asks."""

import os
import pty
import subprocess
from contextlib import suppress
from functools import partial
from multiprocessing.process import BaseProcess

import pytest

from tests.story.command import PATIENCE, RECONCILER, Reconciler
from tests.story.registry import Registry
from tests.story.repository import Repository, manifest


def _exit_code(forked: BaseProcess) -> int | None:
    forked.join(PATIENCE)
    return forked.exitcode


def at_a_terminal(reconciler: Reconciler, *arguments: str, typed: str) -> tuple[int | None, str]:
    """Run the command on a terminal of its own, and type something as soon as it asks."""
    ours, theirs = pty.openpty()
    wide = {"TERM": "xterm", "COLUMNS": "120"}
    if reconciler.forked:
        forked = reconciler.on(theirs, *arguments, **wide)
        ended = partial(_exit_code, forked)
    else:
        words, environment = [RECONCILER, *arguments], {**reconciler.environment, **wide}
        installed = subprocess.Popen(
            words, cwd=reconciler.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        ended = partial(installed.wait, PATIENCE)
    os.close(theirs)
    said = b""
    asked = False
    with suppress(OSError):  # how Linux says that the other side is closed
        while piece := os.read(ours, 4096):
            said += piece
            if b"Only `yes` is accepted" in said and not asked:
                os.write(ours, f"{typed}\n".encode())
                asked = True
    os.close(ours)
    return ended(), said.decode()


@pytest.mark.parametrize(
    ("typed", "code", "production", "told"),
    [("yes", 0, [2], "Apply complete: 1 applied."), ("y", 1, [1], "Nothing was applied.")],
)
def test_an_apply_shows_the_plan_and_does_it_only_after_a_yes(
    repository: Repository,
    registry: Registry,
    reconciler: Reconciler,
    model: str,
    typed: str,
    code: int,
    production: list[int],
    told: str,
) -> None:
    registry.register(model, versions=2)
    registry.move(model, 1, "Production")
    repository.merge(manifest(model, production=2))

    ended, said = at_a_terminal(reconciler.cold if code == 0 else reconciler, "apply", typed=typed)

    assert ended == code
    assert "\x1b[32m  promote" in said
    assert told in said
    assert registry.production(model) == production


def test_where_there_is_nothing_to_do_nothing_is_asked(
    repository: Repository, registry: Registry, reconciler: Reconciler, model: str
) -> None:
    registry.register(model, versions=2)
    repository.merge(manifest(model, production=2))
    assert reconciler("apply", "--yes").code == 0

    ended, said = at_a_terminal(reconciler, "--color", "never", "apply", typed="no")

    assert ended == 0
    assert "Only `yes`" not in said
    assert "No changes" in said
    assert "\x1b[" not in said


@pytest.mark.parametrize("arguments", [["validate"], ["--help"], ["plan", "--help"], ["plan"]], ids=" ".join)
def test_a_reader_that_has_seen_enough_is_not_answered_with_a_traceback(
    repository: Repository, reconciler: Reconciler, model: str, arguments: list[str]
) -> None:
    repository.merge(manifest(model, production=1))
    reading, writing = os.pipe()
    os.close(reading)

    try:
        answer = subprocess.run(
            [RECONCILER, *arguments],
            check=False,
            cwd=repository.top,
            env=dict(reconciler.environment),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    finally:
        os.close(writing)

    assert answer.stderr == ""
    assert answer.returncode == 1
