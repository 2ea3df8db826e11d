"""The playground's server: one page and its questions, on this machine alone.

It listens at 127.0.0.1, and knows no files, only routes. Who asks it must have come from its own page:

    other programs of this machine   the address holds 128 random bits; without them there is nothing (404)
    other web pages (CSRF)           Sec-Fetch-Site and Origin must be its own (403), and a question is JSON (415), which
                                     a form cannot send; no header allows another origin anything
    other names for it               Host must be a name of this machine (421), whatever a DNS server says it is called
    endless or slow questions        a length is needed (411), at most 64 kB (413); 2 s for each read and 10 s in all;
                                     8 connections at once; one question at a time reaches the model, the others wait
                                     for 10 s (503)

Nothing is written down: no texts, no addresses. The names are those of Fetch Metadata (W3C) and RFC 9110.
"""

import hmac
import io
import json
import os
import re
import secrets
import socketserver
import sys
import threading
import time
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from minbert.errors import UserError
from minbert.pages.html import Page

HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE | re.ASCII)
LONGEST = 64 * 1024  # bytes of a question
SILENCE, WHOLE, WAIT, SEND = 2.0, 10.0, 10.0, 30.0  # seconds: of a read; of a request; for the model; of an answer
CONNECTIONS = 8
VIEWS = 4  # pages that were made last; others are forgotten
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"


class Refused(Exception):
    """A request that gets no answer: its status, and why, in words."""


class Patient(io.RawIOBase):
    """What a connection sends, for someone who waits SILENCE for each piece and WHOLE for all. Raises TimeoutError."""

    def __init__(self, connection):
        self.connection, self.ends = connection, time.monotonic() + WHOLE

    def readable(self):
        return True

    def readinto(self, buffer):
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(min(SILENCE, left))
        return self.connection.recv_into(buffer)


class Server(socketserver.ThreadingTCPServer):
    """page: the Page at its address; ask: (route, fields of the question) -> what is answered as JSON, or a Page, which
    gets an address of its own. ask raises UserError for what the person can put right, KeyError for an unknown route.

    Raises UserError for a port that is taken. port 0: any that is free
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # elsewhere another program could take the port over

    def __init__(self, page: Page, ask: Callable, port: int):
        try:
            super().__init__(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"port {port} cannot be used ({reason}): choose another with --port") from None
        self.ask, self.secret = ask, secrets.token_urlsafe(16)
        self.pages = {"": page}  # what stands behind the secret: its own page, and the views
        self.model, self.seats = threading.Lock(), threading.BoundedSemaphore(CONNECTIONS)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{self.secret}/"

    def keep(self, page: Page) -> str:
        """Give a page an address, relative to the server's."""
        name = f"view-{secrets.token_urlsafe(16)}"
        for old in [*self.pages][1 : len(self.pages) + 1 - VIEWS]:
            self.pages.pop(old, None)
        self.pages[name] = page
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
            tell(error)


def tell(error: BaseException) -> None:
    """Say in the terminal where minbert has failed, but not with which words: they may hold a text."""
    where = "".join(traceback.format_tb(error.__traceback__))
    print(f"{type(error).__name__} in\n{where}", file=sys.stderr, end="", flush=True)


class Handler(BaseHTTPRequestHandler):
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
            status, kind, body = 200, *find(self.check())
        except Refused as refused:
            status, why = refused.args
            kind, body = (JSON, json.dumps({"error": why})) if self.command == "POST" else (TEXT, f"{why}\n")
        self.send(status, kind, body)

    def check(self) -> str:
        """The route that a request asks for. Raises Refused if it may not ask."""
        host = self.headers.get_all("Host", [])
        if len(host) != 1 or not HOST.fullmatch(host[0]):
            raise Refused(421, "this server answers to 127.0.0.1 and localhost only")
        _, secret, route = [*self.path.split("/", 2), "", ""][:3]
        if not hmac.compare_digest(secret.encode("utf-8", "replace"), self.server.secret.encode()):
            raise Refused(404, "there is nothing here: the whole address is the one that minbert play has printed")
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site")
        where = self.headers.get("Sec-Fetch-Mode"), self.headers.get("Sec-Fetch-Dest")
        link = self.command == "GET" and where == ("navigate", "document")  # someone who knows the address follows it
        if origin not in (None, f"http://{host[0]}") or not (site in (None, "same-origin", "none") or link):
            raise Refused(403, "other pages may not ask this server")
        return route

    def show(self, route):
        """A page."""
        if route not in self.server.pages:
            raise Refused(404, "there is no such page; of attention views, the last ones are kept: make it once more")
        return HTML, self.server.pages[route]

    def answer(self, route):
        """The answer to a question."""
        if self.headers.get_content_type() != JSON:
            raise Refused(415, "a question is application/json")
        given = self.read()
        if not self.server.model.acquire(timeout=WAIT):
            raise Refused(503, "the model is at work for another question: ask again in a moment")
        try:
            found, refused = self.compute(route, given)
        finally:
            self.server.model.release()
        if refused:
            raise refused
        if isinstance(found, Page):
            found = {"page": self.server.keep(found)}
        return JSON, json.dumps(found, allow_nan=False)

    def compute(self, route, given):
        """The answer, or what refuses it. When this returns, no tensor is left that the thread would have to free."""
        try:
            return self.server.ask(route, given), None
        except UserError as error:
            return None, Refused(400, str(error))
        except Exception as error:
            tell(error)
            return None, Refused(500, f"minbert has failed ({type(error).__name__}): where, the terminal says")

    def read(self):
        """The question, from JSON."""
        length = self.headers.get_all("Content-Length", [])
        if not length or "Transfer-Encoding" in self.headers:
            raise Refused(411, "the length of the question is missing")
        if len(length) > 1 or not re.fullmatch("[0-9]{1,20}", length[0]):
            raise Refused(400, "the length of the question is no number")
        length = int(length[0])
        try:
            if length > LONGEST:
                self.rfile.read(min(length, 16 * LONGEST))  # or the sender would not listen
                raise Refused(413, f"the question is longer than {LONGEST:,} bytes")
            return json.loads(self.rfile.read(length))
        except TimeoutError:
            raise Refused(408, "the question took too long to arrive") from None
        except (ValueError, RecursionError):
            raise Refused(400, "the question is no JSON") from None

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
