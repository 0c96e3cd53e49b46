"""What people read of the past: turns, moments, and what an audit finds."""

import re
from dataclasses import replace
from typing import Any

import jsonschema

from reconciler.core.as_of import AsOf, Between, as_of, changed
from reconciler.core.bundle import About, Bundle, FileDigest
from reconciler.core.chain import Acknowledged, Audit, Finding, Flaw, Pruning
from reconciler.core.desired import Revision
from reconciler.core.history import (
    Applying,
    Declaring,
    Held,
    History,
    Names,
    Opinion,
    Past,
    Placed,
    Present,
    Recalled,
    Sighting,
    Stretch,
    turns,
)
from reconciler.core.names import Commit, ModelRef, RepositoryId, Slot, Version
from reconciler.core.renames import with_renamings
from reconciler.reading.schemas import SCHEMAS
from reconciler.render.bundle import Card, ProofDocument, bundle_lines, card_markdown
from reconciler.render.formats import Format, rendered_as_of, rendered_audit, rendered_between, rendered_history
from reconciler.render.history_json import as_of_document, audit_document, between_document, history_document
from reconciler.render.layout import plain
from reconciler.render.words import held
from tests.exhibits import hostile, signature
from tests.golden.test_golden import check

P, C = Slot("Production"), Slot("@champion")
ADA, GRACE = "Ada Lovelace <ada@acme.example>", "Grace Hopper <grace@acme.example>"
NASTY = '=HYPERLINK("x") | <b>\x1b[31m\u202e@all'


def v(*numbers: int) -> Held:
    return tuple(map(Version, numbers))


def commit(digit: str, at: str, subject: str, request: str = "", merged_by: str = "") -> Declaring:
    return Declaring(Commit(digit * 40), at, ADA, merged_by, subject, request)


def apply(number: int, digit: str, *, signed: bool = True) -> Applying:
    run = f"https://ci.acme.example/runs/{number}"
    return Applying(
        f"2026030{number}T100000Z-1f3a9c0b2d", number, Commit(digit * 40), "ci@runner pid 7", GRACE, run, signed
    )


