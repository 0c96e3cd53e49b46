"""What manifests say, and everything that can be wrong with them, at the line where it is."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.desired import Manifest, copied_between_registries, expired, resolve
from reconciler.core.gate import Guard, Override, Quorum
from reconciler.core.names import MAX_DESCRIPTION, MAX_TAG_VALUE, ModelRef, Stage, look_alike_fault
from reconciler.errors import Location, Problem
from reconciler.gates.approvals import Approvals
from reconciler.gates.artifact import Artifact
from reconciler.gates.parameters import GateCode
from reconciler.gates.soak import Soak
from reconciler.ports import ManifestParser, SourceFile
from reconciler.reading.gates import GateBuilder
from reconciler.reading.located import MAX_BYTES
from reconciler.reading.manifest import CODES, MAX_VERSION, parse
from reconciler.wiring import manifest_parser
from tests import manifest_texts as texts

Expectation: TypeAlias = list[tuple[int, str]]
"""Lines and codes; line 0 is the file as a whole."""


def problems_of(data: bytes | str, path: str = "churn.yaml") -> tuple[Problem, ...]:
    return parse([SourceFile(path, data.encode() if isinstance(data, str) else data)])[1]


def manifest_of(text: str) -> Manifest:
    """The manifest of a text with nothing wrong in it."""
    manifests, problems = parse([SourceFile("churn.yaml", text.encode())])
    assert problems == ()
    [manifest] = manifests
    return manifest


def found(data: bytes | str) -> Expectation:
    return sorted((problem.location.line, str(problem.code)) for problem in problems_of(data))


@pytest.mark.parametrize("path", texts.BAD, ids=lambda path: path.stem)
def test_a_bad_manifest_has_the_problems_that_it_says_it_has(path: Path) -> None:
    named, registries = ("prod", ("dev", "prod")) if path.stem == "other-originals" else ("", None)
    problems = parse([SourceFile(path.name, path.read_bytes())], named=named, registries=registries)[1]

    assert sorted((problem.location.line, str(problem.code)) for problem in problems) == texts.expected(path)


def test_a_copy_from_another_registry_names_its_model_there() -> None:
    text = "model: churn\nstages:\n  Production: {from: {registry: dev, model: risk, version: 7, run_id: abc}}\n"
    ((manifest,), problems) = parse([SourceFile("churn.yaml", text.encode())], named="prod", registries=("dev", "prod"))
    (pin,) = manifest.pins()

    assert problems == ()
    assert pin.original is not None
    assert (str(pin.original), pin.original.registry, pin.run_id) == ("v7 of dev/risk", "dev", "abc")


LAUGHS = "model: churn\n_0: &_0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
    f"_{i}: &_{i} [{', '.join([f'*_{i - 1}'] * 10)}]\n" for i in range(1, 30)
)

BYTES: dict[str, tuple[bytes | str, Expectation]] = {
    "Latin-1": (b"model: churn\ndescription: caf\xe9\n", [(2, "not-utf-8")]),
    "UTF-16": ("model: churn\n".encode("utf-16"), [(1, "not-utf-8")]),
    "UTF-16 without a mark": (
        "model: churn\n".encode("utf-16-le"),
        [(1, "control-character"), (2, "control-character")],
    ),
    "a NUL": ("model: churn\ndescription: \0\n", [(2, "control-character")]),
    "a carriage return within a line": ("model: churn # here\rstages: {}\n", [(1, "control-character")]),
    "a line separator of Unicode": ("model: churn # here\u2028stages: {}\n", [(1, "control-character")]),
    "a next line of Unicode": ("model: churn # here\x85stages: {}\n", [(1, "control-character")]),
    "a comment that reads backwards": ("model: churn  # \u202ereviewed\u202c\n", [(1, "control-character")]),
    "a second byte order mark": ("\ufeff\ufeffmodel: churn\n", [(1, "control-character")]),
    "a control character in one document": (
        "model: \x07\n---\nstages: {}\n",
        [(1, "control-character"), (3, "missing-model")],
    ),
    "half a character": ('model: churn\ndescription: "\\ud83d"\n', [(2, "control-character")]),
    "a file of more than 1 MiB": ("model: churn\n" + "#" * MAX_BYTES, [(0, "file-too-large")]),
    "deep brackets": ("model: churn\ntags: " + "[" * 10_000, [(2, "too-deep")]),
    "deep indentation": (
        "model: churn\n" + "".join(f"{' ' * i}a:\n" for i in range(60)),
        [(22, "too-deep")],
    ),
    "a billion laughs": (LAUGHS, [(5, "alias-explosion")]),
    "more documents than are read": ("---\nmodel: churn\n" * 2_100, [(4_003, "too-many-documents")]),
    "more values than are read": (
        "model: churn\ntags:\n" + "".join(f"  k{n}: a\n" for n in range(30_000)),
        [(1, "too-many-values")],
    ),
    "more problems than are listed": (
        "model: churn\n" + "".join(f"k{n}: a\n" for n in range(300)),
        [(0, "too-many-problems"), *((n + 2, "unknown-key") for n in range(200))],
    ),
    "a long description": (f"model: churn\ndescription: {'x' * (MAX_DESCRIPTION + 1)}\n", [(2, "invalid-text")]),
    "a long tag": (f"model: churn\ntags:\n  a: {'x' * (MAX_TAG_VALUE + 1)}\n", [(3, "invalid-tag-value")]),
    "a long alias": (f"model: churn\naliases:\n  {'x' * 256}: 4\n", [(3, "invalid-alias")]),
    "a long model name": (f"model: {'x' * 257}\n", [(1, "invalid-model-name")]),
    "a long run": (f"model: churn\naliases: {{champion: {{run_id: {'x' * 257}}}}}\n", [(2, "invalid-run-id")]),
    "a number that no processor holds": (
        f"model: churn\nstages:\n  Staging: {'9' * 100_000}\n",
        [(3, "invalid-version")],
    ),
}


@pytest.mark.parametrize(("data", "expectation"), BYTES.values(), ids=BYTES)
def test_what_cannot_be_kept_in_a_text_file_is_found_too(data: bytes | str, expectation: Expectation) -> None:
    assert found(data) == expectation


def test_every_code_is_expected_somewhere() -> None:
    in_files = {code for path in texts.BAD for _, code in texts.expected(path)}
    in_bytes = {code for _, expectation in BYTES.values() for _, code in expectation}
    in_bytes |= {"too-many-files", "alias-of-a-stage"}  # see below, and test_slot_map.py

    assert in_files | in_bytes >= CODES
    assert in_files | in_bytes <= CODES | set(GateCode)


@pytest.mark.parametrize("files", [[b"model: a\n"] * 10_001, [b"#" * 1024 * 1024] * 17], ids=["files", "bytes"])
@pytest.mark.parametrize("read", [parse, manifest_parser()], ids=["once", "in a command"])
def test_a_folder_of_too_many_files_is_not_read_in_part(files: list[bytes], read: ManifestParser) -> None:
    manifests, problems = read(SourceFile(f"m/{n:05}.yaml", data) for n, data in enumerate(files))

    assert manifests == ()
    assert [(problem.location.path, problem.code) for problem in problems] == [("m/00000.yaml", "too-many-files")]


def test_every_code_is_words() -> None:
    assert all(re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", code) for code in CODES)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_the_first_bad_byte_is_found_to_the_column(mark: bytes) -> None:
    [problem] = problems_of(mark + "model: churn\ndescription: é".encode() + b"\xe9\xff")

    assert str(problem.location) == "churn.yaml:2:15"
    assert "0xE9" in problem.message


def test_all_problems_of_all_files_are_found_at_once_and_in_order() -> None:
    _, problems = parse(
        [
            SourceFile("b.yaml", b"model: b\nstages: {QA: 1}\nmodle: b\n"),
            SourceFile("c.yaml", b"\xff"),
            SourceFile("a.yaml", b"model: a\n---\nmodel: [\n---\nmodel: a/b\naliases: {v4: 4}\n"),
        ]
    )

    assert [f"{problem.location} {problem.code}" for problem in problems] == [
        "a.yaml:3:8 yaml-syntax",
        "a.yaml:5:8 invalid-model-name",
        "a.yaml:6:11 invalid-alias",
        "b.yaml:2:10 unknown-stage",
        "b.yaml:3:1 unknown-key",
        "c.yaml:1:1 not-utf-8",
    ]


def test_only_documents_without_problems_give_a_manifest() -> None:
    manifests, _ = parse(
        [SourceFile("a.yaml", b"model: a\n---\nmodel: b\nmodel: c\n---\nmodel: d\nx: 1\n---\nmodel: e\n")]
    )

    assert [manifest.name for manifest in manifests] == ["a", "e"]


def test_a_mistake_that_an_alias_repeats_is_reported_once() -> None:
    text = "model: churn\nstages:\n  Production: &x {version: 4, coment: a}\n  Staging: *x\n"

    assert found(text) == [(3, "unknown-key")]


WHOLE = """\
model: churn
description: >-
  Two
  lines.
