"""SQuAD's JSON, spoilt in every way: each question is read as it stands there, or reported by its number.

What read_squad says is compared with a plain walk through the JSON.
"""

import json
import re
from collections import Counter
from functools import partial

from minbert.errors import UserError
from minbert.files import squad
from tests.stress.fuzz.checkpoints import judge, rounds
from tests.stress.fuzz.conll import unpacked
from tests.stress.fuzz.families import spoil_json
from tests.stress.fuzz.readers import INVISIBLE
from tests.stress.fuzz.readers import SPOIL as OF_BYTES

WORDS = [
    "ferry",
    "ferries",
    "a",
    "the",
    "two",
    "é",
    "e\u0301",
    "中",
    "😀",
    "\u2028",
    '"',
    "\\",
    "\n",
    "a\u200db",
    "2 h",
]
BYTES = ["a bit", "bytes deleted", "a quote", "a NUL", "Latin-1", "cut short", "empty", "a BOM", "UTF-16", "gzip"]
BYTES += ["gzip spoilt", "a line end", "a huge field"]


def make(rng):
    """Questions of a few passages, in version 1 or 2 of the form."""
    second, number = rng.random() < 0.5, 0
    articles = []
    for _ in range(rng.randrange(1, 3)):
        paragraphs = []
        for _ in range(rng.randrange(1, 4)):
            passage, questions = " ".join(rng.choices(WORDS, k=12)), []
            for _ in range(rng.randrange(0, 4)):
                number += 1
                question = {"id": f"q{number}", "question": " ".join(rng.choices(WORDS, k=3)) + "?", "answers": []}
                if second:
                    question["is_impossible"] = rng.random() < 0.4
                if not question.get("is_impossible"):
                    question["answers"] = [answer(rng, passage) for _ in range(rng.randrange(1, 4))]
                questions.append(question)
            paragraphs.append({"context": passage, "qas": questions})
        articles.append({"title": "Lost_things", "paragraphs": paragraphs})
    version = {"version": "v2.0"} if second else {}
    return json.dumps(version | {"data": articles}, ensure_ascii=rng.random() < 0.5).encode()


def answer(rng, passage):
    start = rng.randrange(len(passage) - 2)
    return {"text": passage[start : start + rng.randrange(1, 9)], "answer_start": start}


# A change of what is said of a question


def entries(content, key):
    """All objects of a JSON value that have this key."""
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    found = [content] if isinstance(content, dict) and key in content else []
    return found + [entry for value in inner for entry in entries(value, key)]


def change(key, *choices):
    def spoil(rng, data):
        content = json.loads(data)
        if found := entries(content, key):
            entry = rng.choice(found)
            value = rng.choice(choices)
            entry[key] = value(entry[key]) if callable(value) else value
        return json.dumps(content).encode()

    return spoil


SPOIL = {
    "a start": change("answer_start", -1, 0, 10**6, 2**70, None, True, 3.0, "4", lambda at: at + 1, lambda at: at - 1),
    "an answer": change("text", "", " ", "\u200b", "two", "\ud800", None, 7, lambda text: text + "x", str.upper),
    "an id": change("id", "q1", "", " ", None, 5, "\ud800", "a\x1b[2J", "x" * 9_999),
    "a question": change("question", "", " \n", "\u200b", None, [], "\udfff", lambda text: f" {text} "),
    "a passage": change("context", "", " ", None, "\ud800", lambda text: " " + text, lambda text: text[:5]),
    "answers": change("answers", [], None, {}, [None], "two", lambda found: found * 2),
    "impossible": change("is_impossible", True, False, None, 1, "true"),
    "a list": change("qas", None, {}, [7], [[]], []),
    "paragraphs": change("paragraphs", None, {}, [7], [], "x"),
    "any value": lambda rng, data: spoil_json(data, rng),
    "bytes": lambda rng, data: OF_BYTES[rng.choice(BYTES)](rng, data),
    "nothing": lambda rng, data: data,
}


# What the JSON says


def no_twins(pairs):
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def expect(content):
    """[(passage, question), ...] of a file's bytes as UTF-8; None if they are not of SQuAD's form."""
    try:
        value, found = json.loads(content.decode("utf-8-sig"), object_pairs_hook=no_twins), []
        for article in of_kind(list, value["data"]):
            for paragraph in of_kind(list, article["paragraphs"]):
                passage = of_kind(str, paragraph["context"])
                found += [(passage, of_kind(dict, question)) for question in of_kind(list, paragraph["qas"])]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found


def of_kind(kind, value):
    if not isinstance(value, kind):
        raise TypeError
    return value


def is_text(value):
    """Whether a value is a text that can be seen, and written to a file."""
    whole = isinstance(value, str) and not re.search("[\ud800-\udfff]", value)
    return whole and bool(re.sub(INVISIBLE, "", value).strip())


def is_good(passage, question, answered, before):
    """Whether a question can be used. before: the ids of those that were."""
    answers, impossible = question.get("answers", []), question.get("is_impossible", False)
    if not (is_text(question.get("id")) and is_text(question.get("question")) and is_text(passage)):
        return False
    if question["id"] in before or type(impossible) is not bool or type(answers) is not list:
        return False
    if answered and impossible == bool(answers):
        return False
    for answer in answers:
        if type(answer) is not dict or type(answer.get("answer_start")) is not int or not is_text(answer.get("text")):
            return False
        if answer["answer_start"] < 0 or not passage[answer["answer_start"] :].startswith(answer["text"]):
            return False
    return True


def check(path, data, answers_required):
    """Read a file, and compare; raises what read_squad raises, and AssertionError."""
    content = unpacked(data)
    expected = None if content is None else expect(content)
    answered = any("answers" in question or question.get("is_impossible") for _, question in expected or [])
    try:
        found = squad.read_squad(path, answers_required)
    except UserError as error:
        assert not expected or (answers_required and not answered) or b"\x1f\x8b" in data, f"refused: {error}"
        raise
    assert expected and (answered or not answers_required), "read, but not of the form"
    assert found.answered == answered
    used = dict(zip(found.numbers, zip(found.ids, found.texts, found.pairs, found.golds(), strict=True), strict=True))
    told, ids = dict(found.problems), set()
    assert len(used) + len(told) == len(found.numbers) + len(found.problems) == len(expected), "a question is lost"
    for number, (passage, question) in enumerate(expected, start=1):
        good = is_good(passage, question, answered, ids)
        assert (number in used) == good, f"question {number}: {told.get(number, 'is used')}"
        if good:
            ids.add(question["id"])
            golds = [answer["text"] for answer in question.get("answers", [])]
            assert used[number] == (question["id"], question["question"].strip(), passage, golds), used[number]
        else:
            assert told[number].isprintable() and len(told[number]) < 1000, f"not one line: {told[number]!r}"
    return "read" if not told else "read, questions reported"


def fuzz(count, rng, folder):
    """count files of questions."""
    outcomes, path = Counter(), folder / "some.json"
    for number, dice in rounds(count, rng):
        data, spoilt = make(dice), dice.choice(list(SPOIL))
        data = SPOIL[spoilt](dice, data)
        path.write_bytes(data)
        outcome = judge(number, folder, partial(check, path, data, dice.random() < 0.8), path.name)
        outcomes[outcome + f" (spoilt by {spoilt})" * outcome.startswith("fault")] += 1
    return outcomes


FUZZERS = {"squad": fuzz}
