import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from minbert import families, left_to_right, probing, tokenizers
from minbert.commands import common, play, predict
from minbert.errors import UserError
from minbert.pages import guards
from minbert.pages import server as serving_module
from minbert.pages.answering import Classifier
from minbert.pages.expecting import Causal, Masked
from minbert.pages.html import Page
from minbert.pages.playground import ABSENT, Playground
from minbert.study import evidence
from minbert.tasks import TASKS
from tests.conftest import ROOT
from tests.pages.playing import ask, request, serving

TEXT = "The film was okay overall, but the middle was a bit slow."
GAP = "The film was okay overall, but the [MASK] was a [MASK] slow."


@pytest.fixture(scope="module")
def bert():
    return families.load("tiny", "masked"), tokenizers.from_pretrained("tiny")


@pytest.fixture(scope="module")
def gpt():
    return families.load("tiny-gpt2", "causal"), tokenizers.from_pretrained("tiny-gpt2")


@pytest.fixture(scope="module")
def server(bert):
    """Of tiny, a language model."""
    with serving(Playground(language=Masked("tiny", *bert))) as server:
        yield server


@pytest.fixture(scope="module")
def gpt_server(gpt):
    with serving(Playground(language=Causal("tiny-gpt2", *gpt))) as server:
        yield server


@pytest.fixture
def class_server(tiny_folder):
    """Of a classifier with random weights, as the command loads it."""
    with serving(Playground(play.load_classifier(str(tiny_folder)))) as server:
        yield server


# what is answered


@pytest.mark.parametrize("text", [GAP, "[MASK]", "An [MASK] film"])
def test_missing_words_are_those_of_probing(server, bert, text):
    found = probing.fill_mask(*bert, text, 7)
    expected = found if isinstance(found[0], list) else [found]
    for one, two in zip(ask(server, "language/fill", text=text, top=7)["masks"], expected, strict=True):
        assert [row["token"] for row in one] == [row["token"] for row in two]
        assert [row["score"] for row in one] == pytest.approx([row["score"] for row in two], abs=1e-6)


@pytest.mark.parametrize("readout", probing.READOUTS)
def test_next_words_are_those_of_probing(server, bert, readout):
    rows = ask(server, "language/next_tokens", text=TEXT, top=4, readout=readout)["rows"]
    words = [row["token"] for row in rows]
    (expected,) = probing.next_word(*bert, TEXT, words, "{}", [readout], top=4)
    assert words == [row["token"] for row in expected["top"]]
    assert [row["p"] for row in rows] == pytest.approx([expected["p"][word] for word in words], abs=1e-6)
    assert [row["prior"] for row in rows] == pytest.approx([expected["prior"][word] for word in words], abs=1e-6)


def test_next_words_of_a_gpt_are_those_of_left_to_right(gpt_server, gpt):
    rows = ask(gpt_server, "language/next_tokens", text=TEXT, top=4)["rows"]
    expected = left_to_right.next_word(*gpt, TEXT, ["good", "bad"], "{}", top=4)["top"]
    assert [row["token"] for row in rows] == [row["token"] for row in expected]
    assert [row["p"] for row in rows] == pytest.approx([row["score"] for row in expected], abs=1e-6)
    begin = left_to_right.log_p(gpt[0], [([left_to_right.first_token(gpt[1])], [row["id"]]) for row in rows])
    assert [row["prior"] for row in rows] == pytest.approx(torch.tensor(begin).exp().flatten().tolist(), abs=1e-6)


def spectrum(server, text, top=5):
    """The rows of all parts."""
    rows, start = [], 0
    while start is not None:
        found = ask(server, "language/spectrum", text=text, start=start, top=top)
        rows += found["rows"]
        start = found["next"]
    return rows


@pytest.mark.parametrize("times", [1, 4])  # one part, and several
def test_the_spectrum_of_bert_is_its_pseudo_log_likelihood(server, bert, times):
    rows, (total, expected) = spectrum(server, TEXT * times), probing.pseudo_log_likelihood(*bert, TEXT * times)
    assert [row["token"] for row in rows] == [token for token, _ in expected]
    assert [row["log_p"] for row in rows] == pytest.approx([log_p for _, log_p in expected], abs=1e-6)
    assert sum(row["log_p"] for row in rows) == pytest.approx(total, abs=1e-4)
    assert all(row["covered"] == pytest.approx(sum(each["p"] for each in row["top"])) for row in rows)


