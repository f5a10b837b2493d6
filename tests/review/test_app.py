import io
import threading
from html.parser import HTMLParser

import pytest
from PIL import Image

from pyg_mmea.review.access import Guard
from pyg_mmea.review.app import create_app
from pyg_mmea.training import Decision

PORT = 5000
BASE = f"http://127.0.0.1:{PORT}"


@pytest.fixture
def guard():
    return Guard(PORT)


@pytest.fixture
def app(session, guard):
    return create_app(session, guard, "<b>run</b>", lambda: "'train' uses it")


@pytest.fixture
def stranger(app):
    """A client without a cookie."""
    return app.test_client()


@pytest.fixture
def client(app, guard):
    client = app.test_client()
    assert client.get("/", query_string={"token": guard.token}, base_url=BASE).status_code == 200
    return client


def page_of(pair):
    return f"/pair/{pair[0]}/{pair[1]}"


def get(client, path, **kwargs):
    return client.get(path, base_url=BASE, **kwargs)


def post(client, guard, path, origin=BASE, csrf=None, base_url=BASE, **form):
    headers = {} if origin is None else {"Origin": origin}
    form = {"csrf": guard.csrf if csrf is None else csrf, **form}
    return client.post(path, base_url=base_url, headers=headers, data=form)


def decide(client, guard, pair, verdict="accept", **more):
    at = {"at_source": pair[0], "at_target": pair[1]}
    form = {"source": pair[0], "target": pair[1], "verdict": verdict, **at, **more}
    return post(client, guard, "/decide", **form)


def test_token_becomes_a_cookie(stranger, guard):
    response = get(stranger, "/", query_string={"token": guard.token})
    assert response.status_code == 200
    assert guard.token not in response.text
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"pyg_mmea_review_{PORT}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert guard.token not in cookie
    assert 'content="0; url=/"' in response.text
    response = get(stranger, "/")
    assert response.status_code == 303
    assert response.headers["Location"].startswith("/pair/")


def test_a_ticket_is_good_once(app, stranger, guard):
    ticket = guard.issue_ticket().removeprefix(BASE)
    assert guard.token not in ticket
    assert get(stranger, ticket).status_code == 200
    assert get(stranger, "/done").status_code == 200
    other = app.test_client()
    assert get(other, ticket).status_code == 403
    assert get(other, "/done").status_code == 403
    assert get(other, guard.url.removeprefix(BASE)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/done", "/pair/0/0", "/picture/source/0", "/base.css"])
def test_nothing_without_the_cookie(stranger, guard, path):
    assert get(stranger, path).status_code == 403
    for token in ("", "wrong", guard.csrf, f"{guard.token}x", "é", "\udcff"):
        response = stranger.get(f"{path}?token={token!a}", base_url=BASE)
        assert response.status_code == 403
        assert "Set-Cookie" not in response.headers
    stranger.set_cookie(f"pyg_mmea_review_{PORT}", "é" * 43, domain="127.0.0.1")
    assert get(stranger, path).status_code == 403
    assert get(stranger, "/static/review.js").status_code == 403
    assert post(stranger, guard, "/skip", source=0, target=0).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", f"127.0.0.1:{PORT + 1}", f"evil.example:{PORT}", ""]
)
def test_other_names_for_this_machine(client, guard, session, host):
    """As a page does that lets its own name lead here (DNS rebinding)."""
    for path in ("/", "/pair/0/0", f"/?token={guard.token}"):
        response = client.get(path, base_url=BASE, headers={"Host": host})
        assert response.status_code == 403
        assert "Set-Cookie" not in response.headers
    s, t = session.queue[0]
    form = {"csrf": guard.csrf, "source": s, "target": t, "verdict": "accept"}
    headers = {"Host": host, "Origin": f"http://{host}"}
    response = client.post("/decide", base_url=BASE, headers=headers, data=form)
    assert response.status_code == 403
    assert session.decisions.in_force() == {}


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", f"https://127.0.0.1:{PORT}", f"http://localhost:{PORT}"],
)
def test_decisions_come_from_our_pages(client, guard, session, origin):
    assert decide(client, guard, session.queue[0], origin=origin).status_code == 403
    assert session.decisions.in_force() == {}


