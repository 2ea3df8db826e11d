"""The playground's server: a page and the questions that it asks, on this machine alone.

It knows no files, only routes. Nothing is written down: no texts, no addresses. Who may ask stands in guards.py. Of all
connections 8 are open, the others wait; one question at a time reaches the model, the others wait for 10 s (503).
"""

import io
import json
import os
import secrets
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from minbert.errors import UserError
from minbert.pages.guards import JSON, Patient, Refused, question, route_of
from minbert.pages.html import Page

CONNECTIONS = 8
WAIT, SEND = 10.0, 30.0  # seconds: for the model; for the reader of an answer
VIEWS = 4  # pages that were made last; those before are forgotten
HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server(socketserver.ThreadingTCPServer):
    """Serves one page and its questions, until `serve_forever` is interrupted.

    page  the Page at `address`
    ask   (route, fields of the question) -> the answer: anything that JSON can say, or a Page, which gets an address of
          its own. Raises UserError with a message for the person who asked
    port  0: any that is free
    say   is called with where minbert has failed
    Raises UserError for a port that is taken.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere another program could take the port over

    def __init__(self, page: Page, ask: Callable, port: int, say: Callable[[str], None] = print):
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except OSError as error:
            raise UserError(f"port {port} cannot be used ({error.strerror}): choose another with --port") from None
        self.ask, self.say, self.secret = ask, say, secrets.token_urlsafe(16)
        self.pages = {"": page}  # what stands behind the secret: its own page, and the views
        self.model, self.seats = threading.Lock(), threading.BoundedSemaphore(CONNECTIONS)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{self.secret}/"

    def keep(self, page: Page) -> str:
        """Give a page an address, relative to the server's."""
        name = f"view-{secrets.token_urlsafe(16)}"
        self.pages[name] = page
        for old in [*self.pages][1:-VIEWS]:
            del self.pages[old]
        return name

    def process_request(self, request, client_address):
        self.seats.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self.seats.release()
            raise

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.seats.release()

    def handle_error(self, request, client_address):
        """A connection that broke off is no news."""
        if not isinstance(error := sys.exc_info()[1], OSError):
            self.say(where(error))


class Handler(BaseHTTPRequestHandler):
    """A connection: one request, one answer."""

    server_version, sys_version = "minbert", ""

    def setup(self):
        super().setup()
        self.rfile.close()
        self.rfile = io.BufferedReader(Patient(self.connection))

    def do_GET(self):
        self.reply(self.show)

    def do_POST(self):
        self.reply(self.answer)

    def reply(self, find):
        try:
            status, kind, body = 200, *find(route_of(self.command, self.path, self.headers, self.server.secret))
        except Refused as refused:
            status, why = refused.args
            kind, body = (JSON, json.dumps({"error": why})) if self.command == "POST" else (TEXT, f"{why}\n")
        self.send(status, kind, body)

    def show(self, route):
        """A page."""
        if (page := self.server.pages.get(route)) is None:
            raise Refused(404, "there is no such page; of attention views, the last ones are kept: make it once more")
        return HTML, page

    def answer(self, route):
        """The answer to a question."""
        given = question(self.headers, self.rfile)
        if not self.server.model.acquire(timeout=WAIT):
            raise Refused(503, "the model is at work for another question: ask again in a moment")
        try:
            found, refused = self.compute(route, given)
            if isinstance(found, Page):
                found = {"page": self.server.keep(found)}
        finally:
            self.server.model.release()
        if refused:
            raise refused
        return JSON, json.dumps(found, allow_nan=False)

    def compute(self, route, given):
        """The answer, or what refuses it. Then the thread has no tensor left to free: see commands/play.py."""
        try:
            return self.server.ask(route, given), None
        except UserError as error:
            return None, Refused(400, str(error))
        except Exception as error:
            self.server.say(where(error))
            return None, Refused(500, f"minbert has failed ({type(error).__name__}): where, the terminal says")

    def send(self, status, kind, body):
        policy = "default-src 'none'"
        if isinstance(body, Page):
            policy, body = body.policy, body.text
        body = body.encode()
        self.connection.settimeout(SEND)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", f"{policy}; frame-ancestors 'none'")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code, message=None, explain=None):
        """What http.server itself refuses, such as a line that is no request."""
        self.send(code, TEXT, "this is no request that this server knows\n")

    def log_message(self, *words):
        """Nothing is written down."""


def where(error: BaseException) -> str:
    """Where minbert has failed, but not with which words: they may hold a text."""
    return f"{type(error).__name__} in\n{''.join(traceback.format_tb(error.__traceback__))}"
