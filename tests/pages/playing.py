"""A playground that serves, and how to ask it."""

import http.client
import json
import threading
from contextlib import contextmanager

from minbert.pages.server import Server


@contextmanager
def serving(playground):
    """A server of a playground, in a thread."""
    with Server(playground.page(), playground.ask, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def request(server, method="POST", path="", body=None, headers=None, secret=None):
    """(status, headers, body) of a request.

    path: behind the secret; body: of a POST, bytes or what becomes JSON; headers that are None are left out
    """
    host, port = server.server_address
    if method != "POST":
        body = None
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    sent = {"Host": f"{host}:{port}"}
    if method == "POST":
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        connection._encode_request = lambda line: line.encode("latin-1")  # it would refuse what an attacker may send
        connection.putrequest(method, f"/{server.secret if secret is None else secret}/{path}", True, True)
        for name, value in (sent | (headers or {})).items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def ask(server, route, **fields):
    """The answer to a question, or the message that refuses it."""
    status, _, body = request(server, path=route, body=fields)
    found = json.loads(body)
    return found if status == 200 else found["error"]
