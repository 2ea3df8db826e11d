"""Who may ask the playground's server, and how much. It listens at 127.0.0.1; what reaches it all the same:

    other users and programs   the address holds 128 random bits; without them there is nothing (404)
    other web pages (CSRF)     Sec-Fetch-Site and Origin must be its own (403), and a question is JSON (415), which a
                               form cannot send; no header allows another origin anything
    other names (rebinding)    Host must be a name of this machine (421), whatever a DNS server calls it
    endless, slow questions    a length is needed (411), at most 64 kB (413); 2 s for each read and 10 s in all

Fetch Metadata Request Headers (W3C); RFC 9110 for the statuses.
"""

import hmac
import io
import json
import re
import time

LONGEST = 64 * 1024  # bytes of a question
SILENCE, WHOLE = 2.0, 10.0  # seconds: of a read; of a request
HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE | re.ASCII)
JSON = "application/json"


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


def route_of(method: str, path: str, headers, secret: str) -> str:
    """What a request asks for: the part of the path behind the secret. Raises Refused if it may not ask.

    A person may follow a link to a page, wherever it stands: the link holds the secret.
    """
    host = headers.get_all("Host", [])
    if len(host) != 1 or not HOST.fullmatch(host[0]):
        raise Refused(421, "this server answers to 127.0.0.1 and localhost only")
    _, given, route = [*path.split("/", 2), "", ""][:3]
    if not hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode()):
        raise Refused(404, "there is nothing here: the whole address is the one that minbert play has printed")
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    link = (method, headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")) == ("GET", "navigate", "document")
    if origin not in (None, f"http://{host[0]}") or not (site in (None, "same-origin", "none") or link):
        raise Refused(403, "other pages may not ask this server")
    return route


def question(headers, stream):
    """What a POST sends, from JSON. Raises Refused for what is no JSON, or too much of it."""
    if headers.get_content_type() != JSON:
        raise Refused(415, f"a question is {JSON}")
    length = headers.get_all("Content-Length", [])
    if not length or "Transfer-Encoding" in headers:
        raise Refused(411, "the length of the question is missing")
    if len(length) > 1 or not re.fullmatch("[0-9]{1,20}", length[0]):
        raise Refused(400, "the length of the question is no number")
    length = int(length[0])
    try:
        if length > LONGEST:
            stream.read(min(length, 16 * LONGEST))  # or the sender would not listen
            raise Refused(413, f"the question is longer than {LONGEST:,} bytes")
        return json.loads(stream.read(length))
    except TimeoutError:
        raise Refused(408, "the question took too long to arrive") from None
    except (ValueError, RecursionError):
        raise Refused(400, "the question is no JSON") from None
