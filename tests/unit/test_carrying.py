"""What two processes tell each other of a registry: values of ours, and nothing that does anything."""

import io
import pickle
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from reconciler.carrying.process import Elsewhere, Place, received, send
from reconciler.carrying.reading import one_folder, ordered
from reconciler.core.bundle import FileDigest
from reconciler.core.carried import is_kept
from reconciler.core.evidence import Metric, RunFacts, VersionFacts
from reconciler.core.names import ModelRef, Original, RepositoryId, Slot, Stage, Version
from reconciler.core.snapshot import (
    Attribution,
    ModelSnapshot,
    Placement,
    RegistrySnapshot,
    VersionSnapshot,
    decode_attribution,
    encode_attribution,
)
from reconciler.errors import ReconcilerError

SAID = Attribution("abc", 1, "https://dev.example", "", ModelRef("risk"), Version(7))


def sent(value: object) -> object:
    stream = io.BytesIO()
    send(stream, value)
    stream.seek(0)
    return received(stream)


def test_what_is_known_of_models_arrives_as_it_was_sent() -> None:
    slot = Slot("@champion")
    version = VersionSnapshot(
        Version(1),
        Stage.STAGING,
        provenance={slot: Placement(slot, RepositoryId("acme.example/models#manifests"), None)},
        tagged=frozenset({"a"}),
        original=Original(ModelRef("a"), Version(2)),
        attribution=SAID,
    )
    model = ModelRef("risk")
    snapshot = RegistrySnapshot({model: ModelSnapshot(model, versions={Version(1): version})})
    facts = VersionFacts(model, Version(1), run=RunFacts("abc"), metrics=(Metric("f1", 0.5),))

    assert sent(("value", snapshot)) == ("value", snapshot)
    assert sent([facts, FileDigest("a", "b", 1)]) == [facts, FileDigest("a", "b", 1)]


class Harm:
    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.reduced = call, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.reduced


@pytest.mark.parametrize(
    "value",
    [Harm(print, "hello"), Harm(eval, "1"), Harm(ordered, ["a"]), Harm(ReconcilerError, "no"), PurePosixPath("a")],
    ids=["print", "eval", "a function of ours", "an error", "a class of the library"],
)
def test_nothing_else_is_made_of_what_arrives(value: object) -> None:
    with pytest.raises(ValueError, match="something else in it"):
        sent(value)


def test_a_message_that_is_too_long_is_not_read() -> None:
    with pytest.raises(ValueError, match="too long"):
        received(io.BytesIO((1 << 40).to_bytes(8, "big")))


def test_a_message_that_breaks_off_is_the_end() -> None:
    data = pickle.dumps("a" * 100)
    with pytest.raises(EOFError):
        received(io.BytesIO(len(data).to_bytes(8, "big") + data[:-1]))


def test_a_process_that_ends_at_once_is_said_to_have(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Elsewhere(lambda: Place("http://127.0.0.1:1", "", {"PYTHONHOME": "/nowhere"}), "http://127.0.0.1:1")

    with pytest.raises(ReconcilerError, match=r"The process that reads http://127\.0\.0\.1:1 ended unexpectedly"):
        elsewhere.names()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 2}', "null", encode_attribution(SAID).replace('"https://dev.example"', '""')]
)
def test_a_tag_that_cannot_be_read_says_nothing(text: str) -> None:
    assert decode_attribution(text) is None
    assert decode_attribution(encode_attribution(SAID)) == SAID


@pytest.mark.parametrize(
    ("key", "kept"),
    [
        ("team", True),
        ("mlflow.source.git.commit", True),
        ("mlflow.user", True),
        ("mlflow.log-model.history", False),
        ("mlflow.parentRunId", False),
        ("reconciler.original", False),
    ],
)
def test_tags_of_a_run_that_are_true_of_its_copy_go_along(key: str, kept: bool) -> None:
    assert is_kept(key) is kept


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("model", "model"),
        ("my model-2.1", "my model-2.1"),
        ("modèle", "modèle"),
        ("", "model"),
        ("..", "model"),
        ("../../9/abc/artifacts/model", "model"),
        ("%2e%2e", "model"),
        ("artifacts", "model"),
        ("a\nb", "model"),
        ("m" * 300, "model"),
    ],
)
def test_a_copy_is_in_one_folder_whatever_its_original_was_called(name: str, folder: str) -> None:
    assert one_folder(name) == folder
