"""A server that speaks the OpenAI protocol: what is sent, how answers are read, what is said of each failure.

The servers are real ones, on this machine; waiting is only counted.
"""

import math
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.request
from types import SimpleNamespace

import pytest

from minbert import UserError, completions, endpoint
from minbert.endpoint import LONGEST, TRIES, Endpoint, read_key
from tests.servers import Reply, chat, completion, failure, fleet, free_port

KEY = "sk-made+up/key=1234"
STEP = {" positive": 0.75, " negative": 0.2, " a": 0.05}
GOOD = completion(" positive", STEP)


@pytest.fixture
def servers(monkeypatch):
    with fleet(monkeypatch) as start:
        yield start


@pytest.fixture
def ask(servers):
    """ask(*replies) -> what came of one question: answer or error, and what was said, waited and received."""

    def ask(*replies, chat=(), key=KEY, **options):
        server = servers(completions=list(replies), **({"chat": list(chat)} if chat else {}))
        if not replies:
            del server.replies["/v1/completions"]
        done = SimpleNamespace(said=[], slept=[], answer=None, error="", server=server)
        options = {"timeout": 30.0, "say": done.said.append, "sleep": done.slept.append} | options
        top = options.pop("top", 3)
        one = Endpoint(server.url, "some-model", key, "OPENAI_API_KEY" * bool(key), **options)
        try:
            done.answer = one.ask("A film. It was", top)
        except UserError as error:
            done.error = str(error)
        shown = "\n".join([done.error, *done.said, repr(done.answer), repr(one)])
        assert KEY not in shown and "\n" not in done.error
        done.one, done.requests = one, server.requests
        return done

    return ask


# What is sent, and how the answer is read


def test_a_question_and_its_answer(ask):
    done = ask(completion("\n positive.", {"\n": 0.9, " positive": 0.1}, STEP, {".": 0.5}))
    [(path, headers, said)] = done.requests
    assert path == "/v1/completions" and headers["Authorization"] == f"Bearer {KEY}"
    assert said == {
        **{"model": "some-model", "prompt": "A film. It was", "temperature": 0, "logprobs": 3},
        "max_tokens": completions.TOKENS,
    }
    assert done.answer.text == "\n positive." and done.one.api == "completions"
    assert [step.token for step in done.answer.steps] == ["\n", " positive", "."]
    assert [step.log_p for step in done.answer.steps] == [math.log(0.9), math.log(0.75), math.log(0.5)]
    assert done.answer.steps[1].top == [(token, math.log(p)) for token, p in STEP.items()]


def test_the_other_route_is_taken_where_the_first_is_missing(ask):
    for missing in ([], [Reply(405)]):
        done = ask(*missing, chat=[chat(" positive", STEP)])
        assert [path for path, _, _ in done.requests] == ["/v1/completions", "/v1/chat/completions"]
        said = done.requests[1][2]
        assert said["messages"] == [{"role": "user", "content": "A film. It was"}] and "prompt" not in said
        assert (said["logprobs"], said["top_logprobs"]) == (True, 3)
        assert done.answer.steps == [(" positive", math.log(0.75), [(t, math.log(p)) for t, p in STEP.items()])]
        done.one.ask("again")
        assert done.requests[2][0] == "/v1/chat/completions" and done.one.api == "chat"


def test_a_route_that_was_chosen_is_the_only_one(ask):
    done = ask(GOOD, chat=[chat("x", {"x": 1.0})], api="chat")
    assert [path for path, _, _ in done.requests] == ["/v1/chat/completions"]
    done = ask(chat=[GOOD], api="completions")
    assert [path for path, _, _ in done.requests] == ["/v1/completions"] and "404" in done.error


def test_the_answer_of_chat_is_understood_on_the_first_route(ask):
    """As llama.cpp gives it."""
    logs = chat("", STEP).body["choices"][0]["logprobs"]
    done = ask(Reply(body={"choices": [{"text": " positive", "logprobs": logs}]}))
    assert done.answer.steps[0].top[1] == (" negative", math.log(0.2)) and done.one.api == "completions"


def test_the_token_that_was_taken_is_among_the_likeliest(ask):
    body = completion("c", {"a": 0.6, "b": 0.3}).body
    body["choices"][0]["logprobs"] |= {"tokens": ["c"], "token_logprobs": [math.log(0.1)]}
    done = ask(Reply(body=body))
    assert done.answer.steps[0].top == [("a", math.log(0.6)), ("b", math.log(0.3)), ("c", math.log(0.1))]


@pytest.mark.parametrize("reply", [completion("Positive."), chat("Positive.")], ids=["completions", "chat"])
def test_a_server_without_log_probabilities(ask, reply):
    assert ask(reply).answer == ("Positive.", None)


