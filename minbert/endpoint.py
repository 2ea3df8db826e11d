"""Ask a model behind an OpenAI-compatible server: HTTP, with everything that can go wrong with it.

What a server or the network does wrong is one UserError. The key goes nowhere but into the header of a request to that
server: no redirect is followed, no proxy stands between this machine and itself, and what comes back is handed on
without the key.
"""

import email.utils
import http.client
import ipaddress
import json
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping

import minbert
from minbert import completions
from minbert.completions import ROUTES, Answer
from minbert.errors import UserError
from minbert.jsonfile import quoted

KEYS = ("MINBERT_ENDPOINT_KEY", "OPENAI_API_KEY")  # environment variables; the first that is set counts
TRIES = 5  # of one question
LONGEST = 120  # seconds of waiting between the tries of one question
MOST = 10_000_000  # bytes of an answer
PASSING = (429, 500, 502, 503, 504)  # statuses that may pass by themselves
SHORT = 8  # letters; a shorter key may be part of a word
BASE = "--endpoint is an address such as https://host/v1 or http://localhost:8080/v1"


class Cut(Exception):
    """The connection broke off in the middle; the next one may not."""


class AsItIs(urllib.request.HTTPErrorProcessor):
    """Every answer is handed over, whatever its status: no redirect is followed and nothing is raised."""

    def http_response(self, request, response):
        return response

    https_response = http_response


def read_key(environment: Mapping) -> tuple[str, str]:
    """The key and the variable that holds it; ("", "") for none. Raises UserError, without the key, if it can be none.

    MINBERT_ENDPOINT_KEY counts even if it is empty: then no key is sent.
    """
    variable = next((name for name in KEYS if name in environment), "")
    key = environment.get(variable, "").strip()
    if re.search(r"[^!-~]", key):
        raise UserError(f"the key in {variable} holds a space or another character that no key has")
    return key, variable * bool(key)


