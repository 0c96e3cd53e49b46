"""A headless Chromium that tells what a page did: what it asked for, what it complained about, what is to be seen."""

import base64
import json
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)
HEIGHT = 900

# The text that can be read, with the ratio of WCAG 2 between its colour and what is behind it, where that is too low.
FAINT_TEXT = """
const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
const seen = colour => colour.length >= 3 && (colour.length < 4 || colour[3] > 0);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const colour = rgb(getComputedStyle(e).backgroundColor);
    if (seen(colour)) return colour;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const faint = [];
let read = 0;
while (walker.nextNode()) {
  const node = walker.currentNode, element = node.parentElement;
  if (!node.data.trim() || ["title", "desc"].includes(element.tagName) || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const ink = light(rgb(element.closest("svg") ? style.fill : style.color)), ground = light(behind(element));
  const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
  read += 1;
  if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${node.data.trim().slice(0, 40)}`);
}
return [read, faint];
"""
TOO_WIDE = """
const edge = document.documentElement.clientWidth;
return [...document.body.querySelectorAll("*")]
  .filter(e => !e.closest(".scroll") && !e.closest(".skip") && !e.closest("svg"))
  .filter(e => e.getBoundingClientRect().right > edge + 1)
  .map(e => `${e.tagName}.${e.className}: ${e.textContent.trim().slice(0, 40)}`);
"""


@dataclass(slots=True)
class Browser:
    """One browser; `open` shows a page the way a reader's settings would."""

    driver: Chrome

    def open(self, page: Path, *, width: int = 1280, scheme: str = "light") -> None:
        """Show a page at some width, in the light or in the dark; what was said of the page before is forgotten."""
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self._tell("Emulation.setDeviceMetricsOverride", size)
        self.emulate(scheme=scheme)
        self.driver.get("about:blank")
        self.requests()
        self.complaints()
        self.driver.get(page.as_uri())

    def emulate(self, *, media: str = "screen", scheme: str = "light") -> None:
        """Show what is shown on another medium, or in other colours."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._tell("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def requests(self) -> list[str]:
        """What was asked for since the last time, page and all."""
        messages = [json.loads(cast("str", entry["message"]))["message"] for entry in self._log("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if url != "about:blank"]

    def complaints(self) -> list[str]:
        """What the console says since the last time."""
        return [str(entry["message"]) for entry in self._log("browser")]

    def ask(self, script: str) -> Any:
        """What a script answers, run from outside: the page itself may run none."""
        return self.driver.execute_script(script)  # pyright: ignore[reportUnknownMemberType]  # untyped

    def picture(self, most: int = 4000) -> bytes:
        """The page from its top, at most so many pixels high, as a PNG."""
        width, height = self.ask("const e = document.documentElement; return [e.clientWidth, e.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, most), "scale": 1}
        answer = self._tell("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        return base64.b64decode(answer["data"])

    def _tell(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = self.driver.execute_cdp_cmd(command, arguments)  # pyright: ignore[reportUnknownMemberType]  # untyped
        return cast("dict[str, Any]", answer)

    def _log(self, kind: str) -> list[dict[str, object]]:
        return cast("list[dict[str, object]]", self.driver.get_log(kind))  # pyright: ignore[reportUnknownMemberType]


@contextmanager
def chromium(profile: Path, *, scripts: bool = True) -> Generator[Browser]:
    """A browser with a profile of its own; skips the test where there is none."""
    binary, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromedriver are not both on the PATH")
    options = ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    if not scripts:
        blocked = {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", blocked)  # pyright: ignore[reportUnknownMemberType]  # untyped
    chrome = Chrome(options, Service(driver))
    try:
        yield Browser(chrome)
    finally:
        chrome.quit()
