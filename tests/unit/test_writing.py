"""Changing manifests in place: what is not meant stays as it is, byte for byte."""

from dataclasses import replace

import pytest

from reconciler.core.desired import Declared, Manifest, Pin, resolve
from reconciler.core.names import AliasName, Stage, Version
from reconciler.core.proposal import NOWHERE, named, placed, unplaced
from reconciler.errors import ReconcilerError
from reconciler.ports import SourceFile
from reconciler.reading.manifest import parse
from reconciler.writing.edit import NotEditableError
from reconciler.writing.layout import schema_of
from reconciler.writing.manifest import rewritten

P, S, A = Stage.PRODUCTION, Stage.STAGING, Stage.ARCHIVED

RISK = """\
# Scores loans.
model: RiskClassifier
owners: ["@acme/risk-ml"]   # who answers
stages:
  Staging: 5                # a promotion is a one-line change
  Production:
    version: 4
    run_id: aaaa            # optional pin
    # why it was promoted
    comment: After an A/B test.

aliases: {champion: 4, challenger: 5}
# the end
"""


def pin(version: int, run_id: str | None = None, comment: str | None = None) -> Pin:
    return Pin(NOWHERE, Version(version), run_id, comment)


def manifest_of(text: str) -> Manifest:
    (model,) = resolve(parse([SourceFile("m.yaml", text.encode())])[0])[0].values()
    return model


def written(text: str, after: Manifest, path: str = "m.yaml") -> str:
    files = [SourceFile("m.yaml", text.encode())]
    changed = {file.path: file.data.decode() for file in rewritten(files, after, parse, lambda _: path)}
    return changed.get(path, text)


def differing(before: str, after: str) -> list[tuple[str, str]]:
    pairs = zip(before.split("\n"), after.split("\n"), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def test_a_promotion_changes_the_lines_of_its_slots_alone() -> None:
    text = RISK.replace("    run_id: aaaa            # optional pin\n", "").replace(
        "    comment: After an A/B test.\n", ""
    )

    after = written(text, placed(manifest_of(text), pin(5), P))

    assert differing(text, after) == [
        (
            "  Staging: 5                # a promotion is a one-line change",
            "  Staging: []                # a promotion is a one-line change",
        ),
        ("    version: 4", "    version: 5"),
    ]


def test_what_is_said_of_the_version_before_goes_with_it_and_comments_stay() -> None:
    after = written(RISK, placed(manifest_of(RISK), pin(5, comment="Won the A/B test: +4 %"), P))

    assert (
        '    version: 5\n    # optional pin\n    # why it was promoted\n    comment: "Won the A/B test: +4 %"\n'
        in after
    )


def test_a_slot_that_no_file_declares_is_added_where_others_are() -> None:
    text = "model: A\nstages:\n    Staging: 2\n\n# end\n"

    assert (
        written(text, placed(manifest_of(text), pin(1), P))
        == "model: A\nstages:\n    Staging: 2\n    Production: 1\n\n# end\n"
    )


def test_a_new_file_declares_its_model_alone() -> None:
    text = "model: 'yes'\nstages:\n  Staging: 2\n"

    after = written(text, placed(manifest_of(text), pin(1), P), path="production.yaml")

    assert after == 'model: "yes"\nstages:\n  Production: 1\n'


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_line_ends_and_a_byte_order_mark_stay(newline: str, bom: str) -> None:
    text = bom + RISK.replace("\n", newline)

    after = written(text, named(manifest_of(text), AliasName("champion"), pin(5)))

    assert after == text.replace("champion: 4", "champion: 5")


def test_an_item_of_a_list_is_replaced_in_its_place() -> None:
    text = "model: A\nstages:\n  Production:\n    - version: 21   # north\n      comment: North.\n    - 22   # south\n"

    after = written(text, placed(manifest_of(text), pin(23), P, instead=Version(22)))

    assert differing(text, after) == [("    - 22   # south", "    - 23   # south")]


def test_which_of_several_leaves_must_be_said() -> None:
    text = "model: A\nstages: {Production: [21, 22]}\n"

    with pytest.raises(ReconcilerError, match=r"holds several versions: v21, v22\. Name the one to replace"):
        placed(manifest_of(text), pin(23), P)
    assert written(text, placed(manifest_of(text), pin(23), P, beside=True)) == text.replace("22]", "22, 23]")


def test_a_version_that_leaves_takes_no_comment_with_it() -> None:
    text = "model: A\nstages:\n  Production: 3\n  Archived:\n    - 1   # the first\n    - 2   # the second\n"

    after = written(text, placed(manifest_of(text), pin(2), P))

    assert after == "model: A\nstages:\n  Production: 2\n  Archived:\n    - 1   # the first\n    # the second\n"


def test_a_demotion_leaves_the_stage_declared_and_empty() -> None:
    text = "model: A\nstages:\n  Production: 3   # live\n"

    assert written(text, unplaced(manifest_of(text), pin(3), P)) == "model: A\nstages:\n  Production: []   # live\n"


def test_an_alias_that_must_not_exist_is_null() -> None:
    text = "model: A\naliases:\n  old: {version: 3, comment: x}\n"

    assert written(text, named(manifest_of(text), AliasName("old"), None)) == "model: A\naliases:\n  old: null\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model: A\nstages:\n  Staging: &five 5\n  Production: 4\naliases: {x: *five}\n", 3),
        ("model: A\nstages:\n  Staging: 5\n  Production: &live 4\n", 4),
    ],
)
def test_what_an_anchor_or_a_tag_makes_up_is_left_to_people(text: str, line: int) -> None:
    wanted = rf"m\.yaml: line {line} cannot be changed by a command: .* Change it by hand\."
    with pytest.raises(NotEditableError, match=wanted):
        written(text, placed(manifest_of(text), pin(5), P))