@pytest.mark.parametrize("csrf", ["", "wrong", "é"])
def test_decisions_carry_the_secret_of_the_page(client, guard, session, csrf):
    pair = session.queue[0]
    assert decide(client, guard, pair, csrf=csrf).status_code == 403
    form = {"source": pair[0], "target": pair[1], "verdict": "accept"}
    headers = {"Origin": BASE}
    assert client.post("/decide", base_url=BASE, headers=headers, data=form).status_code == 403
    assert client.get("/decide", base_url=BASE, query_string=form).status_code == 405
    assert session.decisions.in_force() == {}


def test_localhost_is_this_machine(app, guard, session):
    client, base = app.test_client(), f"http://localhost:{PORT}"
    client.get("/", query_string={"token": guard.token}, base_url=base)
    s, t = session.queue[0]
    form = {"source": s, "target": t, "verdict": "accept"}
    assert post(client, guard, "/decide", base, base_url=base, **form).status_code == 303


def test_headers(client, stranger):
    for response in (
        get(client, "/pair/0/0"),
        get(client, "/nothing"),
        get(client, "/static/review.js"),
        get(stranger, "/"),
    ):
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "same-origin"
        assert response.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "path",
    [
        "/picture/source/../../../../etc/passwd",
        "/picture/source/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/picture//etc/passwd",
        "/picture/anchor/0",
        "/picture/source/-1",
        "/picture/source/1000000",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2fetc%2fpasswd",
        "/pair/0/1000000",
        "/pair/-1/0",
        "/pair/a/b",
    ],
)
def test_no_way_to_other_files(client, path):
    response = get(client, path)
    assert response.status_code == 404
    assert response.mimetype == "text/plain"
    assert "root:" not in response.text


def test_pictures(client, inspector, finished):
    data = inspector.data
    sides = [(side, i) for side in ("source", "target") for i in range(4)]
    seen = 0
    for side, entity in sides:
        response = get(client, f"/picture/{side}/{entity}")
        path = data[side].image_path[entity]
        if path is None:
            assert response.status_code == 404
            continue
        assert response.mimetype == "image/jpeg"
        with Image.open(path) as original, Image.open(io.BytesIO(response.data)) as shown:
            assert shown.size == original.size
            assert shown.format == "JPEG"  # packed anew, the file is a PNG
        seen += 1
    assert seen == 4


