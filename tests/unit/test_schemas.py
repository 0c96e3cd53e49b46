"""The published schema of manifests: current, accepted by its readers, and of one mind with `parse`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example as with_example
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from reconciler.core.names import AliasName
from reconciler.core.slot_map import SlotMap, StageAlias
from reconciler.ports import SourceFile
from reconciler.reading.located import Kind, YamlList, YamlMap, YamlScalar, YamlValue, read_documents
from reconciler.reading.manifest import ManifestCode, parse
from reconciler.reading.schemas import SCHEMAS, manifest_schema, policy_schema, schema_text
from tests import manifest_texts as texts

SCHEMA = texts.TOP / "schemas" / "manifest.schema.json"
POLICY = texts.TOP / "examples" / "policy" / "reconciler.yaml"
POLICY_SCHEMA = SCHEMA.with_name("policy.schema.json")
CHECK = Path(sys.executable).with_name("check-jsonschema")

VALIDATOR = Draft7Validator(manifest_schema())

# What is wrong with these is gone once YAML is read: a duplicate key, how a number is spelled, anchors, tags.
ONLY_IN_THE_TEXT = {
    "other-registry",
    "other-originals",
    "anchors",
    "broken-documents",
    "duplicate-keys",
    "number-spellings",
    "tabs",
    "yaml-tags",
}
# And this has characters that the regular expressions of JSON Schema have no common name for.
INVISIBLE = {"invisible", "look-alikes"}


def accepts(data: Any, validator: Draft7Validator = VALIDATOR) -> bool:
    return validator.is_valid(data)  # pyright: ignore[reportUnknownMemberType]  # untyped upstream


def core(value: YamlValue) -> Any:
    """What YAML 1.2 makes of a value: what an editor checks against the schema."""
    match value:
        case YamlMap():
            return {key: core(item) for key, item in value.items()}
        case YamlList():
            return [core(item) for item in value]
        case YamlScalar(kind=Kind.TEXT):
            return value.text
        case YamlScalar(kind=Kind.NULL):
            return None
        case YamlScalar(kind=Kind.BOOLEAN):
            return value.text.lower() == "true"
        case YamlScalar():
            number = value.text.lower().replace(".nan", "nan").replace(".inf", "inf")
            return int(number) if number.lstrip("-").isdigit() else float(number)


def documents(path: Path) -> list[Any]:
    return [core(one.root) for one in read_documents(path.name, path.read_bytes()) if one.root is not None]


@pytest.mark.parametrize("name", ["manifest", "policy"])
def test_the_schema_in_the_repository_is_current(name: str) -> None:
    """If it is not: `make schemas`."""
    published = texts.TOP / "schemas" / f"{name}.schema.json"

    assert name in SCHEMAS
    assert published.read_text(encoding="utf-8") == schema_text(name)


@pytest.mark.parametrize(("schema", "examples"), [(SCHEMA, texts.EXAMPLES), (POLICY_SCHEMA, [POLICY])])
def test_editors_and_continuous_integration_accept_the_examples(schema: Path, examples: list[Path]) -> None:
    command = [CHECK, "--schemafile", schema, *examples]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("schema", [SCHEMA, POLICY_SCHEMA])
def test_the_schema_is_one(schema: Path) -> None:
    done = subprocess.run([CHECK, "--check-metaschema", schema], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_examples_have_no_problems() -> None:
    manifests, problems = parse([SourceFile(path.name, path.read_bytes()) for path in texts.EXAMPLES])

    assert problems == ()
    assert len({manifest.name for manifest in manifests}) == 3


@pytest.mark.parametrize("path", texts.EXAMPLES, ids=lambda path: path.stem)
def test_an_example_tells_editors_where_the_schema_is(path: Path) -> None:
    first, _, _ = path.read_text(encoding="utf-8").partition("\n")
    _, _, where = first.partition("# yaml-language-server: $schema=")

    assert path.parent.joinpath(where).resolve() == SCHEMA


@pytest.mark.parametrize(
    "path", [path for path in texts.BAD if path.stem not in ONLY_IN_THE_TEXT | INVISIBLE], ids=lambda path: path.stem
)
def test_the_schema_refuses_bad_manifests(path: Path) -> None:
    assert [data for data in documents(path) if accepts(data)] == []


def described(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The properties that a schema has, all the way down."""
    for key, property_schema in cast(dict[str, Any], schema.get("properties", {})).items():
        yield f"{name}.{key}", property_schema
    for key, definition in cast(dict[str, Any], schema.get("definitions", {})).items():
        yield from described(definition, key)


@pytest.mark.parametrize("schema", [manifest_schema(), policy_schema()], ids=["manifest", "policy"])
def test_every_key_has_a_description_and_examples_that_are_right(schema: dict[str, Any]) -> None:

    for name, of_key in described(schema):
        assert of_key["description"], name
        for example in of_key["examples"]:
            validator = Draft7Validator({**of_key, "definitions": schema["definitions"]})
            assert accepts(example, validator), (name, example)


