"""The environment of this process, which MLflow's client reads: what is put there for a call, and back after it."""

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from threading import Event, Lock, Thread, current_thread

from reconciler.core.policy import PolicySettings
from reconciler.errors import ReconcilerError

_OF_REGISTRIES = re.compile(r"(?:MLFLOW|DATABRICKS|AWS|AZURE|GOOGLE)_[A-Z0-9_]+")
"""What variables behind a prefix may stand for: nothing else of a process is a policy's business."""
_VARIABLE = re.compile(r"(?<!\w)[A-Z][A-Z0-9]*_[A-Z0-9_]+")
_OF_ONE = re.compile(
    r"MLFLOW_REGISTRY_URI|MLFLOW_WORKSPACE|DATABRICKS_[A-Z0-9_]+"
    r"|MLFLOW_TRACKING_(?:URI|USERNAME|PASSWORD|TOKEN|AUTH|AWS_SIGV4|CLIENT_CERT_PATH)"
    r"|(?:AWS|AZURE|GOOGLE)_(?:[A-Z0-9]+_)*(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?|CONNECTION|SAS|CLIENT|PROFILE|ROLE)"
    r"(?:_[A-Z0-9_]*)?"
)
"""
Where one registry is, and what lets us in there and at its files: of no use, and none of the business, of another one.
"""
WORKSPACE = "MLFLOW_WORKSPACE"
PREFIX = "RECONCILER_REGISTRY_PREFIX"
"""What a process that is for one registry alone is told of the prefix that whoever started it has its variables by."""
LATE_SECONDS = 120.0
"""How long what is late is waited for before the environment becomes another registry's."""


def seen_by(settings: PolicySettings, environment: Mapping[str, str]) -> Mapping[str, str]:
    """
    The environment as it is for one of several registries: the variables behind its prefix stand for those of the same
    name without. An address or a credential without the prefix is not seen: it would go where it does not belong.
    """
    if not settings.prefix:
        return environment
    shared = {name: value for name, value in environment.items() if not _OF_ONE.fullmatch(name)}
    own = {
        rest: value
        for name, value in environment.items()
        if name.startswith(settings.prefix) and _OF_REGISTRIES.fullmatch(rest := name.removeprefix(settings.prefix))
    }
    workspace = {WORKSPACE: settings.workspace} if settings.workspace else {}
    return {**shared, **workspace, **own}


def seen_alone(
    settings: PolicySettings,
    all_of_them: Iterable[PolicySettings],
    environment: Mapping[str, str],
    not_this: Iterable[str],
) -> dict[str, str]:
    """
    The environment of a process that is for one of several registries and for nothing else: without what is for the
    others, behind their prefixes, and without some more that it has no use for.
    """
    prefixes = tuple(one.prefix for one in all_of_them)
    seen = seen_by(settings, environment)
    others = {
        name
        for name in seen
        for prefix in prefixes
        if name.startswith(prefix) and _OF_REGISTRIES.fullmatch(name.removeprefix(prefix))
    }
    return {name: value for name, value in seen.items() if name not in {*others, *not_this}}