def test_there_and_back_is_the_same_file() -> None:
    there = written(RISK, named(manifest_of(RISK), AliasName("champion"), pin(5)))

    assert written(there, named(manifest_of(there), AliasName("champion"), pin(4))) == RISK


def test_owners_a_description_and_tags_are_added_where_none_are_declared() -> None:
    text = "# Scores loans.\nmodel: risk\nstages:\n  Production: 4  # it\n"
    after = replace(
        manifest_of(text),
        owners=Declared(("@acme/risk-ml",), NOWHERE),
        description=Declared("Scores: loans", NOWHERE),
        tags={"tier": Declared("1", NOWHERE)},
    )

    assert written(text, after) == text + (
        'description: "Scores: loans"\nowners:\n  - "@acme/risk-ml"\ntags:\n  tier: "1"\n'
    )


def test_comments_above_the_items_of_a_list_stay_where_they_are() -> None:
    text = "model: A\nstages:\n  Production:\n  # keep two\n  - 2\n  # three\n  - 3   # the default\n"

    assert written(text, unplaced(manifest_of(text), pin(2), P)) == text.replace("  - 2\n", "")
    assert written(text, unplaced(manifest_of(text), pin(3), P)) == text.replace("- 3   # the", "# the")


def test_a_list_in_brackets_with_comments_in_it_is_left_to_people() -> None:
    text = "model: A\nstages:\n  Production: [2, # two\n    3  # three\n    ]\n"

    with pytest.raises(NotEditableError, match="comments stand between its brackets"):
        written(text, unplaced(manifest_of(text), pin(3), P))


def test_what_an_import_said_of_a_version_does_not_stand_beside_another_one() -> None:
    text = (
        "model: A\nstages:\n  Staging: 5     # run r-5, 2026-11-27, f1 0.86\n"
        "  Production: 4  # run r-4, 2026-11-27, f1 0.84\naliases:\n  champion: 4    # run r-4, 2026-11-27, f1 0.84\n"
    )

    after = written(text, placed(manifest_of(text), pin(5), P))

    assert after == (
        "model: A\nstages:\n  Staging: []\n  Production: 5\naliases:\n  champion: 4    # run r-4, 2026-11-27, f1 0.84\n"
    )