class Endpoint:
    """A server, and a model behind it.

    url            the address before the routes, such as https://host/v1
    key, variable  as read_key gives them
    api            a key of ROUTES, or "auto": completions, or chat where there is no such route
    timeout        seconds in which an answer must be there
    say            is called with a sentence before each wait
    sleep          is called with the seconds to wait
    Raises UserError for an address that is none, and for a key that would go over the network unencrypted.
    """

    def __init__(
        self, url: str, model: str, key: str = "", variable: str = "", api: str = "auto", timeout: float = 60.0,
        say: Callable = print, sleep: Callable = time.sleep,
    ):  # fmt: skip
        self.url, self.host, self.local = check_url(url)
        if key and not self.local and not self.url.startswith("https:"):
            advice = f"use https://, or set {KEYS[0]} to nothing to send no key"
            raise UserError(f"the key in {variable} would go to {self.host} unencrypted: {advice}")
        self.model, self.api, self.timeout, self.say, self.sleep = model, api, timeout, say, sleep
        self.variable, self._key, self._missing, self._no_figures = variable, key, "", False
        direct = [urllib.request.ProxyHandler({})] if self.local else []
        self._opener = urllib.request.build_opener(AsItIs, *direct)

    def ask(self, prompt: str, top: int = 5) -> Answer:
        """What the model writes after the prompt, with the `top` likeliest tokens at each place. Raises UserError."""
        api = "completions" if self.api == "auto" else self.api
        where = self.url + ROUTES[api]
        fields = completions.question(api, self.model, prompt, 0 if self._no_figures else top)
        status, headers, body = self._insist(where, json.dumps(fields).encode())
        if self.api == "auto" and status in (404, 405):
            self.api, self._missing = "chat", f", and before that {where} ({status}{self._quote(body)})"
            return self.ask(prompt, top)
        if status in (400, 422) and "logprobs" in body and top <= 5 and not self._no_figures:  # more may be too many
            self._no_figures = True
            self.say(f"{where}: no log-probabilities ({status}{self._quote(body)}); asking without them")
            return self.ask(prompt, top)
        found = self._understand(where, status, headers, body)
        self.api = api
        try:
            return completions.answer(found)
        except ValueError as error:
            raise UserError(f"{where}{self._quote(body) or f': {quoted(str(error), 200)}'}") from None

    def _insist(self, where, question):
        """Post until the answer is not one that passes by itself: (status, headers, body)."""
        waited = 0.0
        for tries in range(1, TRIES + 1):
            told = None
            try:
                status, headers, body = self._post(where, question)
                if status not in PASSING or "insufficient_quota" in body:  # an empty account does not fill by itself
                    return status, headers, body
                told = retry_after(headers.get("Retry-After"))
                failed = f"{where}: {status} {http.client.responses[status]}{self._quote(body)}"
            except Cut as cut:
                failed = f"{where}: {cut}"
            wait = 2.0 ** (tries - 1) if told is None else told
            if tries == TRIES:
                break
            if waited + wait > LONGEST:
                longer = f"the next wait is {wait:.0f} s, and minbert waits {LONGEST} s in all"
                raise UserError(f"{failed}; {longer}: try again later")
            self.say(f"{failed}; waiting {wait:.0f} s before try {tries + 1} of {TRIES}")
            self.sleep(wait)
            waited += wait
        raise UserError(f"{failed}; the same {TRIES} times, with {waited:.0f} s of waiting: try again later")

    def _post(self, where, question):
        """One request: (status, headers, body as text). Raises Cut, or UserError where another try would not help."""
        headers = {"Content-Type": "application/json", "User-Agent": f"minbert/{minbert.__version__}"}
        request = urllib.request.Request(where, question, headers)
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        ends, body = time.monotonic() + self.timeout, b""
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                while piece := response.read1(1 << 16):
                    body += piece
                    if len(body) > MOST:
                        raise UserError(f"{where} sends more than {MOST:,} bytes, which is no answer to a question")
                    if time.monotonic() > ends:
                        raise TimeoutError
                if response.length:
                    raise http.client.IncompleteRead(body, response.length)
                return response.status, response.headers, body.decode("utf-8", errors="replace")
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise self._failure(where, error.reason if isinstance(error, urllib.error.URLError) else error) from None

    def _failure(self, where, error):
        """What to raise for an error of the network, in words."""
        if isinstance(error, TimeoutError):
            return UserError(f"{where}: no answer in {self.timeout:g} s; --endpoint_timeout gives it more")
        if isinstance(error, ConnectionRefusedError):
            return UserError(f"nothing answers at {self.host} (connection refused): does the server run?")
        if isinstance(error, (socket.gaierror, UnicodeError)):
            return UserError(f"there is no host {self.host}, or no network to find it ({error})")
        if isinstance(error, ssl.SSLError):
            why = getattr(error, "verify_message", "") or error.reason or "unknown reason"
            advice = "if the certificate is your own server's, name its file in SSL_CERT_FILE"
            return UserError(f"no secure connection to {self.host} ({why}): {advice}")
        if isinstance(error, (http.client.IncompleteRead, ConnectionError)):
            return Cut(f"the connection broke off ({type(error).__name__})")
        if isinstance(error, http.client.HTTPException):
            return UserError(f"what answers at {self.host} is no web server ({type(error).__name__})")
        return UserError(f"{where}: {quoted(self._clean(str(error)), 200)}")

    def _understand(self, where, status, headers, body):
        """The JSON of an answer, without the key. Raises UserError if it is none, or if the status is no success."""
        quote = self._quote(body)
        if status in (401, 403):
            refused = f"refuses the key in {self.variable}" if self._key else f"wants a key: put it into {KEYS[0]}"
            raise UserError(f"{where}: the server {refused} ({status}{quote})")
        if status in (404, 405):
            raise UserError(f"{where}: no such route or model ({status}{quote}){self._missing}; {BASE}")
        if 300 <= status < 400:
            target = quoted(self._clean(headers.get("Location", "").partition("?")[0]), 200)
            raise UserError(
                f"{where} sends on to {target} ({status}); minbert follows no redirect: name the new address"
            )
        if not 200 <= status < 300:
            raise UserError(f"{where}: the server refuses this ({status}{quote})")
        if body.lstrip()[:1] == "<":
            raise UserError(f"{where} is a web page, not an API; {BASE}")
        try:
            found = self._clean(json.loads(body))
        except (ValueError, RecursionError):
            raise UserError(f"{where} answers with {len(body):,} characters that are no JSON") from None
        if isinstance(found, dict) and found.get("error"):
            raise UserError(f"{where}: the server has failed{quote}")
        return found

    def _quote(self, body):
        """: 'what the server says of an error', shortened, with control characters escaped; nothing if it is silent"""
        try:
            found = self._clean(json.loads(body))
        except (ValueError, RecursionError):
            found = "" if body.lstrip()[:1] in ("<", "{", "[") else self._clean(body)
        if isinstance(found, dict):
            found = found.get("error") or found.get("message") or found.get("detail")
        text = found.get("message") if isinstance(found, dict) else found
        return f": {quoted(text, 200)}" if text else ""

    def _clean(self, found):
        """JSON, with [key] where a text holds the key."""
        if isinstance(found, dict):
            return {self._clean(name): self._clean(value) for name, value in found.items()}
        if isinstance(found, list):
            return [self._clean(value) for value in found]
        if isinstance(found, str) and self._key:
            before, after = ("", "") if len(self._key) >= SHORT else (r"(?<!\w)", r"(?!\w)")
            return re.sub(before + re.escape(self._key) + after, "[key]", found)
        return found


def check_url(url: str) -> tuple[str, str, bool]:
    """An address -> it without a slash at its end, its host and port, and whether that is this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or re.search("[^!-~]", url):
        raise UserError(BASE)
    if parts.username is not None or "?" in url or "#" in url:
        raise UserError(f"--endpoint is an address without a name, a ? or a #; a key goes into {KEYS[0]}")
    url = url.rstrip("/")
    for route in sorted(ROUTES.values(), key=len, reverse=True):
        if url.endswith(route):
            raise UserError(f"--endpoint is the address before the route: {url.removesuffix(route)}")
    try:
        return url, parts.netloc, ipaddress.ip_address(host).is_loopback
    except ValueError:
        return url, parts.netloc, host == "localhost"


def retry_after(header: str | None) -> float | None:
    """Retry-After, as seconds or as a date -> seconds; None if it is missing or means nothing (RFC 9110, 10.2.3)."""
    header = (header or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", header):
        return float(header)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