CHURN = Past(
    ModelRef("churn"),
    (
        Stretch(0, commit("e", "2026-03-09T16:00:00Z", "Promote v5", "#18", GRACE), {P: v(5), C: v(5)}),
        Stretch(1, commit("8", "2026-03-08T17:00:00Z", "Revert v1", "#17", GRACE), {P: v(3), C: v(3)}),
        Stretch(2, commit("7", "2026-03-08T09:30:00Z", "Promote v1", "#16", GRACE), {P: v(1), C: v(3)}),
        Stretch(3, commit("d", "2026-03-06T09:30:00Z", "Revert v4", "#15", GRACE), {P: v(3), C: v(3)}),
        Stretch(
            4, commit("c", "2026-03-03T09:30:00Z", "Promote v4", "#12", GRACE), {P: v(4), C: v(4)}, {P: "F1 +4.2 %"}
        ),
        Stretch(5, commit("a", "2026-03-02T17:00:00Z", "Back to v3", "#11", GRACE), {P: v(3)}),
        Stretch(6, commit("9", "2026-03-02T09:30:00Z", "Promote v2", "#10", GRACE), {P: v(2)}, {P: NASTY}),
        Stretch(7, commit("b", "2026-02-01T08:00:00Z", "Begin"), {P: v(3)}),
    ),
    (
        Sighting(
            apply(2, "9"),
            "2026-03-02T10:00:00Z",
            "2026-03-02T10:00:01Z",
            {P: v(3)},
            {P: v(3)},
            6,
            opinions={
                (Version(2), P): (
                    Opinion("path", "pass", "v2 comes from Staging"),
                    Opinion("soak", "fail", "v2 has been in Staging for 2 h; 3 days required"),
                )
            },
            blocked=True,
            message="Production: soak: v2 has been in Staging for 2 h; 3 days required.",
        ),
        Sighting(
            replace(apply(2, "9"), receipt="20260302T120000Z-2f3a9c0b2d", sequence=3),
            "2026-03-02T12:00:00Z",
            "2026-03-02T12:00:01Z",
            {P: v(3)},
            {P: v(3)},
            6,
            opinions={
                (Version(2), P): (
                    Opinion("path", "pass", "v2 comes from Staging"),
                    Opinion("soak", "fail", "v2 has been in Staging for 4 h; 3 days required"),
                )
            },
            blocked=True,
            message="Production: soak: v2 has been in Staging for 4 h; 3 days required.",
        ),
        Sighting(
            apply(3, "c"),
            "2026-03-03T09:59:00Z",
            "2026-03-03T10:00:07Z",
            {P: v(3), C: ()},
            {P: v(4), C: v(4)},
            4,
            {P: "2026-03-03T10:00:02Z", C: "2026-03-03T10:00:03Z"},
            {(Version(4), P): "new", (Version(4), C): "new"},
            {
                (Version(4), P): (
                    Opinion("path", "pass", "v4 comes from Staging"),
                    Opinion("metric", "pass", "f1 rose from 0.71 to 0.74"),
                    Opinion("approvals", "pass", "approved by @grace of the model's owners"),
                    Opinion("soak", "overridden", "v4 has been in Staging for 2 h; 3 days required", "hotfix, @grace"),
                )
            },
        ),
        Sighting(
            apply(6, "d"),
            "2026-03-06T10:00:00Z",
            "2026-03-06T10:00:07Z",
            {P: v(2), C: v(4)},
            {P: v(3), C: v(3)},
            3,
            {P: "2026-03-06T10:00:02Z", C: "2026-03-06T10:00:03Z"},
            {(Version(3), P): "rollback", (Version(3), C): "rollback"},
        ),
    ),
    Present("2026-03-10T08:00:00Z", {P: v(3), C: v(3)}, {Version(3): "2026-03-06T10:00:02Z"}),
)
RISK = with_renamings(
    Past(
        ModelRef("risk-eu"),
        (
            Stretch(
                1,
                commit("f", "2026-03-04T09:30:00Z", "Rename risk", "#13", GRACE),
                {P: v(1)},
                name=ModelRef("risk-eu"),
            ),
            Stretch(5, commit("b", "2026-02-01T08:00:00Z", "Begin"), {P: v(1)}, name=ModelRef("risk")),
        ),
        (
            Sighting(
                apply(4, "f"),
                "2026-03-04T10:00:00Z",
                "2026-03-04T10:00:07Z",
                {P: v(1)},
                {P: v(1)},
                1,
                name=ModelRef("risk-eu"),
                renamed=(Names(ModelRef("risk"), ModelRef("risk-eu")), "2026-03-04T10:00:03Z"),
            ),
        ),
        Present("2026-03-10T08:00:00Z", {P: v(1)}, name=ModelRef("risk-eu")),
    )
)
FRAUD = Past(
    ModelRef(NASTY),
    (Stretch(0, Declaring(Commit("b" * 40), "2026-02-01T08:00:00Z", NASTY, "", NASTY), {P: v(1)}, {P: NASTY}),),
    (),
    Present(
        "2026-03-10T08:00:00Z",
        {P: v(1)},
        {Version(1): "2026-02-02T08:00:00Z"},
        unreceipted={(Version(1), P): Placed("2026-02-02T08:00:00Z", Commit("b" * 40), place=0)},
        applied=0,
    ),
)
RECALLED = Recalled(
    Revision(RepositoryId("github.com/acme/models#manifests"), Commit("e" * 40), ADA, "Promote v5"),
    "https://mlflow.acme.example",
    "",
    "2026-03-10T08:00:00Z",
    (CHURN, FRAUD, RISK),
    2,
    "",
    (Finding(Flaw.UNPUSHED, 0, "1 receipt is in this clone alone. To push: `reconciler audit --push`."),),
)


def validator(name: str) -> Any:
    return jsonschema.Draft7Validator(SCHEMAS[name]())


HISTORY = History(RECALLED, tuple(turn for past in RECALLED.models for turn in turns(past)))


def at(when: str) -> AsOf:
    return AsOf(RECALLED, when, tuple(then for past in RECALLED.models for then in as_of(past, when, held)))