RUN, OTHER = "76a119cebfc74b669559703f03599df5", "f861351e24b34842b9d737faf4d8ccd6"
PINNED = f"{{version: 4, run_id: {RUN}}}"


@pytest.mark.parametrize(
    ("text", "beside", "expected"),
    [
        (
            f"model: A\nstages:\n  Production:   # live\n    version: 4\n    run_id: {RUN}\n",
            True,
            f"model: A\nstages:\n  Production:   # live\n    - {PINNED}\n    - {{version: 5, run_id: {OTHER}}}\n",
        ),
        (
            f"model: A\nstages:\n  Production: {{run_id: {RUN}}}\n",
            False,
            f"model: A\nstages:\n  Production: {{version: 5, run_id: {OTHER}}}\n",
        ),
        (
            f"model: A\nstages:\n  Production:\n    # live\n    run_id: {RUN}  # pinned\n",
            False,
            f"model: A\nstages:\n  Production:\n    # live\n    version: 5\n    run_id: {OTHER}  # pinned\n",
        ),
    ],
)
def test_a_pin_is_its_version_and_then_its_run_without_quotes(text: str, beside: bool, expected: str) -> None:
    assert written(text, placed(manifest_of(text), pin(5, OTHER), P, beside=beside)) == expected


def test_a_stage_that_is_emptied_keeps_the_comments_inside() -> None:
    text = "model: A\nstages:\n  Staging:\n    version: 5  # since May\n    # under test\n    comment: x\n"

    assert written(text, unplaced(manifest_of(text), pin(5), S)) == (
        "model: A\nstages:\n  Staging: []  # since May\n    # under test\n"
    )


SCHEMA_LINE = "# yaml-language-server: $schema="


@pytest.mark.parametrize(
    ("named", "usual", "expected"),
    [
        ({"m/a.yaml": "../my/s.json", "m/x/b.yaml": "../../my/s.json", "m/c.yaml": "https://x/s"}, True, "my/s.json"),
        ({"m/a.yaml": "https://acme.example/s.json"}, True, "https://acme.example/s.json"),
        ({"m/a.yaml": "../../elsewhere.json"}, True, "schemas/manifest.schema.json"),
        ({}, False, None),
    ],
)
def test_a_new_manifest_leads_to_the_schema_that_the_others_lead_to(
    named: dict[str, str], usual: bool, expected: str | None
) -> None:
    files = [SourceFile(path, f"{SCHEMA_LINE}{there}\nmodel: A\n".encode()) for path, there in named.items()]

    assert schema_of(files, usual) == expected


def test_a_file_that_a_promotion_begins_leads_editors_to_the_schema_on_its_first_line() -> None:
    files = [SourceFile("m/a/production.yaml", b"model: A\nstages: {Production: 4}\n")]
    after = named(manifest_of("model: A\nstages: {Production: 4}\n"), AliasName("new"), pin(4))

    (new,) = rewritten(files, after, parse, lambda _: "m/a/aliases.yaml", "my/s.json")

    assert new.data.decode().splitlines() == [f"{SCHEMA_LINE}../../my/s.json", "model: A", "aliases:", "  new: 4"]


def test_the_run_of_a_copys_original_is_written_where_the_original_is() -> None:
    text = "model: prod\nstages:\n  Production:\n    from: {model: staging, version: 7, run_id: abc}\n"
    manifest = manifest_of(text)
    (pinned,) = manifest.stages[P].value
    commented = replace(manifest, stages={P: Declared((replace(pinned, comment="Why."),), NOWHERE)})

    assert pinned.run_id == "abc"
    assert written(text, commented) == f"{text}    comment: Why.\n"