@pytest.mark.parametrize("times", [1, 8])
def test_the_spectrum_of_a_gpt_is_its_log_likelihood(gpt_server, gpt, times):
    rows, (_, expected) = spectrum(gpt_server, TEXT * times), left_to_right.log_likelihood(*gpt, TEXT * times)
    assert [row["token"] for row in rows] == [token for token, _ in expected]
    assert [row["log_p"] for row in rows] == pytest.approx([log_p for _, log_p in expected], abs=1e-5)


def test_without_a_token_to_begin_with_the_first_has_no_probability(gpt, monkeypatch):
    monkeypatch.setattr(left_to_right, "first_token", lambda tokenizer: None)
    model = Causal("gpt", *gpt)
    first, *others = model.spectrum(TEXT)["rows"]
    assert (first["p"], first["log_p"], first["top"]) == (None, None, [])
    assert [row["log_p"] for row in others] == pytest.approx(
        [log_p for _, log_p in left_to_right.log_likelihood(*gpt, TEXT)[1][1:]], abs=1e-5
    )
    assert {row["prior"] for row in model.next_tokens(TEXT)["rows"]} == {None}
    assert [row["p"] for row in model.spectrum("The")["rows"]] == [None]


def test_a_word_that_cannot_be_spelt_has_no_probability(server):
    rows = spectrum(server, "A \u2603 film")
    assert [row["p"] is None for row in rows] == [row["token"] == "[UNK]" for row in rows]
    assert "[UNK]" in [row["token"] for row in rows]
    known = {row["token"]: row["known"] for row in ask(server, "language/tokens", text="A \u2603 film")}
    assert not known["[UNK]"] and known["film"]


def test_a_gap_is_a_token_for_bert_and_six_characters_for_a_gpt(server, gpt_server):
    assert [row["token"] for row in ask(server, "language/tokens", text="A [MASK]")][1:-1] == ["a", "[MASK]"]
    shown = [row["token"] for row in ask(gpt_server, "language/tokens", text="A [MASK]")]
    assert "".join(shown) == "A [MASK]"
    assert "learnt no gaps" in ask(gpt_server, "language/fill", text="A [MASK]")


def test_classes_are_those_of_predict(class_server, tiny_folder, tmp_path):
    texts = ["the film was good", "not a wonderful plot!", "unaffable"]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    predict.main(
        ["--model", str(tiny_folder), "--text", str(tmp_path / "texts.txt"), "--out", str(tmp_path / "out.csv")]
    )
    with open(tmp_path / "out.csv", newline="") as file:
        header, *rows = csv.reader(file)
    for text, (_, label, *p) in zip(texts, rows, strict=True):
        found = ask(class_server, "classifier/classes", text=text)
        assert found["header"] == header[1:]
        assert found["rows"][0][0] == label
        assert found["rows"][0][1:] == pytest.approx([float(each) for each in p], abs=1e-6)


def test_evidence_is_that_of_the_study(class_server, tiny_folder):
    text = "the film was wonderful, not bad!"
    model, tokenizer = families.load(tiny_folder, "classifier"), tokenizers.from_pretrained(tiny_folder)
    expected, found = evidence.explain(model, tokenizer, text), ask(class_server, "classifier/evidence", text=text)
    assert found["label"] == model.config.labels[expected.number]
    assert (found["p"], found["area"]) == pytest.approx((expected.p, expected.area), abs=1e-6)
    assert [text[start:end] for start, end, _ in found["words"]] == text.split()
    weights = [weight for _, _, weight in found["words"]]
    assert weights == pytest.approx([word.weight for word in expected.words], abs=1e-5)


def test_a_classifier_of_tweets_reads_them_as_it_learnt(tiny_folder, monkeypatch):
    (tiny_folder / "texts.json").write_text('{"minbert_format": 1, "tweets": true}')
    model = play.load_classifier(str(tiny_folder))
    assert model.evidence("@jo was good")["text"] == "@user was good"
    assert model.classes("@jo was good") == model.classes("@ann was good")


@pytest.mark.parametrize("kind, row", [("number", [float]), ("several", [str, float, float]), ("tags", [str, str])])
def test_other_kinds_of_answers(tiny, tokenizer, kind, row):
    task = TASKS[kind]
    changes = {"problem_type": task.problem} if task.problem else {}
    labels = () if kind == "number" else ("O", "B-x")
    config = tiny.change(labels=labels, num_labels=len(labels) or 1, **changes)
    model = families.bert.MODELS[task.head](config)
    found = Classifier("made", model, tokenizer, task, False, evidence.explain)
    assert {tuple(map(type, each)) for each in found.classes("the film")["rows"]} == {tuple(row)}
    with pytest.raises(UserError, match=r"the one class of a text, and “made” gives each "):
        found.evidence("the film")


