import json
import signal
import subprocess
import sys
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from pyg_mmea.calibration import Ledger
from pyg_mmea.calibration.ledger import LEDGER_NAME
from pyg_mmea.cli import main
from pyg_mmea.cli.runs import is_training, load_inspector
from pyg_mmea.review import ReviewSession
from pyg_mmea.training import Decision, Decisions
from pyg_mmea.utils.io import file_lock


@pytest.fixture(scope="module")
def folder(quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review") / "run"
    assert main(["train", *quick, f"--out={folder}"]) == 0
    return folder


@pytest.fixture
def session(folder: Path) -> ReviewSession:
    inspector = load_inspector(folder)
    decisions = Decisions(inspector.data, Ledger(folder / LEDGER_NAME))
    return ReviewSession(inspector, decisions, 6)


def test_bad_usage(cli, folder: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ([tmp_path], "is missing"),
        ([folder, "--port", 80], "port"),
        ([folder, "--limit", 0], "limit"),
    ):
        code, out, err = cli("review", *arguments)
        assert code == 2
        assert words in err
        assert "http" not in out


def test_a_taken_port(cli, folder: Path) -> None:
    from pyg_mmea.review.server import _listen

    with _listen(0) as taken:
        port = taken.getsockname()[1]
        code, out, err = cli("review", folder, "--port", port)
    assert (code, out) == (2, "")
    assert f"'port' {port} cannot be used: " in err


def test_without_the_extra(cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("access", "app", "server"):
        monkeypatch.delitem(sys.modules, f"pyg_mmea.review.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "flask", None)
    code, _, err = cli("review", folder)
    assert code == 1
    assert "pip install '.[review]' from a clone" in err
    assert cli("review", "--help")[0] == 0


@pytest.mark.parametrize("screen", [True, False])
def test_browser_is_opened_where_there_is_a_screen(
    cli, folder: Path, monkeypatch: pytest.MonkeyPatch, screen: bool
) -> None:
    from werkzeug.serving import BaseWSGIServer

    def interrupt(server: BaseWSGIServer) -> None:
        raise KeyboardInterrupt

    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0" if screen else "")
    monkeypatch.setattr(BaseWSGIServer, "serve_forever", interrupt)
    for arguments, expected in ((["--no-browser"], 0), ([], int(screen))):
        code, out, _ = cli("review", folder, *arguments)
        assert code == 0
        assert out.startswith("http://127.0.0.1:")
        assert len(opened) == expected
    # Programs see each other's arguments, so that the token is not among them.
    assert not opened or opened[0] != out.strip()


def test_the_summary_counts_what_changed(
    cli, folder: Path, session: ReviewSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = session.queue[:3]
    session.decisions.record([Decision("reject", first), Decision("reject", third)])

    def serve(session, title, when_used, announce, port, browser):
        assert (title, port, browser) == ("run", 0, False)
        announce("http://here")
        session.decide(Decision("undo", first))
        session.decide(Decision("accept", second))
        assert "--resume' after it does" in when_used()

    monkeypatch.setattr("pyg_mmea.review.server.serve", serve)
    with file_lock(folder / "train"):
        code, out, err = cli("review", folder, "--no-browser", "--limit", 3)
    assert (code, out) == (0, "http://here\n")
    assert err.count("a training of this run is under way and does not see it") == 2
    assert err.startswith("3 of ")
    assert "1 accepted, 0 rejected, 1 earlier decisions undone: a training" in err
    session.decisions.record([Decision("undo", second), Decision("undo", third)])


def test_while_a_training_goes_on(cli, folder: Path, session: ReviewSession) -> None:
    before = (folder / "config.yaml").read_bytes()
    assert not is_training(folder)
    with file_lock(folder / "train"):
        assert is_training(folder)
        code, _, err = cli("train", "--out", folder, "--resume", "--epochs", 50)
        assert code == 1
        assert f"another process is training the run in '{folder}'" in err
        uris = [session.inspector.data[s].uri[0] for s in ("source", "target")]
        code, _, err = cli("audit", folder, "--reject", *uris)
        assert code == 0
        assert "a training of this run is under way and does not see it" in err
        assert cli("audit", folder, "--undo", *uris)[0] == 0
    assert not is_training(folder)
    assert (folder / "config.yaml").read_bytes() == before


@pytest.mark.slow
def test_from_the_page_to_the_next_training(cli, folder: Path, session: ReviewSession) -> None:
    """The server as a process of its own, asked as a browser does."""
    command = [sys.executable, "-m", "pyg_mmea", "review", str(folder), "--no-browser"]
    server = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell runs in the background ignores Ctrl-C, and so does what that starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        base = url.split("/?")[0]
        assert base.startswith("http://127.0.0.1:")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        opener.open(url).read()
        (first, second), page = session.queue[:2], opener.open(base).read().decode()
        csrf = page.split('name="csrf" value="')[1].split('"')[0]
        for pair, verdict in ((first, "accept"), (second, "reject")):
            form = {"csrf": csrf, "source": pair[0], "target": pair[1], "verdict": verdict}
            data = urllib.parse.urlencode(form).encode()
            request = urllib.request.Request(f"{base}/decide", data, {"Origin": base})
            assert opener.open(request).status == 200
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=60)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0
    assert "1 accepted, 1 rejected, 0 earlier" in err
    assert f"'pyg-mmea train --out {folder} --resume' uses it" in err
    assert url not in err

    before = json.loads((folder / "result.json").read_text())
    assert cli("train", "--out", folder, "--resume", "--quiet")[0] == 0
    after = json.loads((folder / "result.json").read_text())
    assert after["num_decided_by_hand"] == before["num_decided_by_hand"] + 2
    # A validation link that is decided on was counted before.
    assert after["num_seeds"] - before["num_seeds"] in (0, 1)
    again = load_inspector(folder)
    assert list(first) in again.known.t().tolist()
    assert list(second) not in again.pairs.t().tolist()
    queue = ReviewSession(again, Decisions(again.data, session.decisions.ledger), 1000).queue
    assert first not in queue
    assert second not in queue