def test_a_server_that_refuses_log_probabilities_is_asked_without(ask):
    refusal = failure(400, "You are not allowed to request logprobs from this model")
    done = ask(refusal, completion("Positive."))
    assert done.answer == ("Positive.", None) and "logprobs" not in done.requests[1][2]
    assert len(done.said) == 1 and "no log-probabilities (400: 'You are not allowed" in done.said[0]
    assert "the server refuses this (400: 'You are" in ask(refusal, GOOD, top=6).error  # six may just be too many


@pytest.mark.parametrize(
    "number", ["0.93", "NaN", "false", '"-1"', "null", "[]"], ids=["positive", "nan", "bool", "text", "null", "list"]
)
def test_a_number_that_is_no_log_probability(ask, number):
    logs = '{"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": [{"a": %s}]}'
    text = f'{{"choices": [{{"text": "a", "logprobs": {logs}}}]}}'
    assert "is no log-probability" in ask(Reply(body=text % number)).error
    assert ask(Reply(body=text % "-Infinity")).answer.steps[0].top == [("a", -math.inf)]


# The key


def test_where_the_key_comes_from():
    assert read_key({}) == ("", "")
    assert read_key({"OPENAI_API_KEY": " a-key\n"}) == ("a-key", "OPENAI_API_KEY")
    assert read_key({"OPENAI_API_KEY": "b", "MINBERT_ENDPOINT_KEY": "a"}) == ("a", "MINBERT_ENDPOINT_KEY")
    assert read_key({"OPENAI_API_KEY": "b", "MINBERT_ENDPOINT_KEY": ""}) == ("", "")
    for wrong in ("two words", "line\nend", "caf\xe9"):
        with pytest.raises(UserError, match="the key in OPENAI_API_KEY holds a space or another") as error:
            read_key({"OPENAI_API_KEY": wrong})
        assert wrong not in str(error.value)


def test_without_a_key_none_is_sent(ask):
    [(_, headers, _)] = ask(GOOD, key="").requests
    assert "Authorization" not in headers


@pytest.mark.parametrize(
    "host", ["http://example.com/v1", "http://127.0.0.1.example.com", "http://10.0.0.1", "HTTP://a.b"]
)
def test_a_key_does_not_go_over_the_network_unencrypted(host):
    with pytest.raises(UserError, match=r"the key in OPENAI_API_KEY would go to .* unencrypted: use https://") as error:
        Endpoint(host, "m", KEY, "OPENAI_API_KEY")
    assert KEY not in str(error.value)
    assert not Endpoint(host, "m").local
    assert not Endpoint(host.lower().replace("http:", "https:"), "m", KEY, "OPENAI_API_KEY").local


@pytest.mark.parametrize(
    "host", ["http://localhost:8080", "http://127.0.0.1/v1", "http://[::1]:80/v1/", "http://127.9.9.9"]
)
def test_this_machine_may_have_it(host):
    assert Endpoint(host, "m", KEY, "OPENAI_API_KEY").local


@pytest.mark.fault("servers: a redirect to another host")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(ask, servers, status):
    """Neither to another host, which would be given the key and the text, nor to another path."""
    other = servers(completions=[GOOD])
    for target in (f"{other.url}/completions?key={KEY}", f"/elsewhere/{KEY}"):
        done = ask(Reply(status, headers=(("Location", target),)))
        shown = target.partition("?")[0].replace(KEY, "[key]")
        assert f"sends on to '{shown}' ({status}); minbert follows no redirect" in done.error
        assert other.requests == [] and len(done.requests) == 1


def test_no_proxy_stands_between_this_machine_and_itself(ask, servers, monkeypatch):
    proxy = servers(completions=[GOOD])
    monkeypatch.setenv("http_proxy", f"http://localhost:{proxy.server_port}")
    assert ask(GOOD).answer.text == " positive" and proxy.requests == []
    with pytest.raises(UserError):  # to other hosts the proxy leads
        Endpoint("http://example.invalid/v1", "m", sleep=lambda _: None, say=lambda _: None).ask("x")
    assert proxy.requests[0][0].startswith("http://example.invalid/v1")


@pytest.mark.fault("servers: a server that sends the key back")
@pytest.mark.parametrize(
    "reply",
    [
        failure(401, f"Incorrect API key provided: {KEY}. You can find yours"),
        failure(400, KEY),
        failure(429, KEY),
        failure(500, f"Bearer{KEY}x"),
        Reply(500, f"trace: Authorization: Bearer {KEY}"),
        Reply(200, f"no JSON but {KEY}"),
        Reply(200, '{"half": "' + KEY.replace("/", "\\/")),
        Reply(400, '{"half": "' + KEY.replace("/", "\\/")),
        Reply(200, {"error": {"message": KEY}}),
        Reply(200, {"error": KEY.split("x")}),
        Reply(200, {KEY: KEY}),
        Reply(200, {"choices": [{"text": "a", "logprobs": {"content": [{"token": "a", "logprob": KEY}]}}]}),
        completion(f"{KEY} {KEY}", {KEY: 0.5, f" {KEY}": 0.25}),
        chat(KEY, {KEY: 0.5}),
        Reply(404, {"detail": KEY}),
    ],
    ids=repr,
)
def test_a_key_that_comes_back_is_not_shown(ask, reply):
    """The fixture looks at everything that is said."""
    done = ask(reply)
    assert done.error or "[key]" in done.answer.text


