"""What people read after an import, who owns what by a file, and what CODEOWNERS says."""

from pathlib import Path

import pytest

from reconciler.core.adoption import Concern, Imported, Outcome, Remark
from reconciler.core.names import ModelRef
from reconciler.errors import ManifestError, ReconcilerError
from reconciler.ports import SourceFile
from reconciler.project import owner_patterns
from reconciler.reading.owners import checked_owners, parse_owners
from reconciler.render.adoption import import_lines
from reconciler.render.layout import plain
from reconciler.writing.codeowners import owner_lines
from reconciler.writing.files import write_files

UNOWNED = Remark(Concern.UNOWNED, "Nobody owns it.")


def shown(*models: Imported) -> list[str]:
    return [plain(line) for line in import_lines(models)]


def imported(name: str, outcome: Outcome, *remarks: Remark) -> Imported:
    paths = (f"manifests/{name}.yaml",) if outcome in {Outcome.NEW, Outcome.ADDED} else ()
    return Imported(ModelRef(name), outcome, paths, remarks)


def test_each_model_is_shown_and_then_what_to_look_at_the_weightiest_first() -> None:
    two = Remark(Concern.SEVERAL, "2 versions are in Production: v1, v2.")

    assert shown(
        imported("churn", Outcome.NEW, UNOWNED),
        imported("risk", Outcome.ADDED, two, UNOWNED),
        imported("fraud", Outcome.LEFT_OUT, Remark(Concern.REFUSED, "It cannot be declared.")),
        imported("spam", Outcome.SAME),
    ) == [
        "new       churn  manifests/churn.yaml",
        "added to  risk  manifests/risk.yaml",
        "left out  fraud",
        "same      spam",
        "",
        "To look at:",
        "  fraud  It cannot be declared.",
        "  risk  2 versions are in Production: v1, v2.",
        "  churn  Nobody owns it.",
        "  risk  Nobody owns it.",
        "",
        "Import: 1 new, 1 added to, 1 left out, 1 same.",
    ]


def test_what_two_hundred_models_have_in_common_is_said_once() -> None:
    lines = shown(*(imported(f"m-{number:03}", Outcome.SAME, UNOWNED) for number in range(200)))

    assert sum("Nobody owns it." in line for line in lines) == 1
    assert "  200 models  Nobody owns it. (m-000, m-001," in "\n".join(lines)
    assert len(lines) < 12


def test_many_remarks_of_one_concern_end_with_names() -> None:
    remarks = (Remark(Concern.ARCHIVED, f"@a{number} names v1, which is archived.") for number in range(25))
    lines = shown(*(imported(f"m-{n:02}", Outcome.SAME, remark) for n, remark in enumerate(remarks)))

    assert sum("which is archived" in line for line in lines) == 20
    assert "  5 more models  m-20, m-21, m-22, m-23, m-24, for similar reasons" in lines


def test_nothing_from_outside_reaches_the_terminal_as_it_is() -> None:
    (line, *_) = shown(imported("bad\x1b[31m", Outcome.LEFT_OUT))

    assert "\x1b" not in line


def test_a_file_of_owners_is_read_in_its_order(tmp_path: Path) -> None:
    path = tmp_path / "owners"
    path.write_text("\ufeff# who answers\n* @acme/ml  # all\n\n'risk model*' @acme/risk ada@acme.example\r\n")

    assert owner_patterns(["@acme/all"], path) == (
        ("*", ("@acme/all",)),
        ("*", ("@acme/ml",)),
        ("risk model*", ("@acme/risk", "ada@acme.example")),
    )


def test_every_wrong_line_of_owners_is_told_at_its_place() -> None:
    lines = ["* @acme/ml", "churn", "'open @x", "risk @\u0430cme", 'fraud ""']

    with pytest.raises(ManifestError) as caught:
        parse_owners(SourceFile("owners", "\n".join(lines).encode()))

    assert [(p.location.path, p.location.line) for p in caught.value.problems] == [("owners", n) for n in (2, 3, 4, 5)]


@pytest.mark.parametrize("data", [b"* @a\n\xff @b\n", b"*" * 1024 * 1024 + b" @a"], ids=["no text", "too long"])
def test_a_file_of_owners_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_owners(SourceFile("owners", data))


def test_owners_that_no_manifest_could_name_are_refused(tmp_path: Path) -> None:
    for wrong in (lambda: checked_owners([("*", ["\u200b"])]), lambda: owner_patterns((), tmp_path / "none")):
        with pytest.raises(ReconcilerError):
            wrong()


def test_code_owners_get_a_line_for_what_consumers_load() -> None:
    owned = {"churn": ("@acme/growth", "no address"), "risk": ("@acme/risk",), "free": ()}

    assert list(owner_lines(owned.items(), "ml models", "/ml\\ models/risk/production.yaml @acme/risk\n")) == [
        r"/ml\ models/churn/aliases.yaml   @acme/growth",
        r"/ml\ models/churn/production.yaml @acme/growth",
        r"/ml\ models/risk/aliases.yaml    @acme/risk",
    ]


def test_owners_that_all_models_share_have_one_line_a_slot() -> None:
    owned = dict.fromkeys(("churn", "risk"), ("@acme/ml",))

    assert list(owner_lines(owned.items(), ".", "")) == [
        "/**/aliases.yaml                 @acme/ml",
        "/**/production.yaml              @acme/ml",
    ]


def test_all_files_are_written_or_none(tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("a: 1\n")
    (tmp_path / "link").symlink_to(tmp_path)
    new, there = SourceFile("m/new.yaml", b"b: 1\n"), SourceFile("there.yaml", b"a: 2\n")

    for files, read in [
        ([new, there], {new.path: None, there.path: None}),
        ([new, there], {new.path: None, there.path: b"a: 0\n"}),
        ([new, SourceFile("link/x.yaml", b"")], {new.path: None, "link/x.yaml": None}),
        ([new, SourceFile("there.yaml/x.yaml", b"")], {new.path: None, "there.yaml/x.yaml": None}),
    ]:
        with pytest.raises(ReconcilerError, match="Nothing was written"):
            write_files(tmp_path, files, read)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "there.yaml"]
    assert (tmp_path / "there.yaml").read_text() == "a: 1\n"

    write_files(tmp_path, [new, there], {new.path: None, there.path: b"a: 1\n"})
    assert ((tmp_path / "m/new.yaml").read_bytes(), (tmp_path / "there.yaml").read_bytes()) == (new.data, there.data)