class _Reader(Thread):
    """A thread that reads, and whether it has taken from the environment all that it is going to take."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work, self.says, self.has_looked = [work], False, Event()

    def run(self) -> None:
        try:
            # Nothing of it is kept when it is done.
            self._work.pop()()
        finally:
            self.has_looked.set()

    @property
    def may_look(self) -> bool:
        return self.is_alive() and not self.has_looked.is_set()


class Surroundings:
    """
    Puts back what calls change in the environment when the last of those that are under way at the same time ends.
    Calls for several registries are not under way at the same time: there is one environment.

    What reads in a thread may be given up when an answer is late, and look into the environment again when it comes. So
    such threads are begun here, and the environment becomes that of another registry when they have ended.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._inside = 0
        self._own = self._prefix = ""
        self._before: dict[str, str | None] = {}
        self._shown: str = ""
        self._reading = Lock()
        self._readers: list[_Reader] = []

    def are_of_one(self) -> None:
        """This process is for one registry alone, and messages name its variables by the prefix that it was told."""
        self._own = self._prefix = os.environ.get(PREFIX, "")

    def read(self, name: str, work: Callable[[], None]) -> Thread:
        """Begin to read in a thread, which does not keep the process from ending."""
        thread = _Reader(name, work)
        thread.start()
        with self._reading:
            self._readers = [one for one in (*self._readers, thread) if one.is_alive()]
        return thread

    def looks_when_it_says(self) -> None:
        """This thread takes nothing from the environment but between where it `looks` and where it `has_looked`."""
        self.looks()
        self.has_looked()

    def looks(self) -> None:
        """
        This thread is about to ask for something, and will say so again before it asks for anything else. If it is one
        that reads, it is waited for until it `has_looked`; one that does not say so, until it ends.
        """
        if isinstance(thread := current_thread(), _Reader):
            thread.says = True
            thread.has_looked.clear()

    def has_looked(self) -> None:
        """What this thread asks is on its way, with all that lets it in: nobody has to wait for the answer."""
        if isinstance(thread := current_thread(), _Reader) and thread.says:
            thread.has_looked.set()

    def enter(self, usual: Iterable[str]) -> None:
        """A call begins; `usual` are the variables that any call may set."""
        with self._guard:
            if self._inside == 0:
                self._before, self._prefix = {name: os.environ.get(name) for name in usual}, self._own
            self._inside += 1

    def before(self, environment: Mapping[str, str]) -> dict[str, str]:
        """An environment as it was before any call changed it, if it is that of the process."""
        with self._guard:
            found: dict[str, str | None] = dict(environment)
            if environment is os.environ and self._inside:
                found.update(self._before)
            return {name: value for name, value in found.items() if value is not None}

    def named(self, text: str) -> str:
        """A remedy, with the variables that it names as they are to be set for the registry in hand."""
        return _VARIABLE.sub(lambda word: f"{self._prefix if _OF_ONE.fullmatch(word[0]) else ''}{word[0]}", text)

    def leave(self) -> bool:
        """A call ends; whether it was the last one."""
        with self._guard:
            self._inside -= 1
            if not self._inside:
                if any(value and _OF_ONE.fullmatch(name) for name, value in self._before.items()):
                    self._is_nothing_late()
                _put(self._before)
            return not self._inside

    def _is_nothing_late(self) -> bool:
        deadline = time.monotonic() + LATE_SECONDS
        while late := next((thread for thread in self._readers if thread.may_look), None):
            if time.monotonic() >= deadline:
                return False
            late.has_looked.wait(max(0.0, deadline - time.monotonic()))
        return True

    def show(self, settings: PolicySettings) -> Mapping[str, str]:
        """
        Make the environment that of a registry until the call ends. Raises ReconcilerError beside another one's, and
        where an answer for another one is still awaited.
        """
        with self._guard:
            if settings.prefix != self._shown and not self._is_nothing_late():
                raise ReconcilerError(
                    "The server of another registry still owes an answer, and might then get what lets in here.",
                    "Name this registry with --registry, so that nothing else is read.",
                )
            self._shown = settings.prefix
            if self._inside > 1 and settings.prefix != self._prefix:
                raise ReconcilerError(
                    "Calls for several registries are under way at the same time.",
                    "Make them one after the other, or in processes of their own.",
                )
            self._prefix = settings.prefix
            seen = seen_by(settings, os.environ)
            changed = {name: seen.get(name) for name in {*os.environ, *seen} if os.environ.get(name) != seen.get(name)}
            for name in changed:
                self._before.setdefault(name, os.environ.get(name))
            _put(changed)
            return os.environ


def _put(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


SURROUNDINGS = Surroundings()
"""Those of this process."""