owners: ["@acme"]
tags:
  domain: credit
  tier: 1
stages:
  Archived: [1, "2"]
  Production:
    comment: Better.
    version: 4
    run_id: 0123456789
  Staging:
    - 5
    - run_id: 12e7
  None:
    version: 6
aliases:
  champion: 4
  challenger: {run_id: abc}
  retired: null
  gone:
"""


def test_every_value_has_the_place_where_it_is_written() -> None:
    manifest = manifest_of(WHOLE)

    assert manifest.description is not None
    assert manifest.owners is not None
    declared = {
        "model": manifest.model,
        "description": manifest.description,
        "owners": manifest.owners,
        **manifest.tags,
        **manifest.stages,
        **manifest.aliases,
    }
    assert {key: f"{one.at.line}:{one.at.column}" for key, one in declared.items()} == {
        "model": "1:8",
        "description": "2:14",
        "owners": "5:1",
        "domain": "7:11",
        "tier": "8:9",
        "Archived": "10:3",
        "Production": "11:3",
        "Staging": "15:3",
        "None": "18:3",
        "champion": "21:13",
        "challenger": "22:3",
        "retired": "23:12",
        "gone": "24:3",
    }


def test_every_version_has_the_place_where_its_number_or_run_is_written() -> None:
    assert [(str(pin), f"{pin.at.line}:{pin.at.column}") for pin in manifest_of(WHOLE).pins()] == [
        ("v1", "10:14"),
        ("v2", "10:17"),
        ("v4", "13:14"),
        ("v5", "16:7"),
        ("the version from run 12e7", "17:15"),
        ("v6", "19:14"),
        ("v4", "21:13"),
        ("the version from run abc", "22:24"),
    ]


def test_stages_and_aliases_are_in_the_order_of_the_manifest() -> None:
    manifest = manifest_of(WHOLE)

    assert list(manifest.stages) == [Stage.ARCHIVED, Stage.PRODUCTION, Stage.STAGING, Stage.NONE]
    assert list(manifest.aliases) == ["champion", "challenger", "retired", "gone"]


@pytest.mark.parametrize(
    "run_id", ["0123456789", "12345678901234567890123456789012", "00", "12e7", "1e400", "0x1F", "4"]
)
def test_a_run_of_digits_keeps_its_text(run_id: str) -> None:
    [pin] = manifest_of(f"model: churn\naliases: {{champion: {{run_id: {run_id}}}}}\n").pins()

    assert pin.run_id == run_id


@pytest.mark.parametrize("written", ["04", "4.0", "1e3", "0x1F", "0o17", "+4", "1_0", "1:30", '"04"', "-0", "00"])
def test_no_other_spelling_of_a_number_is_a_version(written: str) -> None:
    assert found(f"model: churn\nstages:\n  Production: {written}\n") == [(3, "invalid-version")]


@pytest.mark.parametrize("written", ["4", '"4"', "'4'", "{version: 4}", '[{version: "4"}]', "[4]", "!!str 4"])
def test_a_version_can_be_written_in_several_ways(written: str) -> None:
    [pin] = manifest_of(f"model: churn\nstages:\n  Production: {written}\n").pins()

    assert pin.version == 4


def test_the_largest_version_is_accepted() -> None:
    [pin] = manifest_of(f"model: churn\naliases: {{champion: {MAX_VERSION}}}\n").pins()

    assert pin.version == MAX_VERSION


@pytest.mark.parametrize("written", ["5", "-5", "text", "yes", "2024-01-01", "1:30", '"1.5"', '""', "'true'", "a:b"])
def test_a_tag_has_the_text_that_is_written(written: str) -> None:
    assert manifest_of(f"model: churn\ntags: {{a: {written}}}\n").tags["a"].value == written.strip("\"'")


def test_an_empty_list_empties_a_stage_and_a_null_deletes_an_alias() -> None:
    manifest = manifest_of("model: churn\nstages: {Staging: [], Production: []}\naliases: {champion: null, b: ~}\n")

    assert {stage: declared.value for stage, declared in manifest.stages.items()} == {
        Stage.STAGING: (),
        Stage.PRODUCTION: (),
    }
    assert {alias: declared.value for alias, declared in manifest.aliases.items()} == {"champion": None, "b": None}


def test_several_documents_of_one_file_are_several_manifests() -> None:
    manifests, problems = parse([SourceFile("a.yaml", b"---\nmodel: a\n---\n# nothing\n---\nmodel: b\n...\n")])

    assert problems == ()
    assert [(manifest.name, manifest.model.at.line) for manifest in manifests] == [("a", 2), ("b", 6)]


def test_anchors_and_merges_are_followed() -> None:
    manifest = manifest_of(
        "model: churn\nstages:\n  Production: &now {version: 4, comment: Better.}\n  Staging: {<<: *now, version: 5}\n"
        "aliases: {champion: *now}\n"
    )

    assert [(pin.version, pin.comment) for pin in manifest.pins()] == [(4, "Better."), (5, "Better."), (4, "Better.")]


def test_emoji_and_joiners_may_be_in_prose() -> None:
    manifest = manifest_of('model: churn\ndescription: "👩\u200d💻 می\u200cخواهم"\n')

    assert manifest.description is not None
    assert manifest.description.value == "👩\u200d💻 می\u200cخواهم"


def test_reading_manifests_needs_neither_mlflow_nor_the_plan() -> None:
    script = "import sys, reconciler.reading.manifest; print(*sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert not {"mlflow", "reconciler.core.plan", "reconciler.ports"} & set(loaded)


@given(texts.manifests, st.sampled_from([texts.flow, texts.block]))
def test_what_is_written_is_what_is_read(data: texts.Data, write: Callable[[Any], str]) -> None:
    assert texts.said(manifest_of(write(data))) == texts.meant(data)


@given(st.one_of(st.binary(), st.text().map(str.encode)), st.booleans())
def test_any_bytes_give_manifests_or_problems(data: bytes, below: bool) -> None:
    prefix = b"model: churn\nstages:\n  Production: " if below else b""

    for problem in problems_of(prefix + data):
        assert problem.code in CODES
        assert str(problem).isprintable()


GATED = """\
model: churn
gates:
  Production:
    - soak: {stage: Staging, for: 7d}
    - soak: {stage: Staging, for: 8d}
  champion:
    - artifact: {}
      name: there
