"""What people read, to the letter. `pytest --update-golden` writes it anew; then look at the difference."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from reconciler.core.desired import Declared, Manifest, Pin, Source
from reconciler.core.diff import Grounds
from reconciler.core.evidence import Metric, VersionFacts
from reconciler.core.gate import Approval
from reconciler.core.names import Commit, ModelRef, Original, RepositoryId, Slot, Version
from reconciler.core.plan import Limits, Plan, PlanOptions, build_plan
from reconciler.core.snapshot import Identity, ModelSnapshot
from reconciler.errors import Location
from reconciler.events import (
    ChangeMade,
    LockWaiting,
    ModelFinished,
    ModelStarted,
    Noticed,
    Outcome,
    OutcomeStatus,
    Planned,
    Receipt,
    Witness,
)
from reconciler.ports import Actor, Holder
from reconciler.render.json import event_documents, plan_document, receipt_document
from reconciler.render.layout import plain
from reconciler.render.text import outcome_lines, plan_lines, receipt_lines
from tests.build import NOW, SOMEWHERE, THEIRS, A, N, P, S, desired, have, owns, registry, want

HERE = Path(__file__).parent
URI = "https://mlflow.acme.example"


def scene(*pairs: tuple[Manifest | None, ModelSnapshot | None], options: PlanOptions = PlanOptions()) -> Plan:
    manifests = [manifest for manifest, _ in pairs if manifest is not None]
    return build_plan(desired(*manifests), registry(*(live for _, live in pairs if live is not None)), options)


def in_step(count: int) -> list[tuple[Manifest | None, ModelSnapshot | None]]:
    names = [f"in-step-{n}" for n in range(count)]
    return [(want({P: [1]}, name=n), have({1: P}, owner=owns(P), name=n)) for n in names]


NASTY = "nasty | <b>\x1b[31m\u202e@all"

ORIGINAL = Original(ModelRef("staging.risk"), Version(7))
COPY = Pin(
    SOMEWHERE, original=ORIGINAL, source=Source("run-7", ORIGINAL.uri, frozenset(), about="run run-7", since=1_747_000)
)

ELSEWHERE = Original(ModelRef("dev/risk"), Version(7))
COPY_FROM_ELSEWHERE = Pin(
    SOMEWHERE,
    original=ELSEWHERE,
    source=Source("run-7", ELSEWHERE.uri, frozenset(), about="run run-7", since=1_747_000, elsewhere=True),
)

SCENES: dict[str, Plan] = {
    "nothing to do": scene(*in_step(2)),
    "a promotion": scene(
        (
            want({P: [Pin(SOMEWHERE, Version(5), comment="F1 improved 4.2% vs v4.")], S: [6]}, {"champion": 5}),
            have({4: P, 5: S, 6: N}, {"champion": 4}, owner=owns(S, P, "champion")),
        ),
        *in_step(3),
    ),
    "a roll-back": scene(
        (
            want({P: [4]}, {"champion": 4}),
            have({4: A, 5: P}, {"champion": 5}, owner=owns(P, "champion"), placed={4: ["Production", "Archived"]}),
        )
    ),
    "trading places": scene((want({P: [4], S: [3]}), have({3: P, 4: S}, owner=owns(S, P)))),
    "blocked, adopted, created and released": scene(
        (want({P: [9]}, name="blocked"), have({1: P, 2: N}, name="blocked")),
        (want({P: [2]}, name="adopted"), have({1: P, 2: N}, owner=owns(P, by=THEIRS), name="adopted")),
        (want({}, name="created", description="New.\nTwo lines.", tags={"domain": "credit"}), None),
        (None, have({1: P}, owner=owns(P), name="released")),
        (
            replace(want({P: [1]}, name="renamed"), formerly=Declared((ModelRef("was"),), SOMEWHERE)),
            replace(have({1: P}, owner=owns(P), name="renamed"), called=ModelRef("was")),
        ),
        (
            want({}, {"gone": None}, name="narrowed"),
            have({1: N}, {"gone": 1, "old": 1}, owner=owns("old"), name="narrowed"),
        ),
        options=PlanOptions(adopt=True),
    ),
    "only the record changes": scene((want({P: [1], S: []}), have({1: P}, owner=owns(P)))),
    "names that try to break out": scene(
        (
            replace(
                want({P: [1]}, description=NASTY),
                model=Declared(ModelRef(NASTY), Location("manifests/\x1b[2J.yaml", 1, 8)),
            ),
            None,
        ),
        (want({P: [1]}, name=f"{NASTY}2", tags={"k": NASTY}), have({1: N}, name=f"{NASTY}2")),
    ),
    "too much at once": scene(
        *((want({P: [2]}, name=f"model-{n:02}"), have({1: P, 2: N}, name=f"model-{n:02}")) for n in range(10)),
        options=PlanOptions(limits=Limits(0.3, 10)),
    ),
    "a copy": scene((want({P: [COPY]}), have({1: P}, owner=owns(P)))),
    "a copy from another registry": scene((want({P: [COPY_FROM_ELSEWHERE]}), have({1: P}, owner=owns(P)))),
}  # fmt: skip

WHOLE = ("a promotion", "blocked, adopted, created and released")
"""The plans whose JSON is kept to the letter. Of the others, what these do not have."""

OUTCOMES = (
    Outcome(ModelRef("applied"), OutcomeStatus.APPLIED, SCENES["a promotion"].changes),
    Outcome(ModelRef("repaired"), OutcomeStatus.APPLIED, SCENES["a roll-back"].changes, repaired=True),
    Outcome(ModelRef("failed"), OutcomeStatus.FAILED, message="https://mlflow.acme.example said: Permission denied."),
    Outcome(ModelRef("skipped"), OutcomeStatus.SKIPPED, message="Not begun: interrupted."),
    Outcome(ModelRef(NASTY), OutcomeStatus.BLOCKED, message=NASTY),
)
ENTERED = (Version(5), Slot("Production"))
GROUNDS = Grounds(
    "sha256:" + "7" * 64,
    (Approval("@grace", "review of #12 on GitHub", "2026-05-01T09:00:00Z", Commit("c" * 40)),),
    VersionFacts(ModelRef("churn"), Version(5), "Scores loans.", metrics=(Metric("f1", 0.74),)),
)
RECEIPT = Receipt(
    replace(
        SCENES["a promotion"],
        models=tuple(replace(model, grounds={ENTERED: GROUNDS}) for model in SCENES["a promotion"].models),
    ),
    URI,
    "2026-05-01T10:00:00Z",
    "2026-05-01T10:00:07Z",
    OUTCOMES,
    id="20260501T100000Z-1f3a9c0b2d",
    actor=Actor("ci@runner pid 7", "https://ci.acme.example/1", "Ada <ada@acme.example>"),
    witnessed={
        ModelRef("churn"): Witness(
            {Slot("Production"): (Version(4),)},
            {Slot("Production"): (Version(5),)},
            times=("2026-05-01T10:00:02Z", "2026-05-01T10:00:03Z"),
            identities=(Identity(Version(5), "8c1f0c9d", 1777629600000, "0123456789abcdef"),),
        )
    },
)


def check(name: str, text: str, update: bool) -> None:
    path = HERE / name
    if update:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def file_name(title: str, suffix: str) -> str:
    return f"{title.replace(',', '').replace(' ', '-')}.{suffix}"


def news(documents: Mapping[str, Any], known: Iterable[str]) -> str:
    """Of each document that is not known, the keys and the codes that no document before it has, a line each."""
    seen = {line for title in known for line, _ in _leaves(documents[title], "")}
    lines: list[str] = []
    for title in documents:
        more = dict[str, str]()
        for line, value in _leaves(documents[title], ""):
            if line not in seen:
                more.setdefault(line, value)
        seen |= more.keys()
        if more:
            lines += [f"{title}:", *(f"  {line}{value}" for line, value in more.items())]
    return "".join(f"{line}\n" for line in lines)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each value in a document: its path, with the value if that is a code or no text, and the rest of it."""
    match value:
        case dict():
            for key, inside in cast(dict[str, Any], value).items():
                yield from _leaves(inside, f"{path}.{key}" if _WORD.fullmatch(key) else f"{path}.*")
        case list():
            for inside in cast(list[Any], value):
                yield from _leaves(inside, f"{path}[]")
        case str() if not _CODE.fullmatch(value):
            yield f"{path} = ", json.dumps(value)
        case int() | float() if not isinstance(value, bool):
            yield f"{path} = ", json.dumps(value)
        case _:
            yield f"{path} = {json.dumps(value)}", ""


