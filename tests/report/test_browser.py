"""What only a browser can tell. It takes the extra 'test' and a Chromium on the PATH."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from torch_geometric.data import HeteroData

from pyg_mmea.report import write_report

HOSTILE = "<img src=http://127.0.0.1:9/a onerror='document.title=1'>\u202e" + "w" * 300


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.mark.slow
def test_page_in_a_browser(browser, run: Path, load, data: HeteroData, tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), "blue").save(tmp_path / "a.png")
    inspector = load(data)
    for side in ("source", "target"):
        data[side].name = [HOSTILE] * data[side].num_nodes
        data[side].image_path = [str(tmp_path / "a.png")] * data[side].num_nodes
    path = write_report(inspector, run, tmp_path / "a.html", num_examples=2, num_errors=2)
    requests: list[str] = []
    messages: list[str] = []
    grounds, strokes = set(), set()
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 640})
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.goto(path.as_uri())
        for details in page.locator("details").all():
            details.evaluate("element => element.open = true")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, f"the page is {width} pixels wide"
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        strokes.add(
            page.locator("svg path[style*='stroke: var(--series-1)']").first.evaluate(
                "element => getComputedStyle(element).stroke"
            )
        )
        loaded = "[...document.images].every(image => image.naturalWidth === 60)"
        assert page.evaluate(loaded)
        assert page.locator("img").count() >= 4
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert page.title() == "PCMEA on FakeMMKG: run"
        context.close()
    assert len(grounds) == len(strokes) == 2
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}
    assert requests.count(path.as_uri()) == 2
    assert messages == []  # such as refusals of the content security policy


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_has_nothing_to_say(
    browser, run: Path, load, data: HeteroData, tmp_path: Path, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    path = write_report(load(data), run, tmp_path / "a.html", num_examples=2, num_errors=2)
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(path.as_uri())
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    assert axe.Axe().run(page).generate_snapshot() == ""
    for place in ("#metrics ~ .columns .scroll", ".pair .scroll"):  # tables that people compare
        tables = page.locator(place)
        assert tables.count() > 0
        cut = "elements => elements.filter((each) => each.scrollWidth > each.clientWidth).length"
        assert tables.evaluate_all(cut) == 0, f"tables in {place} are cut off"
    context.close()
