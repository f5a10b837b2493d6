"""Who may see and do what: only the browser of whoever started the server."""

import secrets

from flask import Flask, Request, Response, abort, request

_POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With 'no-referrer', browsers hide the origin of a form, too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# Not a redirect: a browser that followed the link from another site would withhold the strict
# cookie on it. A refresh starts from this page.
_WELCOME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="0; url=/">
<link rel="icon" href="/static/icon.svg"><title>pyg-mmea review</title></head>
<body><p><a href="/">Continue</a></p></body></html>
"""


class Guard:
    """Guards a server on this machine.

    * Other web pages: the address needs to be that of the server itself, so that no name of theirs
      leads here (DNS rebinding); changes need to come from a page of the server and to carry its
      secret; the cookie is not sent along from elsewhere; no page may frame or read ours.
    * Other users of the machine: the token, which is exchanged for the cookie at the first visit
      and then gone from the address. The arguments of a program are no secret on a machine, so
      that an address that is handed to one holds a ticket, good for one visit.

    Args:
        port (int): Port of the server.
    """

    def __init__(self, port: int) -> None:
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.token = secrets.token_urlsafe(32)
        self.csrf = secrets.token_urlsafe(32)
        self._tickets: set[str] = set()
        # Cookies are shared by all ports of a host.
        self._name, self._cookie = f"pyg_mmea_review_{port}", secrets.token_urlsafe(32)

    @property
    def url(self) -> str:
        """The address that lets browsers in."""
        return f"http://{self.hosts[0]}/?token={self.token}"

    def issue_ticket(self) -> str:
        """Returns an address that lets a browser in once."""
        ticket = secrets.token_urlsafe(32)
        self._tickets.add(ticket)
        return f"http://{self.hosts[0]}/?token={ticket}"

    def protect(self, app: Flask) -> None:
        """Checks every request to an application, and gives every answer its headers."""
        app.before_request(self._check)
        app.after_request(self._finish)

    def _check(self) -> Response | None:
        host = request.headers.get("Host", "")
        if host not in self.hosts:
            abort(403, "This server answers at 127.0.0.1 only.")
        if request.path == "/" and "token" in request.args:
            if not (_same(request.args["token"], self.token) or self._tear_off()):
                abort(403, "This address is out of date; open the one that was printed last.")
            return self._let_in()
        if not _same(request.cookies.get(self._name, ""), self._cookie):
            abort(403, "Open the address that 'pyg-mmea review' printed last.")
        if request.method not in ("GET", "HEAD"):
            self._check_change(request, host)
        return None

    def _check_change(self, request: Request, host: str) -> None:
        if request.headers.get("Origin") != f"http://{host}":
            abort(403, "Decisions are taken on the page of this server only.")
        if not _same(request.form.get("csrf", ""), self.csrf):
            abort(403, "This page is out of date; load it again.")

    def _tear_off(self) -> bool:
        try:
            self._tickets.remove(request.args["token"])
        except KeyError:
            return False
        return True

    def _let_in(self) -> Response:
        response = Response(_WELCOME, mimetype="text/html")
        response.set_cookie(self._name, self._cookie, httponly=True, samesite="Strict")
        return response

    def _finish(self, response: Response) -> Response:
        response.headers.update(_POLICY)
        return response


def _same(given: str, secret: str) -> bool:
    """In constant time; what is given may hold any character."""
    return secrets.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())