def test_a_short_key_is_taken_out_of_no_word(ask):
    done = ask(completion("it is it", {"it": 0.5, "sit": 0.25}), key="it")
    assert done.answer.text == "[key] is [key]" and done.answer.steps[0].top[1][0] == "sit"


# Failures


@pytest.mark.fault("servers: a server that refuses")
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (failure(401, "bad key"), "/v1/completions: the server refuses the key in OPENAI_API_KEY (401: 'bad key')"),
        (Reply(403), "the server refuses the key in OPENAI_API_KEY (403)"),
        (failure(400, "no such thing"), "the server refuses this (400: 'no such thing')"),
        (Reply(422, {"detail": [{"loc": ["body"]}]}), "the server refuses this (422: [{'loc': ['body']}])"),
        (Reply(418, "short and stout"), "the server refuses this (418: 'short and stout')"),
        (failure(400, "a\x1b[31m\nb" + "c" * 900), "(400: 'a\\x1b[31m\\nb" + "c" * 100),
        (failure(429, "no money", code="insufficient_quota"), "the server refuses this (429: 'no money')"),
        (Reply(200, {"error": {"message": "overloaded"}}), "the server has failed: 'overloaded'"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else str(value.status),
)
def test_a_server_that_refuses(ask, reply, words):
    done = ask(reply)
    assert words in done.error and done.slept == [] and len(done.error) < 500


def test_a_server_that_wants_a_key(ask):
    done = ask(failure(401, "who is there?"), key="")
    assert "the server wants a key: put it into MINBERT_ENDPOINT_KEY (401: 'who is there?')" in done.error


def test_a_server_without_either_route(ask):
    done = ask()
    first, second = f"{done.server.url}/completions", f"{done.server.url}/chat/completions"
    assert done.error.startswith(
        f"{second}: no such route or model (404: 'unknown route'), and before that {first} (404"
    )
    assert "--endpoint is an address such as" in done.error


@pytest.mark.fault("servers: a server that is busy")
def test_a_busy_server_is_waited_for_as_long_as_it_says(ask):
    busy = failure(429, "slow down", (("Retry-After", "7"),))
    done = ask(busy, busy, GOOD)
    assert done.answer.text == " positive" and done.slept == [7, 7]
    assert len(done.said) == 2 and "429 Too Many Requests: 'slow down'; waiting 7 s before try 2 of" in done.said[0]


def test_a_busy_server_that_says_nothing_is_waited_for_twice_as_long_each_time(ask):
    done = ask(Reply(429))
    assert done.slept == [1, 2, 4, 8] and len(done.requests) == TRIES
    assert f"429 Too Many Requests; the same {TRIES} times, with 15 s of waiting: try again later" in done.error


