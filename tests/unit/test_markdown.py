"""What stands in a comment is read by a forge, which obeys more than Markdown: nothing from outside may be obeyed."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from reconciler.core.drift import Drift, DriftStatus, ModelDrift
from reconciler.core.evidence import Evidence
from reconciler.core.names import ModelRef
from reconciler.core.review import Note, Review
from reconciler.core.text import clean
from reconciler.errors import Location, Problem
from reconciler.events import Outcome, OutcomeStatus
from reconciler.render.formats import Format, rendered
from reconciler.render.markdown import drift_markdown, length, markdown, no_plan_markdown, receipt_markdown
from reconciler.render.marker import read_marker
from reconciler.render.spans import cell, code, prose
from tests import exhibits
from tests.build import A, P, S, have, owns, want
from tests.golden.test_golden import RECEIPT

KEY = "0123456789ab"
GFM = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

EVIL = st.text(
    st.sampled_from("`|\\<>&@#*_~[]()!/:.- \n\t\u202eevil\x1b0") | st.characters(max_codepoint=0x2FF),
    min_size=1,
    max_size=40,
)


def words_outside_of_code(body: str) -> Iterator[str]:
    """What a forge would look at for mentions, links and commands: everything that stands in no code."""
    inside = 0
    for token in flat(GFM.parse(body)):
        if token.type in {"html_inline", "html_block"}:
            for tag, text in re.findall(r"(<[^>]*>)|([^<]+)", token.content):
                inside += (tag == "<code>") - (tag == "</code>")
                if text and not inside:
                    yield text
        elif token.type == "text" and not inside:
            yield token.content


def flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from flat(token.children or [])


def tags(body: str) -> set[str]:
    """Every element of HTML that a reader's browser is given, other than what Markdown's own syntax makes."""
    raw = "".join(t.content for t in flat(GFM.parse(body)) if t.type in {"html_inline", "html_block"})
    return set(re.findall(r"</?([a-zA-Z][^\s>/]*)", raw))


@given(EVIL)
def test_a_code_span_shows_its_text_and_nothing_else(text: str) -> None:
    (paragraph,) = [token for token in GFM.parse(f"x {code(text)} y") if token.type == "inline"]

    kinds = [token.type for token in paragraph.children or []]
    assert kinds == ["text", "code_inline", "text"]
    assert (paragraph.children or [])[1].content.strip() == (clean(text).strip() or "–")


@given(st.lists(EVIL, min_size=2, max_size=2))
def test_a_cell_stays_in_its_column(texts: list[str]) -> None:
    body = f"| a | b |\n| --- | --- |\n| {cell(texts[0])} | {cell(texts[1])} |\n\nafter"

    rendered = GFM.render(body)
    assert len(re.findall("<td", rendered)) == 2
    assert rendered.count("<code>") == 2
    assert rendered.rstrip().endswith("<p>after</p>")
    shown = [t.content for t in flat(GFM.parse(body)) if t.type in {"text", "code_inline"}]
    assert "".join(shown).replace(" ", "") == "".join(
        ["a", "b", *(clean(t).strip() or "–" for t in texts), "after"]
    ).replace(" ", "")


OBEYED = re.compile(
    r"[@#<>\\`*_~\[\]|$&^!/=+]|www\.|[^\W\d]:\w|:\w+:|\b[0-9a-f]{7,}\b|\b[a-z][a-z0-9]*-\d+(?![\w-])", re.IGNORECASE
)
"""What a forge makes more of than text: mentions, references, links, commands, commits, HTML, Markdown."""

TRAPS = [
    *("@all", "@org/team", "#12", "GH-12", "JIRA-7", "!3", "&4", "%5", "$6", "~bug", "^alert#7", "org/repo#8"),
    *("/close", "/azp run", "www.evil.example", "https://evil.example", "evil@evil.example", "0f1e2d3c4b5a"),
    *("<b>", "<!--", "-->", "[x](y)", "![x](y)", "[^1]", "**b**", "_i_", "~~s~~", ":tada:", "1.", "1)", "-", "+"),
    *("&#64;all", "&commat;all", "`", "``", "`a`", "|", "---", "===", "# h", "> q", "a", "3 days", "it's", "(so)"),
]
SENTENCES = st.lists(st.sampled_from(TRAPS) | EVIL, min_size=1, max_size=6).flatmap(
    lambda parts: st.sampled_from(["", " "]).map(lambda gap: gap.join(parts))
)


@given(SENTENCES)
def test_a_sentence_shows_its_text_and_nothing_of_it_is_obeyed(text: str) -> None:
    for before in ("", "- ", "> ", "x "):
        body = before + prose(text)
        (line,) = [token for token in GFM.parse(body) if token.type == "inline"]
        inside = [token for token in line.children or [] if token.type != "html_inline"]
        shown = "".join(token.content for token in inside)

        assert {token.type for token in inside} <= {"text", "text_special", "code_inline"}
        assert re.sub(r"[\s`]", "", shown.removeprefix("x ")) == re.sub(
            r"[\s`]", "", clean(text).strip()
        ) or not re.sub(r"[\s`]", "", text)
        outside = " ".join(words_outside_of_code(body))
        assert not OBEYED.search(outside.replace("->", "")), outside
        assert tags(body) <= {"code"}


@given(st.lists(SENTENCES, min_size=2, max_size=2))
def test_a_sentence_stays_in_its_cell(texts: list[str]) -> None:
    body = f"| a | b |\n| --- | --- |\n| {prose(texts[0])} | {prose(texts[1])} |\n\nafter"

    shown = GFM.render(body)
    assert len(re.findall("<td", shown)) == 2
    assert shown.rstrip().endswith("<p>after</p>")
    assert tags(body) <= {"code"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("v5 has been in Staging for 19 h 30 min; 3 days required", ""),
        ("soak before Production, @champion: no", "soak before Production, `@champion`: no"),
        ("latency_ms is 21.6, above 20", "`latency_ms` is 21.6, above 20"),
        ("by grace@acme.example (manifests/a.yaml:14): so", "by `grace@acme.example` (`manifests/a.yaml:14`): so"),
        ("Run `reconciler apply --restore churn`.", "Run `reconciler apply --restore churn`."),
        ("Closes #12 and GH-7 of 0f1e2d3c4b5a", "Closes `#12` and `GH-7` of `0f1e2d3c4b5a`"),
        ("1. then", "`1.` then"),
        ("a `b", "a `` ` ``b"),
    ],
)
def test_a_sentence_reads_like_one(text: str, shown: str) -> None:
    assert prose(text) == (shown or text)


def test_nothing_hostile_stands_outside_of_code() -> None:
    body = markdown(exhibits.hostile(), KEY)

    outside = "\n".join(words_outside_of_code(body))
    for trap in ("<script", "alert(", "@all", "\\u202e", "# heading", "7*7"):
        assert trap in body
        assert trap not in outside
    assert tags(body) <= {"details", "summary", "code", "sub", "br"}
    assert "javascript:" not in GFM.render(body).replace("&lt;", "").split("href=")[
        -1
    ] or 'href="javascript' not in GFM.render(body)


@given(name=EVIL, path=EVIL)
def test_a_comment_holds_no_mention_link_or_command_from_outside(name: str, path: str) -> None:
    review = exhibits.better()
    change = replace(review.plan.models[0], model=f"evil{name}")
    body = markdown(
        replace(review, plan=replace(review.plan, models=(change,)), notes=(Note(path),), registry=path), KEY
    )

    outside = "\n".join(words_outside_of_code(body))
    assert "evil" not in outside
    assert "@" not in outside
    assert not re.search(r"(?m)^\s*(/[a-z]|::|##\[)", body)
    assert tags(body) <= {"details", "summary", "code", "sub", "br"}
    marker = read_marker(body)
    assert marker is not None
    assert marker.digest == replace(review.plan, models=(change,)).digest


@given(EVIL)
def test_a_comment_without_a_plan_holds_no_mention_link_or_command(message: str) -> None:
    problem = Problem(Location(f"{message}.yaml", 1, 1), "unknown-key", message, message)

    for body in (no_plan_markdown(KEY, message), no_plan_markdown(KEY, message, [problem] * 30)):
        assert "@" not in "\n".join(words_outside_of_code(body))
        assert tags(body) <= {"code"}


@pytest.fixture(scope="module")
def fleet() -> Review:
    return exhibits.fleet(300)


@pytest.mark.parametrize("limit", [65_536, 40_000, 20_000, 5_000])
def test_a_comment_fits_and_says_what_it_leaves_out(fleet: Review, limit: int) -> None:
    body = markdown(fleet, KEY, limit)

    shown = body.count("| **promote**")
    assert length(body) <= limit
    assert len(body) > limit * 0.7
    hidden = re.search(r"\*\*(\d+) models are left out here", body)
    assert (int(hidden[1]) if hidden else 0) == 300 - shown
    short = re.search(r"Evidence of (\d+) models? (?:is|are) left out", body)
    assert (int(short[1]) if short else 0) == shown - body.count("<details>")


def test_markdown_that_is_printed_fits_a_comment_unless_told_otherwise(fleet: Review) -> None:
    assert length(rendered(fleet, Format.MARKDOWN, KEY)) <= 65_536
    assert rendered(fleet, Format.MARKDOWN, KEY, None).count("| **promote**") == 300


def test_what_drifted_or_went_wrong_stays_where_not_all_models_fit() -> None:
    names = [ModelRef(f"model-{number:04}") for number in range(1000)]
    calm = DriftStatus.PENDING
    drift = Drift(
        RECEIPT.plan.revision,
        "http://mlflow",
        tuple(ModelDrift(name, DriftStatus.DRIFTED if name == names[-1] else calm, why="as it is") for name in names),
    )
    went = [Outcome(name, OutcomeStatus.FAILED if name == names[-1] else OutcomeStatus.APPLIED) for name in names]
    receipt = replace(RECEIPT, outcomes=tuple(went))

    for body in (drift_markdown(drift, 5_000), receipt_markdown(receipt, 5_000)):
        shown = body.count("model-")
        assert length(body) <= 5_000
        assert 50 < shown < 200
        assert names[-1] in body
        assert f"**{1000 - shown} models are left out here**" in body


def test_the_largest_evidence_goes_first() -> None:
    review = exhibits.fleet(3)
    assert review.evidence is not None
    first, second, third = review.evidence.exhibits
    long = replace(second, candidate=replace(second.candidate, params={f"p{n}": "x" * 50 for n in range(200)}))
    review = replace(review, evidence=Evidence(exhibits.NOW, (first, long, third)))

    body = markdown(review, KEY, 9_000)

    assert re.findall(r"<summary><code>(model-\d+)", body) == ["model-000", "model-002"]
    assert "Evidence of 1 model is left out" in body
    assert body.count("| **promote**") == 3


def test_blocked_models_are_left_out_last() -> None:
    pairs = [(want({P: [2]}, name=f"m{n}"), have({1: P, 2: S}, owner=owns(P), name=f"m{n}")) for n in range(60)]
    broken = (want({P: [9]}, name="zz-broken"), have({1: P, 2: A}, owner=owns(P), name="zz-broken"))
    review = Review(exhibits.plan_of(*pairs, broken), exhibits.URI)

    body = markdown(review, KEY, 6_000)

    assert length(body) <= 6_000
    assert "models are left out" in body
    assert "zz-broken" in body