@pytest.mark.parametrize("name", ["manifest", "policy"])
def test_no_reference_has_siblings_that_draft_7_would_not_see(name: str) -> None:
    def references(schema: Any) -> Iterator[dict[str, Any]]:
        if isinstance(schema, dict):
            mapping = cast(dict[str, Any], schema)
            if "$ref" in mapping:
                yield mapping
            schema = list(mapping.values())
        if isinstance(schema, list):
            for item in cast(list[Any], schema):
                yield from references(item)

    assert [found for found in references(json.loads(schema_text(name))) if len(found) > 1] == []


@given(texts.manifests)
def test_what_may_be_written_may_be_written_in_an_editor(data: texts.Data) -> None:
    assert accepts(data)


def test_gates_and_overrides_may_be_written_in_an_editor(tmp_path: Path) -> None:
    """Also a date, which YAML 1.1 takes for more than a text."""
    manifest = tmp_path / "churn.yaml"
    manifest.write_text(
        "model: churn\ngates: {Production: [{soak: {stage: Staging, for: 7d}}], champion: [{artifact: {}}]}\n"
        "overrides: [{gate: soak, slot: Production, reason: The fix cannot wait., until: 2030-12-01}]\n"
    )

    done = subprocess.run([CHECK, "--schemafile", SCHEMA, manifest], capture_output=True, text=True, check=False)

    assert parse([SourceFile("churn.yaml", manifest.read_bytes())])[1] == ()
    assert done.returncode == 0, done.stdout + done.stderr


NUMBERS: list[Any] = [0, -1, 4, 1.5, 2**31, True, False, None]
TEXTS: list[Any] = ["", " ", "4", "04", "0", "-1", "4.0", "latest", "v4", "Production", "@x", "a/b", "a b", "é"]
LONG: list[Any] = ["x" * 256, "x" * 257, "x" * 5000, "x" * 5001]
LISTS: list[Any] = [[], [4], ["4"], [[4]], [None], [{}]]
MAPPINGS: list[Any] = [
    {},
    {"version": 4},
    {"version": "v4"},
    {"version": None},
    {"version": 4, "a": 1},
    {"version": 4, "comment": None},
    {"run_id": "a"},
    {"run_id": 12},
    {"run_id": ""},
    {"run_id": "-a"},
    {"comment": "a"},
    {"a": "b"},
    {"from": {"model": "a", "version": 4}},
    {"from": {"model": "a"}},
    {"from": {"model": "a", "version": 4}, "version": 4},
]
JUNK = st.sampled_from([*NUMBERS, *TEXTS, *LONG, *LISTS, *MAPPINGS])
KEYS = st.sampled_from(["a", "1", "a b", "a.b", "latest", "v4", "LATEST", "V10", "v", "x" * 256, "", "é", "@a", "a/b"])
TAG_KEYS = st.sampled_from(
    ["a", "a b", "a.b", "a/b", "/a", "a/", "a//b", "..", ".", "x" * 251, "é", "reconciler.a", ""]
)
STAGES = st.sampled_from(["None", "Staging", "Production", "Archived", "staging", "QA", ""])
scribbles: st.SearchStrategy[texts.Data] = st.fixed_dictionaries(
    {},
    optional={
        "model": JUNK,
        "description": JUNK,
        "owners": JUNK | st.lists(JUNK, max_size=2),
        "tags": JUNK | st.dictionaries(TAG_KEYS, JUNK, max_size=2),
        "stages": JUNK | st.dictionaries(STAGES, JUNK | st.lists(JUNK, max_size=2), max_size=2),
        "aliases": JUNK | st.dictionaries(KEYS, JUNK, max_size=2),
        "Model": JUNK,
    },
)


OF_THE_POLICY = ("QA", *sorted({key for mapping in MAPPINGS for key in mapping}))
STAGES_OF_ITS_OWN = SlotMap(tuple(StageAlias(name, AliasName(f"of-{name}")) for name in OF_THE_POLICY))
"""The schema takes any stage that a policy could name, so this one names all that come up."""


@given(texts.manifests | st.just(texts.Data()), scribbles)
@with_example(texts.Data(model="a"), texts.Data(stages={"QA": 4}))
@with_example(texts.Data(model="a"), texts.Data(stages={"version": 4}))
def test_the_schema_and_parse_are_of_one_mind(right: texts.Data, scribble: texts.Data) -> None:
    data = {**right, **scribble}

    _, found = parse([SourceFile("a.yaml", texts.flow(data).encode())], slots=STAGES_OF_ITS_OWN)

    # Which stage an alias stands for, that holds one version, only the policy tells.
    problems = [problem for problem in found if problem.code is not ManifestCode.SEVERAL_VERSIONS]
    assert accepts(data) is (problems == [])


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ('model: churn\naliases: {champion: "2147483648"}\n', ManifestCode.INVALID_VERSION),
        ("model: churn\naliases: {champion: {run_id: 1.5}}\n", ManifestCode.INVALID_RUN_ID),
    ],
)
def test_what_only_parse_can_see(written: str, code: str) -> None:
    """If the schema sees it one day, so much the better: strike the case."""
    [document] = read_documents("a.yaml", written.encode())
    assert document.root is not None

    _, problems = parse([SourceFile("a.yaml", written.encode())])

    assert [problem.code for problem in problems] == [code]
    assert accepts(core(document.root))