_WORD = re.compile("[a-z][a-z_-]*")
_CODE = re.compile("[a-z][a-z_-]*( [a-z]+)?")


@pytest.mark.parametrize("title", SCENES)
def test_a_plan_as_text(title: str, update_golden: bool) -> None:
    text = "\n".join(plain(line) for line in plan_lines(SCENES[title], URI)) + "\n"

    check(file_name(title, "txt"), text, update_golden)
    assert text.isprintable() or all(c.isprintable() or c == "\n" for c in text)


@pytest.mark.parametrize("title", WHOLE)
def test_a_plan_as_json(title: str, update_golden: bool) -> None:
    check(file_name(title, "json"), json.dumps(plan_document(SCENES[title], URI), indent=2) + "\n", update_golden)


def test_the_other_plans_as_json(update_golden: bool) -> None:
    documents = {title: plan_document(plan, URI) for title, plan in SCENES.items()}

    check("plans-more.json.txt", news(documents, WHOLE), update_golden)


def test_an_apply_as_text(update_golden: bool) -> None:
    lines = [line for outcome in OUTCOMES for line in outcome_lines(outcome, 80)]
    ends = [
        RECEIPT,
        replace(RECEIPT, outcomes=OUTCOMES[:2]),
        replace(RECEIPT, interrupted=True),
        replace(RECEIPT, outcomes=()),
    ]

    lines += [line for end in ends for line in receipt_lines(end, 80)]

    check("apply.txt", "".join(f"{plain(line)}\n" for line in lines), update_golden)


