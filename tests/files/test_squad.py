"""SQuAD's JSON -> questions, passages and answers, and every way in which a question can be bad."""

import json

import pytest

from minbert.errors import UserError
from minbert.files.checks import refuse_bad_rows
from minbert.files.squad import is_squad, read_squad

PASSAGE = "The old lighthouse was built in 1871 by Rosa Ferrán. It is high."


def question(id="q1", asked="Who built it?", answers=(("Rosa Ferrán", 40),), **more):
    return {"id": id, "question": asked, "answers": [{"text": a, "answer_start": at} for a, at in answers]} | more


def document(*questions, passage=PASSAGE):
    return {"version": "v2.0", "data": [{"title": "x", "paragraphs": [{"context": passage, "qas": [*questions]}]}]}


@pytest.fixture
def read(tmp_path):
    """read({...}) or read("...") -> Questions of a file that holds this"""

    def read(content, **how):
        path = tmp_path / "train.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return read_squad(path, **how)

    return read


def test_questions_passages_and_answers(read):
    found = read(
        document(
            question(answers=[("Rosa Ferrán", 40), ("Ferrán", 45)]),
            question("q2", " What colour is it? ", [], is_impossible=True, plausible_answers=[{"text": "red"}]),
        )
    )
    assert found.ids == ["q1", "q2"] and found.texts == ["Who built it?", "What colour is it?"]
    assert found.pairs == [PASSAGE] * 2 and found.answers == [[(40, 51), (45, 51)], []]
    assert found.golds() == [["Rosa Ferrán", "Ferrán"], []] and found.impossible == 1 and found.problems == []


BAD = [  # a bad question, the reason
    (question("q2", "\u2028"), "question should be a text that is not empty"),
    (question("q\ud800"), r"its id holds half a character ('\ud800'), which no file can hold"),
    (question("q2", "Who \udfff?"), r"its question holds half a character ('\udfff')"),
    (question("q2", answers=[("Rosa Ferrán", 41)]), "'Rosa Ferrán' should stand at 41, but there stands 'osa Ferrán.'"),
    (question("q2", answers=[("Rosa Ferrán", 41)]), "it stands at 40"),
    (question("q2", answers=[("green", 3)]), "it is nowhere in the passage"),  # of another passage
    (question("q2", answers=[("high", 900)]), "the passage has 64 characters"),
    (question("q2", answers=[("high", -4)]), "answer_start is -4"),
    (question("q2", answers=[("high", "59")]), "answer_start is '59'"),
    (question("q2", answers=[("high", 59.0)]), "answer_start is 59.0"),
    (question("q2", answers=[("high", True)]), "answer_start is True"),
    (question("q2", answers=[("", 3)]), "an answer's text should be"),
    (question("q2", answers=[("Rosa Ferrán", 40), ("x", 0)]), "it is nowhere"),
    (question("q2", answers=[]), "no answer, and is_impossible is not true"),
    (question("q2", is_impossible=True), "is_impossible is true, but there are answers"),
    (question("q2", is_impossible="yes"), "is_impossible is 'yes'"),
    (question("q1"), "this id stands at an earlier question"),
    (question("q2", asked=" "), "question should be a text"),
    (question(7), "id should be a text"),
    (question("q2") | {"answers": "1871"}, "answers should be a list"),
]


@pytest.mark.fault("tables: answers that do not stand where SQuAD's JSON says")
@pytest.mark.parametrize("bad, reason", BAD, ids=range(len(BAD)))
def test_a_bad_question_is_one_line_with_its_number(read, bad, reason):
    found = read(document(question(), bad, question("q3")))
    ((number, why),) = found.problems
    assert number == 2 and reason in why and "\n" not in why
    assert found.ids == ["q1", "q3"] and found.numbers == [1, 3]
    with pytest.raises(UserError, match=r"train.json:2: question "):
        refuse_bad_rows(found)


def test_a_passage_that_is_empty(read):
    assert "its passage is empty" in read(document(question(), passage=" ")).problems[0][1]


WHOLE = [
    ("", "cannot be read as JSON"),
    ('{"data": [', "cannot be read as JSON"),
    ("[" * 100_000, "cannot be read as JSON"),
    ("[]", "data should be a list"),
    ({"data": {}}, "data should be a list"),
    ({"data": [{"paragraphs": [{"qas": []}]}]}, r"data\[0\].paragraphs\[0\].context should be a string"),
    ({"data": [{"paragraphs": [{"context": "x", "qas": [3]}]}]}, r"qas\[0\] should be an object"),
    ({"data": []}, "holds no question"),
    ('{"data": [], "data": []}', "a name occurs twice"),
]


@pytest.mark.parametrize("content, reason", WHOLE, ids=range(len(WHOLE)))
def test_a_file_that_cannot_be_used(read, content, reason):
    with pytest.raises(UserError, match=reason):
        read(content)


def test_a_file_without_answers(read):
    bare = document(*({"id": id, "question": "Who?"} for id in ("a", "b")))
    with pytest.raises(UserError, match="no question has its answers"):
        read(bare)
    found = read(bare, answers_required=False)
    assert found.ids == ["a", "b"] and not found.answered and found.problems == [] and found.impossible == 0


def test_the_form_is_seen_at_its_beginning():
    assert is_squad(json.dumps(document()).encode()) and is_squad(b'\xef\xbb\xbf\n{\n  "data": [\n')
    assert not is_squad(b'[{"text": "a"}]') and not is_squad(b'{"text": "data"}')


def test_places_count_characters_not_bytes(read):
    passage = "👩‍🚀 é was here"
    at = passage.index("was")
    assert read(document(question(answers=[("was", at)]), passage=passage)).golds() == [["was"]]
