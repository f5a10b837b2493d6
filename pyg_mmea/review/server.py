"""Serves a review on this machine."""

import logging
import os
import signal
import socket
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

try:
    from werkzeug.serving import WSGIRequestHandler, make_server

    from pyg_mmea.review.access import Guard
    from pyg_mmea.review.app import create_app
except ImportError as error:
    raise ImportError("The review page needs pip install '.[review]' from a clone") from error
from pyg_mmea.review.session import ReviewSession

_HOST = "127.0.0.1"


class _Quiet(WSGIRequestHandler):
    """Requests are nobody's business, and one of them holds the token."""

    def log(self, type: str, message: str, *args: Any) -> None:
        logging.getLogger(__name__).debug(message, *args)


def serve(
    session: ReviewSession,
    title: str,
    when_used: Callable[[], str],
    announce: Callable[[str], None],
    port: int = 0,
    browser: bool = True,
) -> None:
    """Serves the pages of a review to browsers on this machine until it is interrupted.

    Args:
        session (ReviewSession): The review.
        title (str): What is reviewed.
        when_used (Callable): Says when decisions come into use.
        announce (Callable): Called with the address as soon as it answers.
        port (int): Port of the server; 0 takes any that is free. (default: :obj:`0`)
        browser (bool): Open the address in a browser. (default: :obj:`True`)

    Raises:
        ValueError: If the port is taken.
    """
    with _listen(port) as listener:
        number = listener.getsockname()[1]
        guard = Guard(number)
        app = create_app(session, guard, title, when_used)
        server = make_server(
            _HOST, number, app, threaded=True, request_handler=_Quiet, fd=listener.fileno()
        )
        announce(guard.url)
        if browser and _has_screen():
            webbrowser.open(guard.issue_ticket())
        try:
            with _terminated_like_interrupted():
                server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            server.server_close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    if os.name == "posix":  # a server that was just killed does not keep its port; elsewhere unsafe
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        raise ValueError(f"'port' {port} cannot be used: {error.strerror}") from error
    listener.listen()
    return listener


def _has_screen() -> bool:
    """Browsers in a terminal would take this one."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