overrides:
  - gate: soak
    slot: Production
    reason: The fix for INC-4711 cannot wait.
    until: 2026-12-01
  - {gate: there, reason: The fix for INC-4712 cannot either., until: "2026-12-01T18:30:00.5+01:00"}
"""


def test_a_manifest_may_tighten_gates() -> None:
    gates = manifest_of(GATED).gates

    assert {slot: str(declared.at) for slot, declared in gates.items()} == {
        "Production": "churn.yaml:3:3",
        "@champion": "churn.yaml:6:3",
    }
    assert [guard for declared in gates.values() for guard in declared.value] == [
        Guard("soak", Soak("Staging", 604_800), Location("churn.yaml", 4, 7)),
        Guard("soak#2", Soak("Staging", 691_200), Location("churn.yaml", 5, 7)),
        Guard("there", Artifact(), Location("churn.yaml", 7, 7)),
    ]


def test_a_manifest_may_ask_for_overrides() -> None:
    assert manifest_of(GATED).overrides == (
        Override(
            "soak",
            "The fix for INC-4711 cannot wait.",
            "2026-12-01T00:00:00Z",
            Location("churn.yaml", 10, 5),
            Stage.PRODUCTION.slot,
        ),
        Override("there", "The fix for INC-4712 cannot either.", "2026-12-01T17:30:00Z", Location("churn.yaml", 14, 5)),
    )


@pytest.mark.parametrize(
    "until",
    ["2026-02-30", "2026-12-01T25:00:00Z", "2026-12-01 18:00:00Z", "20261201", "2026-W10", "9999-12-31T23:59:59-23:59"],
)
def test_no_other_spelling_of_a_time_is_an_end(until: str) -> None:
    text = f"model: a\noverrides: [{{gate: soak, reason: It cannot wait., until: '{until}'}}]\n"

    assert found(text) == [(2, "invalid-until")]


def test_gates_are_made_with_what_is_passed_in() -> None:
    text = b"model: a\ngates: {Production: [{approvals: {of: pair}}, {check: {name: bias}}]}\n"
    files = [SourceFile("a.yaml", text)]
    unknown = GateBuilder(groups={}, checks=frozenset())
    pair = {"pair": ("ada@acme.example",)}

    [manifest], _ = parse(files, lambda: GateBuilder(groups=pair, checks=frozenset({"bias"})))

    assert manifest.gates[Stage.PRODUCTION.slot].value[0].gate == Approvals(Quorum(1, "pair"), pair)
    assert [problem.code for problem in parse(files, lambda: unknown)[1]] == ["unknown-group", "unknown-check"]
    assert parse(files)[1] == ()


def test_an_override_whose_time_is_over_is_a_problem() -> None:
    manifest = manifest_of(GATED)

    [problem] = expired([manifest], "2026-12-01T00:00:00Z")

    assert expired([manifest], "2026-11-30T23:59:59Z") == ()
    assert (str(problem.location), problem.code) == ("churn.yaml:10:5", "expired-override")


def test_gates_and_overrides_of_several_files_are_merged() -> None:
    other = "model: churn\ngates: {Staging: [{artifact: {}}]}\noverrides:\n"
    override = "  - {gate: signature, reason: The caller is ready for it., until: 2026-12-01}\n"

    models, problems = resolve([manifest_of(GATED), manifest_of(other + override)])

    assert problems == ()
    [merged] = models.values()
    assert sorted(merged.gates) == ["@champion", "Production", "Staging"]
    assert [one.gate for one in merged.overrides] == ["soak", "there", "signature"]


def test_gates_and_overrides_are_declared_once() -> None:
    _, problems = resolve([manifest_of(GATED), manifest_of(GATED)])

    assert [(problem.code, problem.message.partition(" of churn")[0]) for problem in problems] == [
        ("declared-twice", "`gates.Production`"),
        ("declared-twice", "`gates.@champion`"),
        ("declared-twice", "`overrides: soak`"),
        ("declared-twice", "`overrides: there`"),
    ]


@pytest.mark.parametrize(
    ("name", "letter"),
    [
        ("champion", None),
        ("модель-2", None),
        ("F1-αβγ", None),
        ("μ-lens", None),
        ("日本model", None),
        ("café", None),
        ("chаmpion", "CYRILLIC SMALL LETTER A"),
        ("Сhurn", "CYRILLIC CAPITAL LETTER ES"),
        ("ḿоdel", "CYRILLIC SMALL LETTER O"),
        ("v1а", "CYRILLIC SMALL LETTER A"),
        ("αа", "CYRILLIC SMALL LETTER A"),
    ],
)
def test_a_word_of_two_alphabets_is_refused(name: str, letter: str | None) -> None:
    why = look_alike_fault(name)

    assert why is None if letter is None else why is not None and letter in why


def test_a_former_name_is_of_one_model_that_is_declared_by_its_present_name_alone() -> None:
    manifest = manifest_of("model: risk\nformerly: [loans, credit]\n")
    _, fine = resolve([manifest, manifest_of("model: churn\nformerly: attrition\n")])
    _, problems = resolve([manifest, manifest_of("model: loans\n"), manifest_of("model: churn\nformerly: credit\n")])

    assert manifest.former_names == ("loans", "credit")
    assert fine == ()
    assert [problem.code for problem in problems] == ["former-name-taken", "former-name-taken"]


def test_copies_go_in_one_direction() -> None:
    def copied(model: str, original: str) -> Manifest:
        return manifest_of(f"model: {model}\nstages: {{Staging: {{from: {{model: {original}, version: 7}}}}}}\n")

    _, fine = resolve([copied("prod", "test"), copied("test", "dev")])
    _, circle = resolve([copied("prod", "test"), copied("test", "dev"), copied("dev", "prod")])
    _, itself = resolve([copied("prod", "prod")])

    assert fine == ()
    assert [problem.code for problem in circle] == ["copied-in-a-circle"] * 3
    assert [str(problem.location) for problem in itself] == ["churn.yaml:2:20"]
    assert "prod is copied from prod" in itself[0].message


def test_what_is_copied_from_its_own_registry_by_name_is_reported_as_that_alone() -> None:
    def copied(model: str, registry: str, original: str) -> Manifest:
        place = f"{{from: {{registry: {registry}, model: {original}, version: 7}}}}"
        apart = "\n" * len(model)
        return manifest_of(f"{apart}model: {model}\nstages: {{Staging: {place}}}\n")

    def circles(*manifests: Manifest) -> list[str]:
        dev = {ModelRef("risk"): copied("risk", "prod", "canary")}
        found = copied_between_registries("prod", {one.name: one for one in manifests}, {"dev": dev})
        return [problem.message.partition(",")[0] for problem in found]

    itself = circles(copied("risk", "prod", "risk"))
    around = circles(copied("risk", "dev", "risk"), copied("canary", "prod", "risk"))

    assert itself == []
    assert around == ["prod/risk is copied from dev/risk"]
