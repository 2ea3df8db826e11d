"""A server on this machine that speaks the OpenAI protocol, and whatever else it is told to say."""

import json
import math
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Reply(NamedTuple):
    """What a server answers: body is JSON, text or bytes.

    how  "cut": half of the body, then the end; "drip": a letter now and then, for ever; "hold": nothing, for ever;
         "drop": not even a status; "noise": no HTTP
    """

    status: int = 200
    body: object = b""
    headers: tuple = ()
    how: str = "whole"


def completion(text, *steps):
    """The answer of /completions; a step: {token: probability}, whose first token was taken. No steps: no figures."""
    tops = [{token: math.log(p) for token, p in step.items()} for step in steps]
    tokens = [next(iter(step)) for step in steps]
    logs = {"tokens": tokens, "token_logprobs": [top[token] for token, top in zip(tokens, tops)], "top_logprobs": tops}
    return Reply(body={"object": "text_completion", "choices": [{"text": text, "logprobs": logs if steps else None}]})


def chat(text, *steps):
    """The same of /chat/completions."""
    content = []
    for step in steps:
        top = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in step.items()]
        content.append(top[0] | {"top_logprobs": top})
    logs = {"content": content, "refusal": None} if steps else None
    message = {"role": "assistant", "content": text}
    return Reply(body={"object": "chat.completion", "choices": [{"message": message, "logprobs": logs}]})


def failure(status, message, headers=(), **more):
    """An error as OpenAI's servers put it."""
    return Reply(status, {"error": {"message": message, "type": "made_up"} | more}, headers)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), json.loads(body)))
        replies = self.server.replies.get(self.path, [failure(404, "unknown route")])
        self.send(replies.pop(0) if len(replies) > 1 else replies[0])

    do_GET = do_CONNECT = lambda self: self.server.requests.append((self.path, dict(self.headers), self.command))

    def send(self, reply):
        body = reply.body
        if not isinstance(body, bytes):
            body = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.close_connection = True
        if reply.how == "hold":
            self.server.over.wait()
        if reply.how in ("hold", "drop"):
            return
        if reply.how == "noise":
            self.wfile.write(b"SSH-2.0-made-up\r\n")
            return
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", "Content-Length": len(body) + 10**6 * (reply.how == "drip")}
        for name, value in (headers | dict(reply.headers)).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if reply.how == "cut" else body)
        while reply.how == "drip" and not self.server.over.wait(0.02):
            try:
                self.wfile.write(b" ")
            except OSError:  # whoever asked is gone
                return

    def log_message(self, *_):
        pass


@contextmanager
def fleet(monkeypatch):
    """A context of servers(completions=[Reply, ...], chat=[...]) -> a new server, with neither proxy nor key around.

    The last reply is for ever. requests: [(path, headers, JSON)], as they came.
    """
    for name in ("http_proxy", "https_proxy", "all_proxy", "MINBERT_ENDPOINT_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    started = []

    def start(**replies):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.requests, server.over = [], threading.Event()
        server.replies = {f"/v1/{'chat/' * (name == 'chat')}completions": some for name, some in replies.items()}
        server.url = f"http://localhost:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((server, thread))
        return server

    try:
        yield start
    finally:
        for server, thread in started:
            server.over.set()
            server.shutdown(), thread.join(), server.server_close()


def free_port():
    """A port at which nothing answers."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