class Tags(HTMLParser):
    """Collects tags and texts as a browser would see them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data):
        self.texts.append(data)


def test_names_stay_text(client, guard, session, inspector):
    pair = session.queue[0]
    decide(client, guard, pair, "reject", note="</textarea><script>window.hacked=1</script>")
    for path in (page_of(pair), "/done"):
        page = get(client, path).text
        found = Tags(page)
        assert "onerror" not in found.attributes
        assert page.count("<script") == 1  # ours
        assert "<b>run" not in page
        assert "49" not in " ".join(found.texts).replace("{{ 7 * 7 }}", "").split()
        assert "\u202e" not in page
    text = "".join(Tags(get(client, page_of(pair)).text).texts)
    for wanted in (inspector.label("source", pair[0]), inspector.data["target"].uri[pair[1]]):
        assert wanted in text
    assert "<script>window.hacked=1</script>{{ 7 * 7 }}" in text
    assert "</textarea><script>window.hacked=1</script>" in text


def test_the_truth_is_not_told(client, inspector, session):
    for pair in session.queue:
        evidence = inspector.pair(*pair)
        page = get(client, page_of(pair)).text
        words = {word.strip(" .,") for word in " ".join(Tags(page).texts).split()}
        assert words.isdisjoint({"test", "val", "wrong", "unknown", "truth"} | {evidence.truth})


def test_decisions_are_on_disk_before_the_next_pair(client, guard, session, ledger):
    first, second, third = session.queue[:3]
    response = decide(client, guard, first, "accept", seen="undo", note=" same ")
    assert (response.status_code, response.headers["Location"]) == (303, page_of(second))
    entry = ledger.read()[-1]
    assert (entry["decision"], tuple(entry["pair"]), entry["note"]) == ("accept", first, "same")
    response = decide(client, guard, second, "reject")
    assert response.headers["Location"] == page_of(third)
    assert "note" not in ledger.read()[-1]
    page = get(client, page_of(second)).text
    assert ">rejected<" in page
    assert "2 of 6 settled, 4 left" in page
    response = decide(client, guard, second, "undo", seen="reject")
    assert response.headers["Location"] == page_of(second)
    assert list(session.decisions.in_force()) == [first]


def test_another_counterpart(client, guard, session):
    pair = session.queue[0]
    target, _ = session.alternatives(pair)[0]
    response = decide(client, guard, (pair[0], target), at_source=pair[0], at_target=pair[1])
    assert response.headers["Location"] == page_of(session.queue[1])
    assert list(session.decisions.in_force()) == [(pair[0], target)]
    page = get(client, page_of(pair)).text
    assert "This pair cannot be accepted" in page
    response = decide(client, guard, pair)
    assert response.status_code == 409
    assert "This was not kept" in response.text


def test_what_was_seen_counts(client, guard, session, ledger):
    pair = session.queue[0]
    assert decide(client, guard, pair, "accept").status_code == 303
    num = ledger.num_entries
    assert decide(client, guard, pair, "accept").status_code == 303  # sent twice
    assert ledger.num_entries == num
    response = decide(client, guard, pair, "reject")
    assert response.status_code == 409
    assert "have been accepted meanwhile" in response.text
    assert 'id="accept"' in response.text  # the pair is there again
    assert ledger.num_entries == num
    assert session.decisions.verdict(pair) == "accept"


def test_skip_and_recall(client, guard, session, ledger):
    num = ledger.num_entries
    for pair in session.queue:
        response = post(client, guard, "/skip", source=pair[0], target=pair[1])
    assert response.headers["Location"] == "/done"
    page = get(client, "/done").text
    assert "Only skipped pairs are left" in page
    assert "&#39;train&#39; uses it" in page
    assert get(client, "/").headers["Location"] == "/done"
    response = post(client, guard, "/recall")
    assert response.headers["Location"] == page_of(session.queue[0])
    assert ledger.num_entries == num
    session.decisions.record([Decision("reject", pair) for pair in session.queue])
    assert "No pair is left" in get(client, "/done").text


@pytest.mark.parametrize(
    "form",
    [
        {"verdict": "maybe"},
        {"seen": "maybe"},
        {"source": "-1"},
        {"source": "\u0663"},
        {"target": ""},
        {"target": "1" * 20},
        {"at_source": "x"},
        {"at_source": "999999", "target": "999999"},
        {"at_target": "999999"},
        {"note": "x" * 1001},
    ],
)
def test_what_is_no_decision(client, guard, session, form):
    assert decide(client, guard, session.queue[0], **{"verdict": "accept", **form}).status_code in (
        400,
        404,
        409,
    )
    assert session.decisions.in_force() == {}


def test_large_forms_are_refused(client, guard, session):
    response = decide(client, guard, session.queue[0], note="x" * 100_000)
    assert response.status_code == 413
    assert session.decisions.in_force() == {}


def test_failures_are_told(client, guard, session, monkeypatch):
    def fail(decision):
        raise OSError("No space left\non <device>")

    monkeypatch.setattr(session, "decide", fail)
    response = decide(client, guard, session.queue[0])
    assert response.status_code == 500
    assert response.mimetype == "text/plain"
    assert response.text == "This was not kept. OSError: No space left on <device>"


def test_tabs_that_decide_at_once(app, guard, session, ledger):
    """Each pair by three clients with different verdicts: one is kept, the others are told."""
    codes = []

    def go(verdict):
        client = app.test_client()
        client.get("/", query_string={"token": guard.token}, base_url=BASE)
        codes.extend(decide(client, guard, pair, verdict).status_code for pair in session.queue)

    threads = [threading.Thread(target=go, args=(v,)) for v in ("accept", "reject", "reject")]
    before = ledger.num_entries
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(codes) == 18
    assert set(codes) <= {303, 409}
    assert ledger.num_entries - before == len(session.decisions.in_force()) == 6