# what is refused, in words


@pytest.mark.parametrize("route", ["language/tokens", "language/fill", "language/next_tokens", "language/spectrum"])
def test_a_text_of_too_many_tokens_is_refused_in_words(server, route):
    said = ask(server, route, text="a " * 598)
    assert said == "the text has 600 tokens, and “tiny” reads 512 at most: shorten it"


@pytest.mark.parametrize(
    "kind, gives",
    [
        ("class", "gives each text a class; the probabilities sum to 1."),
        ("number", "gives each text a number."),
        ("several", "gives each text any number of labels."),
        ("tags", "gives each word a tag."),
    ],
)
def test_a_name_that_is_a_word_stands_out(tiny, tokenizer, bert, kind, gives):
    task = TASKS[kind]
    labels = () if kind == "number" else ("O", "B-x")
    changes = {"problem_type": task.problem} if task.problem else {}
    model = families.bert.MODELS[task.head](tiny.change(labels=labels, num_labels=len(labels) or 1, **changes))
    classifier = Classifier("one", model, tokenizer, task, False, evidence.explain)
    page = Playground(classifier).page().text
    assert f"<p>The classifier <b>one</b> {gives}</p>" in page and "Make the page of “one”" in page
    with pytest.raises(UserError, match="and “one” reads 40 at most"):
        classifier.tokens("a " * 60)
    tokenizer.mask_token_id = None
    with pytest.raises(UserError, match="vocabulary of “one” lacks"):
        Masked("one", bert[0], tokenizer)


def test_a_classifier_refuses_it_too(class_server):
    assert "reads 40 at most" in ask(class_server, "classifier/classes", text="a " * 39)
    assert ask(class_server, "classifier/classes", text="a " * 38)["rows"]


@pytest.mark.parametrize(
    "fields, said",
    [
        ({}, "an object with a text"),
        ({"text": "a", "temperature": 1}, "an object with a text"),
        ({"text": ["a"]}, "text is of the wrong type"),
        ({"text": "a", "top": True}, "top is of the wrong type"),
        ({"text": "a", "top": 51}, "from 1 to 50 rows"),
        ({"text": "a", "top": 0}, "from 1 to 50 rows"),
        ({"text": "a", "readout": "there"}, "there is no readout 'there'"),
        ({"text": "a" * 4001}, "4,001 characters"),
        ({"text": " \n"}, "is empty"),
        ({"text": "a\ud800"}, "half a character"),
    ],
)
def test_questions_are_bounded(server, fields, said):
    status, _, body = request(server, path="language/next_tokens", body=fields)
    assert status == 400
    assert said in json.loads(body)["error"]


def test_a_start_is_bounded(server):
    assert "a place from 0 to 512" in ask(server, "language/spectrum", text="a", start=-1)
    assert ask(server, "language/spectrum", text="a", start=512) == {"rows": [], "next": None}


def test_who_is_not_here_is_named(server, class_server):
    assert ask(server, "classifier/classes", text="a") == ABSENT["classifier"]
    assert ask(class_server, "language/fill", text="a") == ABSENT["language"]
    assert ABSENT["classifier"] in request(server, "GET")[2].decode()
    assert ABSENT["language"] in request(class_server, "GET")[2].decode()


def test_a_vocabulary_without_special_tokens_cannot_fill(bert, tokenizer):
    tokenizer.mask_token_id = None
    with pytest.raises(UserError, match=r"lacks \[CLS\], \[SEP\] or \[MASK\]"):
        Masked("made", bert[0], tokenizer)


# who may ask


def hosts(server):
    port = server.server_address[1]
    return [f"127.0.0.1:{port}", "127.0.0.1", "localhost:9999", "LOCALHOST", "[::1]:80"]


@pytest.mark.fault("servers: another name for this machine (DNS rebinding)")
def test_only_names_of_this_machine_are_answered(server):
    for host in hosts(server):
        assert request(server, "GET", headers={"Host": host})[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:8765", "localhost.", "127.0.0.2", "", None,
                 "127.0.0.1:x", "user@127.0.0.1", "127.0.0.1\u0661".encode().decode("latin-1")):  # fmt: skip
        assert request(server, "GET", headers={"Host": host})[0] == 421
        assert request(server, path="language/tokens", body={"text": "a"}, headers={"Host": host})[0] == 421