BETWEEN = Between(
    RECALLED,
    "2026-03-03T09:45:00Z",
    "2026-03-05T00:00:00Z",
    tuple(
        pair for past in RECALLED.models for pair in changed(past, "2026-03-03T09:45:00Z", "2026-03-05T00:00:00Z", held)
    ),
)
AUDITS = (
    Audit(
        "refs/reconciler/receipts on origin",
        7,
        7,
        "2026-03-03T10:00:07Z",
        "2026-03-09T10:00:07Z",
        4,
        pruned=Pruning("2026-03-09T12:00:00Z", ("a", "b", "c"), "", "2025-12-31T10:00:07Z"),
    ),
    Audit(
        "refs/reconciler/receipts on origin",
        7,
        5,
        "2026-03-03T10:00:07Z",
        "2026-03-09T10:00:07Z",
        None,
        (
            Finding(Flaw.MISSING, 0, "The record of v4 of churn in Production names a receipt that the chain lacks."),
            Finding(Flaw.UNSIGNED, 0, "2 receipts of before are not signed."),
            Finding(
                Flaw.ACKNOWLEDGED,
                0,
                "The record of v4 of churn in Production names the receipt 20260501T100000Z-1f3a9c0b2d, which the "
                "chain lacks. Acknowledged by Ada Lovelace in 1b9c02f4a7de: The runner lost power.",
                Acknowledged("The runner lost power.", Commit("1b9c02f4a7de"), ADA, "20260501T100000Z-1f3a9c0b2d"),
            ),
        ),
    ),
)


def test_a_history(update_golden: bool) -> None:
    check("history.txt", rendered_history(HISTORY, Format.TEXT), update_golden)
    check("history.csv", rendered_history(HISTORY, Format.CSV), update_golden)
    check("history.json", rendered_history(HISTORY, Format.JSON), update_golden)
    page = rendered_history(HISTORY, Format.HTML)
    check("history.html", re.sub(r"(?s)<style>.*</style>", "<style>…</style>", page), update_golden)


def test_moments(update_golden: bool) -> None:
    moments = ("2026-01-01T00:00:00Z", "2026-03-03T09:45:00Z", "2026-03-03T12:00:00Z", "2026-03-05T00:00:00Z")
    told = "\n".join(rendered_as_of(at(when), Format.TEXT) for when in moments)
    check("as-of.txt", f"{told}\n{rendered_between(BETWEEN, Format.TEXT)}", update_golden)


def test_audits(update_golden: bool) -> None:
    check("audit.txt", "\n".join(rendered_audit(audit, Format.TEXT) for audit in AUDITS), update_golden)


def test_documents_keep_to_their_schemas() -> None:
    documents = {
        "history": history_document(HISTORY),
        "as-of": as_of_document(at("2026-03-05T00:00:00Z")),
        "diff": between_document(BETWEEN),
        "audit": audit_document(AUDITS[1]),
    }
    for name, document in documents.items():
        validator(name).validate(document)


def test_a_model_card(update_golden: bool) -> None:
    evidence = hostile().evidence
    assert evidence is not None
    facts = replace(evidence.exhibits[0].candidate, signature=signature(income="double", region="string?"))
    proof: ProofDocument = {
        "who": NASTY,
        "how": "review of #12 on GitHub",
        "at": "2026-03-03T09:00:00Z",
        "commit": "c" * 40,
        "receipt": "20260303T100000Z-1f3a9c0b2d",
        "slot": "Production",
        "object": None,
        "signers": None,
    }
    about = About(NASTY, (NASTY,), 4, "8c1f0c9d", 1777629600000)
    files = (FileDigest("MLmodel", "0" * 64, 2048), FileDigest("model.pkl", "1" * 64, 5_000_000))
    card = Card(
        about,
        HISTORY,
        facts,
        NASTY,
        (ADA,),
        {"domain": NASTY},
        files,
        (proof, {**proof, "slot": "@champion"}),
        (NASTY,),
    )
    bare = Card(about, replace(HISTORY, turns=()), None)

    written = card_markdown(card)

    check("card.md", f"{written}\n---\n\n{card_markdown(bare)}", update_golden)
    assert [
        line for line in written.splitlines() if "alert(" in line and "`" not in line and "<code>" not in line
    ] == []
    made = Bundle(about, {"bundle.json": b""}, 3, 2, (NASTY,), "SHA256:QI5/UVMFq1J2uvs+kYKuH6XcgLIua9X0eFqyWuomrWE")
    check("bundle.txt", "".join(f"{plain(line)}\n" for line in bundle_lines(made, "x.zip", 90_000)), update_golden)