@pytest.mark.parametrize(
    ("header", "slept", "words"),
    [
        (str(LONGEST + 1), [], f"the next wait is {LONGEST + 1} s, and minbert waits {LONGEST} s in all"),
        (str(LONGEST - 20), [LONGEST - 20], f"the next wait is {LONGEST - 20} s"),  # once, but not twice
        ("9" * 400, [], "the next wait is"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", [], "the next wait is"),
        ("Thu, 01 Jan 1970 00:00:00 GMT", [0, 0, 0, 0], "the same"),
        ("soon", [1, 2, 4, 8], "the same"),
        ("-5", [1, 2, 4, 8], "the same"),
    ],
)
def test_how_long_is_waited(ask, header, slept, words):
    done = ask(Reply(503, headers=(("Retry-After", header),)))
    assert done.slept == slept and words in done.error


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_recovers(ask, status):
    done = ask(Reply(status, "<html>oops</html>"), GOOD)
    assert done.answer.text == " positive" and done.slept == [1] and f"{status} " in done.said[0]
    assert "oops" not in done.said[0]


@pytest.mark.fault("servers: a connection that breaks")
@pytest.mark.parametrize("how", ["cut", "drop"])
def test_a_connection_that_breaks(ask, how):
    done = ask(GOOD._replace(how=how), GOOD)
    assert done.answer.text == " positive" and done.slept == [1] and "the connection broke off" in done.said[0]
    done = ask(GOOD._replace(how=how))
    assert "the connection broke off" in done.error and len(done.requests) == TRIES


@pytest.mark.fault("servers: a server that does not answer")
@pytest.mark.parametrize("how", ["hold", "drip"])
def test_a_server_that_is_slow(ask, monkeypatch, how):
    """Or so slow that there is always a letter, and never an end."""
    given, real = [], urllib.request.OpenerDirector.open

    def spy(self, request, **options):
        given.append(options)
        return real(self, request, **options)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", spy)
    done = ask(GOOD._replace(how=how), timeout=0.2)
    assert given == [{"timeout": 0.2}]
    assert "/completions: no answer in 0.2 s; --endpoint_timeout gives it more" in done.error and done.slept == []


@pytest.mark.fault("servers: something other than an answer")
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(200, "<!doctype html><title>Welcome</title>"), "is a web page, not an API"),
        (Reply(200, ""), "answers with 0 characters that are no JSON"),
        (Reply(200, '{"choices": ['), "answers with 13 characters that are no JSON"),
        (Reply(200, b"\xff\xfe{}"), "that are no JSON"),
        (Reply(200, "[" * 100_000), "that are no JSON"),
        (Reply(200, "[" * 900 + "]" * 900), "/v1/completions"),
        (Reply(200, "[]"), "no answer of an OpenAI-compatible server"),
        (Reply(200, "null"), "no answer of an OpenAI-compatible server"),
        (Reply(200, {"choices": []}), "no answer of an OpenAI-compatible server"),
        (Reply(200, {"choices": [{"text": "a", "logprobs": {"content": [1]}}]}), "no answer of an OpenAI-compatible"),
        (Reply(200, {"object": "error", "message": "no model\x07"}), "/completions: 'no model\\x07'"),
        (Reply(200, "x", how="noise"), "is no web server (BadStatusLine)"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_an_answer_that_is_none(ask, reply, words):
    done = ask(reply)
    assert words in done.error and len(done.error) < 500 and done.slept == []


def test_an_answer_without_an_end_is_not_read(ask, monkeypatch):
    monkeypatch.setattr(endpoint, "MOST", 100_000)
    done = ask(Reply(200, "[" + " " * 300_000))
    assert "/completions sends more than 100,000 bytes" in done.error


@pytest.mark.fault("servers: no network")
def test_nobody_is_there(servers, monkeypatch):
    port = free_port()
    with pytest.raises(
        UserError, match=f"nothing answers at localhost:{port} .connection refused.: does the server run"
    ):
        Endpoint(f"http://localhost:{port}/v1", "m", KEY, "OPENAI_API_KEY").ask("x")

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UserError, match=r"there is no host nowhere\.invalid, or no network to find it .*not known"):
        Endpoint("https://nowhere.invalid/v1", "m", KEY, "OPENAI_API_KEY").ask("x")
    monkeypatch.undo()
    with pytest.raises(UserError, match="there is no host aaa"):
        Endpoint(f"https://{'a' * 70}.invalid/v1", "m").ask("x")


@pytest.mark.fault("servers: a certificate that is not trusted")
def test_a_connection_that_is_not_secure(servers, tmp_path):
    plain = servers(completions=[GOOD])
    with pytest.raises(UserError, match=r"no secure connection to localhost:.*SSL_CERT_FILE"):
        Endpoint(plain.url.replace("http:", "https:"), "m", KEY, "OPENAI_API_KEY").ask("x")
    if not (openssl := shutil.which("openssl")):
        pytest.skip("needs openssl, to make a certificate")
    words = "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout key.pem -out cert.pem -days 2"
    subprocess.run([openssl, *words.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as one, pytest.raises(ssl.SSLError):
                context.wrap_socket(one, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(UserError, match=r"no secure connection to localhost.*self.signed certificate"):
            Endpoint(f"https://localhost:{listener.getsockname()[1]}", "m", KEY, "OPENAI_API_KEY").ask("x")
        thread.join()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8080", "an address such as"),
        ("ftp://host/v1", "an address such as"),
        ("file:///etc/passwd", "an address such as"),
        ("https:///v1", "an address such as"),
        ("https://host:port/v1", "an address such as"),
        ("https://host:99999/v1", "an address such as"),
        ("https://[::1/v1", "an address such as"),
        ("https://ho st/v1", "an address such as"),
        ("https://host/v1\r\nX: y", "an address such as"),
        ("https://me:sesame@host/v1", "without a name, a . or a #; a key goes into MINBERT_ENDPOINT_KEY"),
        ("https://host/v1?key=sesame", "without a name"),
        ("https://host/v1#sesame", "without a name"),
        ("https://host/v1/chat/completions/", "the address before the route: https://host/v1$"),
        ("https://host/v1/completions", "the address before the route: https://host/v1$"),
    ],
)
def test_an_address_that_is_none(url, words):
    with pytest.raises(UserError, match=words) as error:
        Endpoint(url, "m")
    assert "sesame" not in str(error.value)