def test_two_hosts_are_none(server):
    head = f"GET /{server.secret}/ HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n"
    assert raw(server, head.encode()).startswith(b"HTTP/1.0 421")


OWN, OTHER = "http://127.0.0.1:{}", "https://evil.example"
NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.fault("servers: another web page that asks the playground")
@pytest.mark.parametrize(
    "method, headers, status",
    [
        ("POST", {}, 200),  # curl
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": OWN}, 200),
        ("POST", {"Sec-Fetch-Site": "same-origin", "Origin": OTHER}, 403),
        ("POST", {"Origin": OTHER}, 403),
        ("POST", {"Origin": "null"}, 403),
        ("POST", {"Origin": "http://localhost:{}"}, 403),  # another origin than the Host's
        ("POST", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("POST", {"Sec-Fetch-Site": "same-site"}, 403),  # another port
        ("POST", {"Sec-Fetch-Site": "cross-site", **NAVIGATE}, 403),
        ("GET", {"Sec-Fetch-Site": "none", **NAVIGATE}, 200),  # typed
        ("GET", {"Sec-Fetch-Site": "cross-site", **NAVIGATE}, 200),  # a link that someone who knows the secret follows
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}, 403),
    ],
)
def test_other_pages_may_not_ask(server, method, headers, status):
    headers = {name: value.format(server.server_address[1]) for name, value in headers.items()}
    path = "language/tokens" if method == "POST" else ""
    assert request(server, method, path, {"text": "a"}, headers)[0] == status


@pytest.mark.fault("servers: another user of this machine who asks the playground")
def test_the_address_is_a_secret(server):
    assert len(server.secret) >= 22  # 128 bits in base64
    assert server.address.endswith(f"/{server.secret}/")
    for secret in ("", server.secret[:-1], server.secret + "a", server.secret.swapcase(), "%00", "..", "\u00e4"):
        path = secret.encode().decode("latin-1")
        assert request(server, "GET", secret=path)[0] == 404
        assert request(server, path="language/tokens", body={"text": "a"}, secret=path)[0] == 404


@pytest.mark.fault("servers: a path that leads to files")
@pytest.mark.parametrize(
    "path",
    [
        "../",
        "%2e%2e/%2e%2e/etc/passwd",
        "../../../../etc/passwd",
        "base.css",
        "play.js",
        "%00",
        "?text=a",
        "#",
        "/",
        "language",
    ],
)
def test_there_are_no_files(server, path):
    assert request(server, "GET", path)[0] == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "CONNECT", "get"])
def test_other_methods_are_none(server, method):
    status, headers, _ = request(server, method)
    assert status == 501
    assert not [name for name in headers if name.lower().startswith("access-control")]


def test_a_question_is_never_a_get(server):
    for route in Playground(language=Masked("tiny", *server_models(server))).routes:
        assert request(server, "GET", route)[0] == 404


def server_models(server):
    model = server.ask.__self__.models["language"]
    return model.model, model.tokenizer


@pytest.mark.fault("servers: another web page that asks the playground")
@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json"]
)
def test_a_form_cannot_ask(server, kind):
    assert request(server, path="language/tokens", body={"text": "a"}, headers={"Content-Type": kind})[0] == 415


@pytest.mark.fault("servers: a question that is endless, slow or no question")
@pytest.mark.parametrize(
    "headers, body, status",
    [
        ({"Content-Length": None}, b"{}", 411),
        ({"Content-Length": None, "Transfer-Encoding": "chunked"}, b"2\r\n{}\r\n0\r\n\r\n", 411),
        ({"Content-Length": "2", "Transfer-Encoding": "chunked"}, b"{}", 411),
        ({"Content-Length": "-1"}, b"", 400),
        ({"Content-Length": "1e3"}, b"", 400),
        ({"Content-Length": "\u0662".encode().decode("latin-1")}, b"{}", 400),
        ({}, b" " * (64 * 1024) + b"{}", 413),
        ({"Content-Length": "9" * 18}, b"{}", 413),
        ({}, b"{", 400),
        ({}, b"\xff", 400),
        ({}, b"[" * 60_000, 400),
        ({}, b'{"text": "a", "top": ' + b"9" * 60_000 + b"}", 400),
        ({}, b"NaN", 400),
        ({}, b"", 400),
    ],
)
def test_bodies_are_bounded(server, headers, body, status, monkeypatch):
    monkeypatch.setattr(guards, "SILENCE", 0.2)  # for the length that no body has
    found, _, said = request(server, path="language/tokens", body=body, headers=headers)
    assert found in ((status, 408) if headers.get("Content-Length") == "9" * 18 else (status,))
    assert json.loads(said)["error"]


