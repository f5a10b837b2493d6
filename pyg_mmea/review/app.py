"""The pages of a review."""

import base64
import logging
from collections.abc import Callable
from importlib import resources

from flask import Flask, Response, abort, redirect, render_template, request, url_for
from jinja2 import StrictUndefined
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from pyg_mmea.inspect import printable
from pyg_mmea.review.access import Guard
from pyg_mmea.review.session import ReviewSession
from pyg_mmea.review.view import last_decision, view_pair
from pyg_mmea.training.decisions import UNDECIDED, VERDICTS, Decision, Pair
from pyg_mmea.typing import SIDES, Side

logger = logging.getLogger(__name__)

_MAX_FORM = 16_000  # bytes
_MAX_NOTE = 1_000  # characters


def create_app(
    session: ReviewSession, guard: Guard, title: str, when_used: Callable[[], str]
) -> Flask:
    """Makes the application; nothing of it works without a page and a cookie of the guard.

    Args:
        session (ReviewSession): The queue.
        guard (Guard): Lets requests in.
        title (str): What is reviewed.
        when_used (Callable): Says when decisions come into use.
    """
    app = Flask(__name__)
    app.config.update(MAX_CONTENT_LENGTH=_MAX_FORM, MAX_FORM_MEMORY_SIZE=_MAX_FORM)
    app.url_map.merge_slashes = False
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters["printable"] = printable
    app.jinja_env.globals.update(
        title=title, csrf=guard.csrf, when_used=when_used, max_note=_MAX_NOTE
    )
    guard.protect(app)
    app.register_error_handler(Exception, _fail)
    pages = _Pages(session)
    for rule, method, view in (
        ("/", "GET", pages.start),
        ("/pair/<int:source>/<int:target>", "GET", pages.show),
        ("/done", "GET", pages.done),
        ("/decide", "POST", pages.decide),
        ("/skip", "POST", pages.skip),
        ("/recall", "POST", pages.recall),
        ("/picture/<any(source, target):side>/<int:entity>", "GET", pages.picture),
        ("/base.css", "GET", pages.base_style),
    ):
        app.add_url_rule(rule, view_func=view, methods=[method])
    return app


class _Pages:
    """Answers requests."""

    def __init__(self, session: ReviewSession) -> None:
        self.session = session

    def start(self) -> BaseResponse:
        return _go(self.session.next_pair())

    def show(self, source: int, target: int) -> str:
        self._check_pair((source, target))
        return self._page((source, target))

    def done(self) -> str:
        return self._page(None)

    def decide(self) -> BaseResponse | tuple[str, int]:
        verdict, seen = request.form.get("verdict"), request.form.get("seen", UNDECIDED)
        note = request.form.get("note", "").strip() or None
        if verdict not in VERDICTS or seen not in VERDICTS or len(note or "") > _MAX_NOTE:
            abort(400, "This is no decision.")
        pair = _pair("source", "target")
        shown = _pair("at_source", "at_target") if "at_source" in request.form else None
        if shown is not None:
            self._check_pair(shown)
        try:
            self.session.decide(Decision(verdict, pair, note, seen))
        except ValueError as error:
            return self._page(shown, f"This was not kept: {printable(str(error))}."), 409
        return _go(pair if verdict == "undo" else self.session.next_pair(shown))

    def skip(self) -> BaseResponse:
        pair = _pair("source", "target")
        self.session.skip(pair)
        return _go(self.session.next_pair(pair))

    def recall(self) -> BaseResponse:
        self.session.recall()
        return _go(self.session.next_pair())

    def picture(self, side: Side, entity: int) -> Response:
        self._check(side, entity)
        image = self.session.inspector.card(side, entity).image
        if image.uri is None:
            abort(404, image.problem)
        kind, _, content = image.uri.removeprefix("data:").partition(";base64,")
        return Response(base64.b64decode(content), mimetype=kind)

    def base_style(self) -> Response:
        """The look that report and review share."""
        file = resources.files("pyg_mmea") / "report" / "templates" / "style.css"
        return Response(file.read_text(encoding="utf-8"), mimetype="text/css")

    def _check(self, side: Side, entity: int) -> None:
        if entity >= self.session.inspector.data[side].num_nodes:
            abort(404, f"There is no {side} entity {entity}.")

    def _check_pair(self, pair: Pair) -> None:
        for side, entity in zip(SIDES, pair, strict=True):
            self._check(side, entity)

    def _page(self, pair: Pair | None, problem: str = "") -> str:
        return render_template(
            "pair.html" if pair else "done.html",
            problem=problem,
            progress=self.session.progress,
            last=last_decision(self.session),
            view=view_pair(self.session, pair) if pair else None,
        )


def _go(pair: Pair | None) -> BaseResponse:
    if pair is None:
        return redirect(url_for("done"), 303)
    return redirect(url_for("show", source=pair[0], target=pair[1]), 303)


def _pair(*names: str) -> Pair:
    """Ids off a form."""
    texts = [request.form.get(name, "") for name in names]
    if not all(text.isascii() and text.isdigit() and len(text) < 16 for text in texts):
        abort(400, "This is no pair.")
    return int(texts[0]), int(texts[1])


def _fail(error: Exception) -> Response:
    """One line of plain text, whatever went wrong."""
    if isinstance(error, HTTPException):
        return Response(str(error.description), error.code, mimetype="text/plain")
    logger.error("%s %s failed: %s", request.method, request.path, error, exc_info=True)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    kept = "This was not kept. " if request.method == "POST" else ""
    return Response(f"{kept}{text}", 500, mimetype="text/plain")
