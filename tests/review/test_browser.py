"""The page in a real browser, without a mouse."""

import os
import shutil
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed (on Debian: chromium)", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
expect = sync_api.expect
expect.set_options(timeout=20_000)

from pyg_mmea.training import Decision, Decisions  # noqa: E402  # what takes long last


@pytest.fixture(scope="module")
def browser():
    # Chromium refuses its sandbox to root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def watched(browser):
    """A context that notes requests elsewhere, dialogs and what the console complains of."""
    context = browser.new_context()
    context.set_default_timeout(20_000)
    context.notes = []

    def on_console(message):
        if message.type in ("error", "warning"):
            context.notes.append(message.text)

    def on_request(request):
        if not request.url.startswith("http://127.0.0.1:"):
            context.notes.append(request.url)

    context.on("console", on_console)
    context.on("request", on_request)
    context.on("dialog", lambda dialog: context.notes.append(dialog.message))
    yield context
    context.close()


@pytest.fixture
def page(watched, serve):
    page = watched.new_page()
    page.goto(serve())
    page.wait_for_url("**/pair/*/*")
    return page


def path_of(pair):
    return f"**/pair/{pair[0]}/{pair[1]}"


def press(page, key, then):
    """Presses a key and waits for the page of a pair."""
    page.keyboard.press(key)
    page.wait_for_url(path_of(then))
    # What stands there belongs to it.
    form = page.locator("#decide")
    expect(form.locator("[name=source]")).to_have_value(str(then[0]))


def settle(page):
    """Until an answer is there."""
    expect(page.locator("main")).not_to_have_attribute("aria-busy", "true")


def test_letters_are_enough(page, watched, session, ledger):
    first, second, third, fourth, *_ = session.queue
    verdict = session.decisions.verdict
    assert "token" not in page.url
    expect(page.locator("#question")).to_be_focused()
    press(page, "a", second)
    assert verdict(first) == "accept"  # on disk by now
    expect(page.locator("#status")).to_contain_text("Accepted: ")
    expect(page.locator("#status")).to_contain_text("1 of 6 settled, 5 left")
    expect(page.locator("#question")).to_be_focused()
    press(page, "R", third)
    assert verdict(second) == "reject"
    press(page, "s", fourth)
    assert verdict(third) == "undo"
    expect(page.locator("#count")).to_have_text("2 of 6 settled, 3 left, 1 skipped")
    press(page, "ArrowLeft", third)
    press(page, "ArrowLeft", second)
    expect(page.locator(".verdict")).to_contain_text("rejected")
    press(page, "ArrowRight", third)
    press(page, "u", second)
    assert verdict(second) == "undo"
    expect(page.locator("#status")).to_contain_text("Undone: ")
    press(page, "u", first)
    assert session.decisions.in_force() == {}
    expect(page.locator("#undo")).to_be_disabled()
    page.keyboard.press("u")  # nothing to undo
    page.keyboard.press("Control+a")  # a key of the browser
    press(page, "ArrowRight", second)
    assert [entry["decision"] for entry in ledger.read()[-4:]] == [
        "accept",
        "reject",
        "undo",
        "undo",
    ]
    assert watched.notes == []


def test_notes_and_help(page, session):
    first, second, *_ = session.queue
    page.keyboard.press("n")
    expect(page.locator("#note")).to_be_focused()
    page.keyboard.type("a red shoe, us")  # letters are letters here
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("r")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    assert session.decisions.in_force() == {}
    press(page, "a", second)
    assert session.decisions.in_force()[first]["note"] == "a red shoe, us"
    expect(page.locator("#note")).to_have_value("")
    # Whoever speaks to the machine can switch the letters off.
    page.keyboard.press("?")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_url(path_of(second))
    page.keyboard.press("r")
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(page.url)
    assert session.decisions.verdict(second) == "undo"


def test_tab_and_enter_are_enough(page, session):
    first, second, third, *_ = session.queue
    target, _ = session.alternatives(first)[0]
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "other-1":
            break
    press(page, "Enter", second)
    assert session.decisions.verdict((first[0], target)) == "accept"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "reject":
            break
    press(page, "Enter", third)
    expect(page.locator("#reject")).to_be_focused()  # where it was
    assert session.decisions.verdict(second) == "reject"


def test_digits_accept_another_counterpart(page, session):
    first, second, *_ = session.queue
    target, _ = session.alternatives(first)[1]
    press(page, "2", second)
    assert list(session.decisions.in_force()) == [(first[0], target)]
    press(page, "ArrowLeft", first)
    expect(page.locator("#accept")).to_be_disabled()
    page.keyboard.press("a")
    press(page, "u", (first[0], target))
    assert session.decisions.in_force() == {}


def test_until_nothing_is_left(page, session):
    queue = session.queue
    for pair in queue[1:]:
        press(page, "r", pair)
    page.keyboard.press("s")
    page.wait_for_url("**/done")
    expect(page.locator("#question")).to_have_text("Only skipped pairs are left")
    page.locator("#recall").press("Enter")
    page.wait_for_url(path_of(queue[-1]))
    expect(page.locator("#accept")).to_be_enabled()
    page.keyboard.press("a")
    page.wait_for_url("**/done")
    expect(page.locator("#question")).to_have_text("No pair is left")
    expect(page.locator("main")).to_contain_text("'train' uses it")
    assert len(session.decisions.in_force()) == 6
    press(page, "u", queue[-1])