def raw(server, sent, end=False):
    """What a server answers to bytes."""
    with socket.create_connection(server.server_address, timeout=30) as connection:
        connection.sendall(sent)
        if end:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.fault("servers: a question that is endless, slow or no question")
@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 what TLS begins with\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx: <script>alert(1)</script>\r\n\r\n",
        b"<script>alert(1)</script> / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_noise_is_refused_and_not_repeated(server, sent):
    answer = raw(server, sent, end=True)
    assert not answer.startswith(b"HTTP/1.0 200")
    assert b"script" not in answer.partition(b"\r\n\r\n")[2]
    assert ask(server, "language/tokens", text="a")  # it goes on


def test_a_body_that_does_not_come_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(guards, "SILENCE", 0.1)
    head = f"POST /{server.secret}/language/tokens HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    assert raw(server, f"{head}Content-Length: 9\r\n\r\n{{".encode()).startswith(b"HTTP/1.0 408")
    assert raw(server, b"GET") == b""


@pytest.mark.fault("servers: a question that is endless, slow or no question")
def test_drops_of_a_request_are_not_waited_for_either(server, monkeypatch):
    monkeypatch.setattr(guards, "WHOLE", 0.3)
    reset = pytest.raises(OSError, match=r"(?i)broken pipe|reset")
    with socket.create_connection(server.server_address, timeout=30) as connection, reset:
        for _ in range(300):  # each of them comes in time
            connection.sendall(b"a")
            time.sleep(0.05)


def test_dawdlers_do_not_shut_it_for_long(server, monkeypatch):
    monkeypatch.setattr(guards, "SILENCE", 0.5)
    dawdlers = [socket.create_connection(server.server_address) for _ in range(30)]
    assert ask(server, "language/tokens", text="a")
    for each in dawdlers:
        each.close()


@contextmanager
def held(server):
    """A context in which the model is at work."""
    with server.model:
        yield


@pytest.mark.fault("servers: several questions at once")
def test_one_question_at_a_time_reaches_the_model(server):
    found, starts = {}, threading.Barrier(10)

    def one(number):
        starts.wait()
        found[number] = ask(server, "language/next_tokens", text="The film was " + "very " * number)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(10):
        assert found[number] == ask(server, "language/next_tokens", text="The film was " + "very " * number)


def test_who_waits_too_long_is_told(server, monkeypatch):
    monkeypatch.setattr(serving_module, "WAIT", 0.05)
    with held(server):
        status, _, body = request(server, path="language/tokens", body={"text": "a"})
    assert (status, "ask again" in json.loads(body)["error"]) == (503, True)
    assert ask(server, "language/tokens", text="a")


def test_who_waits_is_answered(server):
    with held(server):
        found = []
        thread = threading.Thread(target=lambda: found.append(ask(server, "language/tokens", text="a")))
        thread.start()
        time.sleep(0.2)
        assert not found
    thread.join()
    assert [row["token"] for row in found[0]] == ["[CLS]", "a", "[SEP]"]


# what is kept, and what is sent


@pytest.mark.fault("servers: texts that are kept")
def test_nothing_is_written_down(server, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    word = "zanzibar"
    ask(server, "language/spectrum", text=f"A {word}")
    request(server, "GET", word)
    request(server, path=word, body={"text": word})
    raw(server, word.encode() + b"\r\n\r\n", end=True)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_failure_is_told_without_the_text(server, capfd, monkeypatch):
    def fail(route, given):
        raise ValueError(given["text"])

    monkeypatch.setattr(server, "ask", fail)
    status, _, body = request(server, path="language/tokens", body={"text": "zanzibar"})
    assert (status, json.loads(body)) == (500, {"error": "minbert has failed (ValueError): where, the terminal says"})
    said = capfd.readouterr().out
    assert "ValueError in" in said and "test_play.py" in said and "zanzibar" not in said


def test_each_answer_has_the_same_guards(server):
    for method, path, body in (
        ("GET", "", None),
        ("GET", "none", None),
        ("POST", "language/tokens", {"text": "a"}),
        ("PUT", "", None),
    ):
        _, headers, _ = request(server, method, path, body)
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        for name, value in serving_module.HEADERS.items():
            assert headers[name] == value
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert "Python" not in headers["Server"]


def test_only_this_page_may_connect_and_only_to_its_server(server):
    _, headers, body = request(server, "GET")
    assert "connect-src 'self';" in headers["Content-Security-Policy"]
    assert server.secret not in body.decode()
    assert Page.connects == "'none'"


def test_views_are_kept_in_memory_until_others_come(server, monkeypatch):
    view = server.pages[""]
    monkeypatch.setattr(server, "ask", lambda route, given: view)
    names = [ask(server, "language/attention", text="a")["page"] for _ in range(6)]
    kept = [request(server, "GET", name)[0] for name in names]
    assert kept == [404, 404, 200, 200, 200, 200]
    assert request(server, "GET")[0] == 200
    assert len(server.pages) == 5 and len({*names}) == 6


def test_the_page_is_the_same_each_time_and_knows_no_place(bert, tiny_folder, tmp_path):
    made = [Playground(play.load_classifier(str(tiny_folder)), Masked("tiny", *bert)).page().text for _ in range(2)]
    assert made[0] == made[1]
    assert str(tmp_path) not in made[0] and len(made[0]) < 60_000
    assert not re.search(r"https?://", made[0])


@pytest.mark.fault("servers: names, labels and texts that are markup")
def test_names_and_labels_of_strangers_stay_text(tiny, tokenizer, bert):
    evil = '</script><img src=x onerror="alert(1)">'
    config = tiny.change(labels=(evil, "\u202eb"))
    model = families.bert.MODELS["classifier"](config)
    page = Playground(
        Classifier(evil, model, tokenizer, TASKS["class"], False, evidence.explain), Masked(evil, *bert)
    ).page()
    assert "<img" not in page.text and "\u202e" not in page.text
    assert page.text.count("</script>") == 3


# the command


def run(words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "minbert", "play", "--no_open", *words], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}, **options,
    )  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_ctrl_c_ends_it_also_while_the_model_works():
    with run(["--port", "0"]) as program:
        address = program.stdout.readline().strip()
        port, secret = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/([\w-]+)/", address).groups()
        body = json.dumps({"text": TEXT * 30}).encode()
        head = f"POST /{secret}/language/spectrum HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with socket.create_connection(("127.0.0.1", int(port))) as connection:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(0.3)
            program.send_signal(signal.SIGINT)
            said = program.communicate(timeout=60)[1]
    assert program.returncode == 0
    assert said.endswith("\nstopped\n") and "Traceback" not in said


def test_a_port_that_is_taken_is_one_line(server, capsys):
    port = str(server.server_address[1])
    assert common.run(play.main, ["--no_open", "--port", port]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: port {port} cannot be used") and error.count("\n") == 1


@pytest.mark.parametrize(
    "words, said",
    [
        (["--host", "0.0.0.0"], "unrecognized arguments: --host"),
        (["--model", "runs/none"], "there is no folder runs/none"),
        (["--model", "tiny"], "tiny has no trained classifier"),
        (["--lm", "tiny-translate"], "there is no masked language model of Marian"),
        (["--port", "65536"], "is not a port, from 0 to 65535"),
    ],
)
def test_mistakes_are_one_line(words, said, capsys):
    assert common.run(play.main, ["--no_open", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_classifier_of_pairs_is_refused(tiny_folder):
    (tiny_folder / "run.json").write_text('{"learnt": {"pairs": true}}')
    with pytest.raises(UserError, match="reads two texts at a time"):
        play.load_classifier(str(tiny_folder))


@pytest.mark.fault("servers: another user of this machine who asks the playground")
def test_the_browser_gets_a_file_of_this_user_alone(monkeypatch):
    opened = []

    def look(url):
        path = url.removeprefix("file://")
        opened.append((url, os.stat(os.path.dirname(path)).st_mode & 0o77, Path(path).read_text()))

    monkeypatch.setenv("BROWSER", "made up")
    monkeypatch.setattr(play.webbrowser, "open", look)
    with play.opened("http://127.0.0.1:1/secret/"):
        while not opened:
            time.sleep(0.01)
    ((url, others, text),) = opened
    assert "secret" not in url and "url=http://127.0.0.1:1/secret/" in text
    assert others == 0 or os.name == "nt"
    with play.opened("http://127.0.0.1:1/secret/", never=True):
        pass
    assert len(opened) == 1
