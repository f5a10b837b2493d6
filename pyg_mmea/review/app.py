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
from pyg_mmea.training.decisions import VERDICTS, Decision, Pair

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
    guard.protect(app)

    def page(pair: Pair | None, problem: str = "") -> str:
        return render_template(
            "pair.html" if pair else "done.html",
            title=title,
            csrf=guard.csrf,
            problem=problem,
            progress=session.progress,
            last=last_decision(session),
            when_used=when_used(),
            max_note=_MAX_NOTE,
            view=view_pair(session, pair) if pair else None,
        )

    def onward(pair: Pair | None) -> BaseResponse:
        where = url_for("done") if pair is None else url_for("show", source=pair[0], target=pair[1])
        return redirect(where, 303)

    @app.get("/")
    def start() -> BaseResponse:
        return onward(session.next_pair())

    @app.get("/pair/<int:source>/<int:target>")
    def show(source: int, target: int) -> str:
        try:
            return page((source, target))
        except ValueError as error:
            abort(404, str(error))

    @app.get("/done")
    def done() -> str:
        return page(None)

    @app.post("/decide")
    def decide() -> BaseResponse | tuple[str, int]:
        verdict, seen = request.form.get("verdict"), request.form.get("seen", "undo")
        note = request.form.get("note", "").strip() or None
        if verdict not in VERDICTS or seen not in VERDICTS or len(note or "") > _MAX_NOTE:
            abort(400, "This is no decision.")
        pair = _pair("source", "target")
        shown = _pair("at_source", "at_target") if "at_source" in request.form else None
        try:
            session.decide(Decision(verdict, pair, note, seen))
        except ValueError as error:
            return page(shown, f"This was not kept: {printable(str(error))}."), 409
        return onward(pair if verdict == "undo" else session.next_pair(shown))

    @app.post("/skip")
    def skip() -> BaseResponse:
        pair = _pair("source", "target")
        session.skip(pair)
        return onward(session.next_pair(pair))

    @app.post("/recall")
    def recall() -> BaseResponse:
        session.recall()
        return onward(session.next_pair())

    @app.get("/picture/<any(source, target):side>/<int:entity>")
    def picture(side: str, entity: int) -> Response:
        try:
            image = session.inspector.card(side, entity).image  # type: ignore[arg-type]
        except ValueError as error:
            abort(404, str(error))
        if image.uri is None:
            abort(404, image.problem)
        kind, _, content = image.uri.removeprefix("data:").partition(";base64,")
        return Response(base64.b64decode(content), mimetype=kind)

    @app.get("/base.css")
    def base_style() -> Response:
        file = resources.files("pyg_mmea") / "report" / "templates" / "style.css"
        return Response(file.read_text(encoding="utf-8"), mimetype="text/css")

    app.register_error_handler(Exception, _fail)
    return app


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
