"""The page that a reviewer opens, to the letter; and what holds for it whatever is in it."""

import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise

import pytest

from reconciler.core.review import Review
from reconciler.core.text import clean
from reconciler.render.html import html_page, link
from tests import exhibits
from tests.exhibits import NASTY, NASTY_NAME
from tests.golden.test_golden import check

SCENES: dict[str, Callable[[], Review]] = {
    "a-better-version": exhibits.better,
    "a-breaking-signature": exhibits.breaking_signature,
    "missing-evidence": exhibits.missing_evidence,
    "no-evidence-at-all": exhibits.no_evidence_at_all,
    "different-datasets": exhibits.different_datasets,
    "no-incumbent": exhibits.no_incumbent,
    "a-blocked-plan": exhibits.blocked,
    "in-sync": exhibits.in_sync,
    "hostile-evidence": exhibits.hostile,
    "refused-by-gates": exhibits.gated,
}

WHOLE = {"a-better-version", "hostile-evidence"}
"""The pages that are kept to the letter: one with all that a page can have, and one that tries to break out. Of the
others, what can be read."""


def many() -> Review:
    """More models than are shown opened up."""
    return exhibits.fleet(12)


ALL = [*SCENES.values(), many]
VOID = {"meta", "link", "br"}


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text that can be read in it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.mark.parametrize("title", SCENES)
def test_a_review_as_a_page(title: str, update_golden: bool) -> None:
    page = html_page(SCENES[title]())

    # How it looks is the same for all, and looked at in a browser: story/test_page_in_browser.py.
    page = re.sub(r"(?s)<style>.*</style>", "<style>…</style>", page)
    if title in WHOLE:
        check(f"page-{title}.html", page, update_golden)
    else:
        check(f"page-{title}.txt", re.sub(r"\s*\n\s*", "\n", Page(page).text).strip() + "\n", update_golden)


@pytest.mark.parametrize("scene", ALL)
def test_a_page_is_well_formed_and_names_its_parts(scene: Callable[[], Review]) -> None:
    page = Page(html_page(scene()))

    assert page.open == []
    identifiers = page.attributes("id")
    assert len(identifiers) == len(set(identifiers))
    named = {word for attribute in page.attributes("aria-labelledby") for word in attribute.split()}
    within = {href.removeprefix("#") for href in page.attributes("href") if href.startswith("#")}
    assert named | within <= set(identifiers)
    assert all(attributes.get("scope") in {"col", "row"} for attributes in page.all("th"))
    assert all("aria-hidden" in a or (a["role"], "aria-labelledby" in a) == ("img", True) for a in page.all("svg"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("scene", ALL)
def test_a_page_fetches_nothing_and_runs_nothing(scene: Callable[[], Review]) -> None:
    text = html_page(scene())
    page = Page(text)

    assert {"script", "img", "iframe", "object", "embed", "form", "base", "b"}.isdisjoint(
        tag for tag, _ in page.elements
    )
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.attributes("src") == page.attributes("srcset") == page.attributes("style") == []
    assert [a["href"] for a in page.all("link")] == ["data:,"]
    assert not re.search(r"url\(|@import", text.split("</style>")[0])
    assert all(a["href"].startswith(("#", "https://")) for a in page.all("a"))
    assert all("noopener" in a["rel"] for a in page.all("a") if not a["href"].startswith("#"))


@pytest.mark.parametrize("scene", ALL)
def test_a_page_has_no_character_that_a_reader_would_not_see(scene: Callable[[], Review]) -> None:
    hidden = {c for c in html_page(scene()) if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}

    assert hidden <= {"\n"}


def test_names_that_try_to_break_out_are_shown_as_they_are() -> None:
    page = Page(html_page(exhibits.hostile()))

    assert page.text.count(clean(NASTY)) > 20
    assert clean(NASTY_NAME) in page.text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "//x.example", "https://x.example/ y", 'https://x/"', "https://"]
)
def test_only_an_address_of_the_web_is_a_link(url: str) -> None:
    assert link(url) == ""
    assert link("https://mlflow.acme.example/#/experiments/7/runs/1?o=2") != ""


def test_the_page_of_many_models_stays_small_enough_to_open() -> None:
    page = html_page(exhibits.fleet(300))

    assert len(page) < 3_000_000
    assert 'id="m300"' in page


def test_the_template_comes_with_the_package() -> None:
    folder = resources.files("reconciler.render")

    assert all((folder / name).is_file() for name in ("page.html.jinja", "page.css"))
