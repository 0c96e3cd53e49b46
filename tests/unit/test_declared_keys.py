"""A key of a manifest is declared once: as a part of what is declared, and as how it is spelled."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from jsonschema import Draft7Validator
from pydantic import Field

from reconciler.core.desired import Declared, Manifest, resolve
from reconciler.core.names import ModelRef
from reconciler.errors import Location, placeless
from reconciler.ports import SourceFile
from reconciler.reading.manifest import ManifestSpec, parse
from reconciler.reading.spelling import Line
from tests.unit.test_schemas import accepts


@dataclass(frozen=True, slots=True)
class Contact:
    """Of a kind that nothing else in a manifest is."""

    address: str
    at: Location


@dataclass(frozen=True, slots=True)
class Wider(Manifest):
    """With one key more, and with what is made of it."""

    pager: Declared[str] | None = None
    contacts: tuple[Contact, ...] = field(default=())


class WiderSpec(ManifestSpec):
    """How that key is spelled."""

    declares: ClassVar[type[Manifest]] = Wider

    pager: Line | None = Field(None, description="Whom to wake.", examples=["+49 30 1234"])
    contacts: Line | None = Field(None, description="Nothing yet.", examples=["a"])


def read(*texts: str) -> tuple[tuple[Manifest, ...], list[str]]:
    files = [SourceFile(f"{chr(97 + i)}.yaml", text.encode()) for i, text in enumerate(texts)]
    manifests, problems = parse(files, spec=WiderSpec)
    return manifests, [str(problem) for problem in problems]


def test_a_new_key_is_read_with_its_place() -> None:
    [manifest], problems = read("model: churn\npager: '110'\n")

    assert problems == []
    assert manifest == Wider(
        Declared(ModelRef("churn"), Location("a.yaml", 1, 8)), pager=Declared("110", Location("a.yaml", 2, 8))
    )


def test_what_is_wrong_with_a_new_key_is_said_at_its_place() -> None:
    _, problems = read("model: churn\npager: 110\npagers: a\n")

    first, second = problems
    assert first == 'a.yaml:2:8: wrong-type: `pager` is `110`; expected a string. Quote it: `"110"`.'
    assert second.startswith("a.yaml:3:1: unknown-key: A manifest has no key `pagers`; allowed: model, registry,")
    assert second.endswith("hold, pager, contacts. Did you mean `pager`?")


def test_a_new_key_is_merged_and_may_be_declared_once() -> None:
    manifests, _ = read("model: churn\npager: '110'\n", "model: churn\nowners: [ada]\n", "model: churn\npager: '112'\n")

    models, problems = resolve(manifests)

    [manifest] = models.values()
    assert isinstance(manifest, Wider)
    assert manifest.pager is not None
    assert manifest.pager.value == "110"
    assert [(str(p.location), p.code) for p in problems] == [("c.yaml:2:8", "declared-twice")]


def test_an_approval_outlives_a_move_of_any_key() -> None:
    """Manifests are compared without their places, of whatever kind a value is that has one."""
    [one], _ = read("model: churn\npager: '110'\ntags: {a: b}\nstages: {Staging: {version: 4}}\n")
    [other], _ = read("# moved\n\ntags: {a: b}\nmodel: churn\nstages:\n  Staging:\n  - 4\npager: '110'\n")
    assert isinstance(one, Wider)
    assert isinstance(other, Wider)
    one = replace(one, contacts=(Contact("a", Location("a.yaml", 1, 1)),))
    other = replace(other, contacts=(Contact("a", Location("b.yaml", 2, 2)),))

    assert one != other
    assert placeless(one) == placeless(other)
    assert placeless(one) != placeless(replace(other, contacts=(Contact("b", Location("b.yaml", 2, 2)),)))
    assert placeless(one) != placeless(replace(other, pager=None))


def test_an_editor_knows_a_new_key() -> None:
    schema = WiderSpec.model_json_schema()
    validator = Draft7Validator({"properties": schema["properties"], "additionalProperties": False})

    assert accepts({"pager": "110"}, validator)
    assert not accepts({"pager": 110}, validator)