def test_reload_and_back(page, session):
    _, second, third, *_ = session.queue
    press(page, "a", second)
    page.reload()
    page.wait_for_url(path_of(second))
    expect(page.locator("#last")).to_contain_text("Last decision: accepted")
    press(page, "r", third)
    page.go_back()
    page.wait_for_url(path_of(second))
    expect(page.locator(".verdict")).to_contain_text("rejected")
    assert [entry["decision"] for entry in session.decisions.in_force().values()] == [
        "accept",
        "reject",
    ]


def test_two_tabs(page, watched, session, ledger):
    first, second, third, *_ = session.queue
    other = watched.new_page()
    other.goto(page.url)
    expect(other.locator("#question")).to_be_focused()
    press(page, "a", second)
    num = ledger.num_entries
    other.keyboard.press("r")
    expect(other.get_by_role("alert").last).to_contain_text("have been accepted meanwhile")
    assert ledger.num_entries == num
    expect(other.locator(".verdict")).to_contain_text("accepted")
    press(other, "ArrowRight", second)
    press(other, "r", third)
    page.keyboard.press("r")  # the same again is no conflict
    page.wait_for_url(path_of(third))
    assert ledger.num_entries == num + 1
    assert list(session.decisions.in_force()) == [first, second]


def test_an_error_keeps_the_pair(page, session, monkeypatch):
    first, second, *_ = session.queue

    def fail(decision):
        raise OSError("No space left on device")

    monkeypatch.setattr(session, "decide", fail)
    page.locator("#note").fill("why")
    page.locator("#accept").press("Enter")
    expect(page.locator("#problem")).to_contain_text("not kept. OSError: No space left on device")
    page.wait_for_url(path_of(first))
    settle(page)
    assert session.decisions.in_force() == {}
    monkeypatch.undo()
    page.locator("#accept").press("Enter")
    page.wait_for_url(path_of(second))
    expect(page.locator("#problem")).to_be_empty()
    assert session.decisions.in_force()[first]["note"] == "why"


def test_names_do_nothing(page, session, hostile):
    for pair in session.queue[1:]:
        assert hostile in page.locator("#question").inner_text()
        assert hostile in page.title()
        assert page.evaluate("window.hacked") is None
        assert page.locator("main script, main [onerror]").count() == 0
        press(page, "a", pair) if pair[0] % 2 else press(page, "r", pair)
        assert hostile in page.locator("#status").inner_text()
    page.locator("details summary").first.press("Enter") if page.locator("details").count() else 0
    assert page.evaluate("window.hacked") is None


def test_pictures_are_there(page, session, inspector):
    pair = next(
        (s, t)
        for s, t in session.queue
        if inspector.card("source", s).image.uri and inspector.card("target", t).image.uri
    )
    page.goto(page.url.split("/pair/")[0] + f"/pair/{pair[0]}/{pair[1]}")
    page.wait_for_load_state("networkidle")
    widths = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
    assert len(widths) >= 2
    assert set(widths) == {40}


def test_without_scripts(browser, serve, session):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(serve())
    page.wait_for_url(path_of(session.queue[0]))
    page.locator("#accept").press("Enter")
    page.wait_for_url(path_of(session.queue[1]))
    assert session.decisions.verdict(session.queue[0]) == "accept"
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_has_nothing_to_say(browser, serve, session, scheme, width):
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}, reduced_motion="reduce"
    )
    page = context.new_page()

    def check(what):
        settle(page)
        found = axe.Axe().run(page)
        assert found.generate_snapshot() == "", what
        too_wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not page.evaluate(too_wide), what

    page.goto(serve())
    page.wait_for_url(path_of(session.queue[0]))
    check("a pair")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    check("help")
    page.keyboard.press("Escape")
    session.decisions.record([Decision("accept", session.queue[0])])
    page.keyboard.press("r")
    expect(page.locator(".problem")).to_be_visible()
    check("a conflict")
    session.decisions.record([Decision("reject", pair) for pair in session.queue[1:]])
    page.goto(page.url.split("/pair/")[0] + "/done")
    check("the end")
    context.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, port):
    command = [sys.executable, "-m", "pyg_mmea", "review", str(folder), "--no-browser"]
    command += ["--port", str(port), "--limit", "6"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    assert urlsplit(url).port == port
    return server, url


@pytest.mark.slow
def test_a_killed_server_loses_nothing(watched, run_folder, inspector, ledger):
    port = free_port()
    decisions = Decisions(inspector.data, ledger)
    server, url = start(run_folder, port)
    try:
        page = watched.new_page()
        page.goto(url)
        page.wait_for_url("**/pair/*/*")
        expect(page.locator("#question")).to_be_focused()
        for number, key in enumerate("ar", 1):
            page.keyboard.press(key)
            expect(page.locator("#count")).to_contain_text(f"{number} of 6 settled")
        server.kill()
        server.wait()
        assert [e["decision"] for e in decisions.in_force().values()] == ["accept", "reject"]
        question = page.locator("#question").inner_text()
        page.keyboard.press("a")
        expect(page.locator("#problem")).to_contain_text("The server does not answer")
        assert page.locator("#question").inner_text() == question
        assert len(decisions.in_force()) == 2
        server, url = start(run_folder, port)
        settle(page)
        page.keyboard.press("a")  # the page of the server that is gone
        expect(page.locator("#problem")).to_contain_text("Open the address")
        assert len(decisions.in_force()) == 2
        page.goto(url)
        page.wait_for_url("**/pair/*/*")
        expect(page.locator("#last")).to_contain_text("Last decision: rejected")
        page.keyboard.press("u")
        expect(page.locator("#last")).to_contain_text("Last decision: accepted")
        assert [e["decision"] for e in decisions.in_force().values()] == ["accept"]
    finally:
        server.kill()
        server.wait()
