"""SQuAD's JSON -> questions with their passages and answers. Every bad question is reported, by its number and id.

    {"data": [{"title": "...", "paragraphs": [{"context": "The passage.", "qas": [
        {"id": "5733be", "question": "...", "answers": [{"text": "passage", "answer_start": 4}], "is_impossible": false}
    ]}]}]}

An answer is the slice of its passage that begins at answer_start, in characters: one that does not stand there is an
error, never moved. A question with is_impossible (version 2 of SQuAD) has no answer. Its plausible_answers, and keys
with other names, are not read.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from minbert.errors import UserError
from minbert.files import stream
from minbert.files.examples import BLANK
from minbert.files.lines import load
from minbert.files.objects import SURROGATE, parse

WRITTEN = 'SQuAD\'s form is {"data": [{"paragraphs": [{"context": ..., "qas": [{"id", "question", "answers"}]}]}]}'


@dataclass
class Questions:
    """What a file holds: questions, and those that are none. The lists have an entry for each question."""

    path: str
    ids: list = field(default_factory=list)
    texts: list = field(default_factory=list)  # the questions
    pairs: list = field(default_factory=list)  # their passages
    answers: list = field(default_factory=list)  # lists of (start, end) in the passage: none where there is no answer
    numbers: list = field(default_factory=list)  # of the question in the file, from 1
    problems: list = field(default_factory=list)  # (number, reason)
    answered: bool = True  # whether the file says the answers
    sha256: str = ""
    format, columns, unit = "SQuAD", "", "question"

    def add(self, number, id, text, passage, answers):
        """Take a question."""
        self.ids.append(id)
        self.texts.append(text)
        self.pairs.append(passage)
        self.answers.append(answers)
        self.numbers.append(number)

    @property
    def labelled(self):
        return self.answered and len(self.texts) > 0

    def line(self, index):
        """The number of a question in the file."""
        return self.numbers[index]

    def golds(self):
        """The texts of each question's answers."""
        return [[passage[slice(*span)] for span in spans] for passage, spans in zip(self.pairs, self.answers)]

    @property
    def impossible(self):
        """How many questions have no answer."""
        return sum(not spans for spans in self.answers) if self.answered else 0

    def select(self, wanted):
        """Only the questions with these indices."""
        for name in ("ids", "texts", "pairs", "answers", "numbers"):
            setattr(self, name, [getattr(self, name)[index] for index in wanted])


def is_squad(data):
    """Whether a file that begins with these bytes may be SQuAD's JSON: its first key is data or version."""
    begin = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:200].replace(b" ", b"").replace(b"\n", b"").replace(b"\r", b"")
    return begin.startswith((b'{"data":[', b'{"version":'))


def read_squad(path, answers_required=True, encoding=None):
    """Read a file of questions. Bad questions are collected in .problems, nothing is dropped in silence.

    answers_required  False: the file may lack the answers, of all questions
    encoding          as in read_examples
    Raises UserError if the file as a whole cannot be used: absent, no JSON, of another form, or without a question.
    """
    path = Path(path)
    rows = parsed(path, encoding)
    found = Questions(str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    found.answered = any("answers" in question or question.get("is_impossible") for _, _, question in rows)
    if answers_required and not found.answered:
        raise UserError(f"{path}: no question has its answers")
    seen = set()
    for number, (where, passage, question) in enumerate(rows, start=1):
        reason, spans = question_problem(passage, question, found.answered, seen)
        if reason:
            found.problems.append((number, f"question {question.get('id', where)!r:.60}: {reason}"))
            continue
        seen.add(question["id"])
        found.add(number, question["id"], question["question"].strip(), passage, spans)
    return found


def parsed(path, encoding):
    """(where it stands, passage, question) of each question in a file. Raises UserError as `read_squad` does."""
    try:
        content = parse(load(path, encoding).decode("utf-8-sig"))
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from None
    found = list(questions_of(path, content))
    if not found:
        raise UserError(f"{path}: holds no question")
    return found


def rows(path, encoding=None):
    """A stream.Row for each question, its id and its passage in Row.beside: answers are not read."""
    seen = set()
    for number, (where, passage, question) in enumerate(parsed(Path(path), encoding), start=1):
        reason, _ = question_problem(passage, question | {"answers": [], "is_impossible": False}, False, seen)
        if reason:
            reason = f"question {question.get('id', where)!r:.60}: {reason}"
            yield stream.Row(number, number, "", reason)
        else:
            seen.add(question["id"])
            yield stream.Row(number, number, question["question"].strip(), None, (question["id"], passage))


def questions_of(path, content):
    """(where it stands, passage, question) of each question. Raises UserError for JSON of another form."""

    def inside(parent, where, key, kind):
        values = parent.get(key) if isinstance(parent, dict) else None
        if not isinstance(values, kind):
            what = {list: "a list", str: "a string"}[kind]
            raise UserError(f"{path}: {where}{key} should be {what}: {WRITTEN}")
        return values

    for one, article in enumerate(inside(content, "", "data", list)):
        for two, paragraph in enumerate(inside(article, f"data[{one}].", "paragraphs", list)):
            where = f"data[{one}].paragraphs[{two}]."
            passage = inside(paragraph, where, "context", str)
            for three, question in enumerate(inside(paragraph, where, "qas", list)):
                if not isinstance(question, dict):
                    raise UserError(f"{path}: {where}qas[{three}] should be an object: {WRITTEN}")
                yield f"{where}qas[{three}]", passage, question


def question_problem(passage, question, answered, seen):
    """(why a question is refused or None, its answers' places)"""
    for key in ("id", "question"):
        if is_blank(question.get(key)):
            return f"{key} should be a text that is not empty", []
    if question["id"] in seen:
        return "this id stands at an earlier question, too", []
    if is_blank(passage):
        return "its passage is empty", []
    for name, text in (("id", question["id"]), ("question", question["question"]), ("passage", passage)):
        if half := SURROGATE.search(text):
            return f"its {name} holds half a character ({half[0]!r}), which no file can hold", []
    impossible = question.get("is_impossible", False)
    if not isinstance(impossible, bool):
        return f"is_impossible is {impossible!r:.40}, but can be true or false", []
    answers = question.get("answers", [])
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        return "answers should be a list of objects", []
    if impossible and answers:
        return "is_impossible is true, but there are answers", []
    if answered and not impossible and not answers:
        return "no answer, and is_impossible is not true", []
    spans = []
    for answer in answers:
        reason, span = place_of(passage, answer)
        if reason:
            return reason, []
        spans.append(span)
    return None, spans


def is_blank(value):
    """Whether a value is no text, or one of which nothing can be seen."""
    return not isinstance(value, str) or not value.strip().strip(BLANK)


def place_of(passage, answer):
    """(why an answer is refused or None, (start, end) in the passage)"""
    text, start = answer.get("text"), answer.get("answer_start")
    if is_blank(text):
        return "an answer's text should be a text that is not empty", None
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        return f"answer_start is {start!r:.40}, but should be a number of characters from 0", None
    if passage[start : start + len(text)] == text:
        return None, (start, start + len(text))
    if start >= len(passage):
        there = f"the passage has {len(passage)} characters"
    else:
        there = f"there stands {passage[start : start + len(text)]!r:.60}"
    at = passage.find(text)
    hint = "it is nowhere in the passage" if at < 0 else f"it stands at {at}"
    return f"the answer {text!r:.60} should stand at {start}, but {there}; {hint}", None
