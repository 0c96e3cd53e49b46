"""
The page of a review in a real browser: what it looks like at a desk and on a phone, in the light and in the dark, and
that nothing in it fetches, runs or runs over. `--update-golden` takes the pictures of the documentation anew.
"""

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from reconciler.core.review import Review
from reconciler.core.text import clean
from reconciler.render.html import html_page, overview_page
from tests import exhibits
from tests.exhibits import NASTY, NASTY_NAME
from tests.golden.test_overview import scene as slots
from tests.story.browser import FAINT_TEXT, TOO_WIDE, Browser, chromium

IMAGES = Path(__file__).parents[2] / "docs" / "images"
VIEWS = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"), (360, "light"))


def many() -> Review:
    """More models than are shown opened up."""
    return exhibits.fleet(12)


SCENES: tuple[Callable[[], Review], ...] = (
    exhibits.better,
    exhibits.breaking_signature,
    exhibits.missing_evidence,
    exhibits.different_datasets,
    exhibits.no_incumbent,
    exhibits.blocked,
    exhibits.hostile,
    exhibits.crowded,
    many,
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser that these tests share."""
    with chromium(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def page(tmp_path: Path) -> Callable[[Review], Path]:
    """Writes a review to a file, as CI does for its artifacts."""

    def write(review: Review) -> Path:
        path = tmp_path / "review.html"
        path.write_text(html_page(review), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
def test_the_page_of_slots_fits_and_can_be_read(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    path = tmp_path / "status.html"
    path.write_text(overview_page(slots()), encoding="utf-8")

    browser.open(path, width=width, scheme=scheme)

    assert browser.ask("return document.documentElement.scrollWidth") == width
    assert browser.ask(TOO_WIDE) == []
    read, faint = browser.ask(FAINT_TEXT)
    assert read > 40
    assert faint == []
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize("scene", SCENES)
def test_a_page_fits_and_can_be_read(
    browser: Browser, page: Callable[[Review], Path], scene: Callable[[], Review], width: int, scheme: str
) -> None:
    path = page(scene())

    browser.open(path, width=width, scheme=scheme)
    browser.ask("document.querySelectorAll('details').forEach(details => details.open = true)")

    assert browser.ask("return document.documentElement.scrollWidth") == width
    assert browser.ask(TOO_WIDE) == []
    read, faint = browser.ask(FAINT_TEXT)
    assert read > 40
    assert faint == []
    assert browser.ask("return matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]


@pytest.mark.parametrize("width", [360, 390])
def test_a_phone_shows_gates_and_metrics_without_scrolling_sideways(
    browser: Browser, page: Callable[[Review], Path], width: int
) -> None:
    browser.open(page(exhibits.gated()), width=width)

    assert browser.ask(HIDDEN) == []
    assert (
        browser.ask("return [...document.querySelectorAll('.slot')].filter(e => e.getClientRects().length > 1)") == []
    )


HIDDEN = """
return [...document.querySelectorAll(".gates, .metrics")].map(table => table.closest(".scroll"))
  .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.getAttribute("aria-label"));
"""


def test_names_that_try_to_break_out_are_text_and_nothing_else(
    browser: Browser, page: Callable[[Review], Path]
) -> None:
    browser.open(page(exhibits.hostile()))

    for tag in ("script", "img", "iframe", "object", "b", "form"):
        assert browser.ask(f"return document.getElementsByTagName('{tag}').length") == 0
    text = browser.ask("return document.body.innerText")
    # Runs of spaces are one on a screen.
    assert re.sub(" +", " ", clean(NASTY)) in text
    assert clean(NASTY_NAME) in text
    assert browser.ask("return [...document.links].filter(a => !/^(https?|file):$/.test(a.protocol)).length") == 0
    assert browser.ask("return getComputedStyle(document.body).direction") == "ltr"


def test_the_policy_of_the_page_stops_what_would_fetch_or_run(
    browser: Browser, page: Callable[[Review], Path], tmp_path: Path
) -> None:
    written = page(exhibits.better()).read_text(encoding="utf-8")
    smuggled = (
        "<script>document.title = 'ran'</script><img src='https://x.invalid/1'><link rel=stylesheet href='x.css'>"
    )
    (tmp_path / "smuggled.html").write_text(written.replace("<main", f"{smuggled}<main", 1), encoding="utf-8")

    browser.open(tmp_path / "smuggled.html")

    assert browser.ask("return document.title").startswith("Ready")
    assert len([told for told in browser.complaints() if "Content Security Policy" in told]) == 3


def test_sections_open_with_scripts_off(tmp_path: Path, page: Callable[[Review], Path]) -> None:
    script = tmp_path / "script.html"
    script.write_text("<title>off</title><script>document.title = 'on'</script>", encoding="utf-8")
    with chromium(tmp_path / "profile", scripts=False) as browser:
        browser.open(script)
        assert browser.driver.title == "off"
        browser.open(page(many()))
        find = browser.driver.find_element
        moves = find(By.CSS_SELECTOR, "#m3 .moves")
        shut = moves.is_displayed()

        find(By.CSS_SELECTOR, "article:nth-of-type(3) > details > summary").click()
        opened = moves.is_displayed()
        find(By.LINK_TEXT, "model-007").click()
        followed = find(By.CSS_SELECTOR, "#m8 .moves").is_displayed()

    assert (shut, opened, followed) == (False, True, True)


def test_everything_is_printed(browser: Browser, page: Callable[[Review], Path]) -> None:
    path = page(many())
    browser.open(path)

    on_screen = browser.ask("return document.documentElement.scrollHeight")
    browser.emulate(media="print")
    on_paper = browser.ask("return document.documentElement.scrollHeight")

    assert on_paper > 3 * on_screen


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("review-page", 1280, "light"),
        ("review-page-dark", 1280, "dark"),
        ("review-page-phone", 390, "light"),
    ],
)
def test_a_picture_of_the_page(
    browser: Browser, page: Callable[[Review], Path], update_golden: bool, name: str, width: int, scheme: str
) -> None:
    browser.open(page(exhibits.one_promotion()), width=width, scheme=scheme)

    picture = browser.picture()

    if update_golden:
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / f"{name}.png").write_bytes(picture)
    assert struct.unpack(">II", picture[16:24])[0] == width
    assert struct.unpack(">II", picture[16:24])[1] > 1000
    assert len(picture) > 50_000