def test_a_receipt(update_golden: bool) -> None:
    churn = replace(OUTCOMES[0], model=ModelRef("churn"))
    document = receipt_document(replace(RECEIPT, outcomes=(churn, *OUTCOMES[1:])))

    check("receipt.json", json.dumps(document, indent=2) + "\n", update_golden)


def test_the_events_of_an_apply(update_golden: bool) -> None:
    changes = SCENES["a promotion"].changes
    events = [
        LockWaiting(Holder("ci@runner pid 7", "2026-05-01T10:00:00Z", "https://ci.acme.example/1"), 5.0),
        Planned(SCENES["a promotion"]),
        Planned(SCENES["too much at once"]),
        ModelStarted(ModelRef("churn"), len(changes)),
        *map(ChangeMade, changes),
        *(ModelFinished(outcome) for outcome in OUTCOMES),
        Noticed("Something that a person should know."),
    ]  # fmt: skip

    lines = [json.dumps(document) for event in events for document in event_documents(event, "2026-05-01T10:00:00Z")]

    check("events.ndjson", "\n".join(lines) + "\n", update_golden)


def test_a_summary_is_the_last_line() -> None:
    for plan in SCENES.values():
        assert plain(list(plan_lines(plan, URI))[-1]).startswith("Plan: ")


def test_the_digest_is_about_what_is_changed_and_not_about_where_it_is_asked_for() -> None:
    live = have({1: P, 2: N}, owner=owns(P))
    here = scene((want({P: [2]}), live))
    elsewhere = scene((replace(want({P: [2]}), model=Declared(ModelRef("churn"), Location("other.yaml", 9, 9))), live))
    other_commit = build_plan(desired(want({P: [2]}), revision=replace(NOW, commit=None)), registry(live))
    another = scene((want({P: [2]}, {"champion": 2}), live))

    assert here.digest == elsewhere.digest == other_commit.digest
    assert here.digest != another.digest


def test_a_change_of_owner_changes_the_digest() -> None:
    live = have({1: P}, owner=owns(P, by=RepositoryId("x")))
    adopt = PlanOptions(adopt=True)

    narrow, wide = (scene((want(stages), live), options=adopt) for stages in ({P: [1]}, {P: [1], S: []}))

    assert narrow.digest != wide.digest
