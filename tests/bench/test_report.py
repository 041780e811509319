"""The page: whole by itself, and in a real browser sorted and filtered without a mouse, with nothing to complain
of."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.bench.samples import RUN, SETTINGS, row, timed
from triops.bench.report import to_html
from triops.bench.results import Run

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

VOID = {"meta", "link", "input", "br"}


class Nesting(HTMLParser):
    """Complains where an element is not closed, or an id is there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]


def own_model_run() -> Run:
    sizes = (1, 16, 256)
    seconds = {"numpy": (1e-5, 1e-4, 2e-3), "jax": (1e-4, 1.2e-4, 3e-4)}
    rows = [
        row(
            "mine:model",
            seconds[backend][i],
            10 * i,
            suite="train",
            shape=(size,),
            size=f"batch {size}",
            backend=backend,
        )
        for i, size in enumerate(sizes)
        for backend in ("numpy", "jax")
    ]
    return replace(RUN, rows=tuple(rows), settings=SETTINGS | {"model": "mine:model", "suites": [], "sizes": []})


PAGES: dict[str, Callable[[], str]] = {
    "one": lambda: to_html([RUN]),
    "compared": lambda: to_html([RUN, timed("slow", 1.3, 5)]),
    "model": lambda: to_html([own_model_run()]),
    "threads": lambda: to_html([RUN, replace(timed("one", 1.8, 5), settings=SETTINGS | {"threads": 1})]),
    "sizes": lambda: to_html([replace(RUN, settings=SETTINGS | {"sizes": ["small", "typical"]})]),
}


@cache
def page_of(name: str) -> str:
    return PAGES[name]()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_needs_nothing_else(name: str) -> None:
    page = page_of(name)
    nesting = Nesting()
    nesting.feed(page)
    assert nesting.open == []
    assert len(nesting.ids) == len(set(nesting.ids))
    references = re.findall(r'(?:href|src)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert all(reference.startswith(("#", "data:")) for reference in references)
    assert "@import" not in page
    assert len(page) < 500_000
    for number in range(page.count("<figure ")):
        assert f'id="plot{number}-figure_1"' in page
    assert page.count('role="img"') == page.count("<figure ") > 0
    assert not re.search(r"#0000[0f]\d", page)


def test_what_matters_is_said() -> None:
    assert "digits 4000x288 float32 failed on jax cpu:0: RuntimeError: out of memory" in page_of("one")
    assert "jax cpu:0 is the fastest in the geometric mean" in page_of("one")
    assert re.search(r"<title>relu 4000x288 float32 on numpy cpu:0: [\d.]+ us, ", page_of("one"))
    assert "Some CPU" in page_of("one")
    assert "unavailable" in page_of("one")
    assert "5 slower, of 5 cases" in page_of("compared")
    assert "from a batch of about" in page_of("model")
    assert "Speed by threads" in page_of("threads")
    assert "Share of the ceiling by size" in page_of("sizes")


def test_text_from_a_file_is_no_markup() -> None:
    evil = replace(RUN, machine=RUN.machine | {"os": {"<b>": "<script>alert(1)</script>"}}, name="<i>")
    assert "<script>alert" not in to_html([evil])
    assert "<i>" not in to_html([evil])


# -- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium and its driver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield started
    started.quit()


def opened(browser: Any, tmp_path: Path, name: str, width: int = 1200) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_of(name), encoding="utf-8")
    browser.set_window_size(width, 900)
    browser.get(path.as_uri())


def column(browser: Any, number: int) -> list[str]:
    """The cells of the rows that are shown, of the last table."""
    script = (
        "const tables = document.querySelectorAll('table.sortable');"
        "return [...tables[tables.length - 1].tBodies[0].rows].filter((row) => !row.hidden)"
        ".map((row) => row.cells[arguments[0]].textContent)"
    )
    found: list[str] = browser.execute_script(script, number)
    return found


def test_sorting_and_filtering_by_keyboard(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    opened(browser, tmp_path, "one")
    table = browser.find_elements("css selector", "table.sortable")[-1]
    headings = table.find_elements("css selector", "th")
    names = [heading.text.strip().split("\n")[0] for heading in headings]
    median = names.index("median")
    button = headings[median].find_element("css selector", "button")
    button.send_keys(Keys.ENTER)
    assert headings[median].get_attribute("aria-sort") == "ascending"
    seconds = column(browser, median)
    assert seconds[-1] == "failed"
    assert seconds == sorted(seconds, key=in_seconds)
    button.send_keys(Keys.SPACE)
    assert headings[median].get_attribute("aria-sort") == "descending"
    assert column(browser, median)[:-1] == sorted(seconds[:-1], key=in_seconds, reverse=True)
    form = browser.find_elements("css selector", "form.filters")[-1]
    form.find_element("css selector", "input").send_keys("gelu")
    assert set(column(browser, names.index("case"))) == {"gelu"}
    assert form.find_element("css selector", "output").text == "2 of 6 rows"
    form.find_element("css selector", "select[data-name=backend]").send_keys("jax")
    assert column(browser, names.index("backend")) == ["jax cpu:0"]
    assert browser.get_log("browser") == []


def in_seconds(text: str) -> float:
    if text == "failed":
        return float("inf")
    number, unit = text.split()
    return float(number) * {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[unit]


@pytest.mark.parametrize("name", PAGES)
def test_no_page_complains_or_is_wider_than_a_phone(browser: Any, tmp_path: Path, name: str) -> None:
    opened(browser, tmp_path, name, 500)  # the narrowest that this window can be
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
    )
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser: Any, tmp_path: Path, scheme: str) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    opened(browser, tmp_path, "one")
    style = "getComputedStyle(document.querySelector(arguments[0]))"
    paper = browser.execute_script(f"return {style}.backgroundColor", "body")
    assert (luminance(paper) > 0.5) == (scheme == "light")
    for selector in ("body", "figcaption", ".bad"):
        assert contrast(browser.execute_script(f"return {style}.color", selector), paper) >= 4.5
    fill = browser.execute_script(f"return {style}.fill", "figure svg text")
    assert contrast(fill, paper) >= 4.5


def contrast(one: str, other: str) -> float:
    """As the Web Content Accessibility Guidelines define it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
