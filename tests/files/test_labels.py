"""Labels -> classes: one normal form, and what is asked about before it becomes a class."""

import pytest

from minbert.errors import UserError
from minbert.files.examples import Examples, read_examples
from minbert.files.labels import LabelSet, folded, normal_label

WRITTEN = [
    "  café\t",
    "cafe\u0301",  # decomposed, as macOS writes names
    "\ufeffcafé",
    "ca\u200bfé",
    "café\u200e",
    "ca\xadfé",
    "\u2066café\u2069",
    "café\xa0",
]
TAKEN = [
    ["0", "1"],
    ["1", "1.0", "0.00", "0"],
    ["-1", "+1"],
    ["-1", "0", "1"],
    ["True", "False"],
    ["yes", "no"],
    ["positive", "negative", "neutral"],
    ["Sci/Tech", "World", "Business", "Sports"],
    ["joy", "anger", "🙂", "😡"],
    ["C", "C++", "C#"],
    ["A", "A+", "B"],
    ["1 star", "2 stars"],
    ["NOT", "OFF"],
    ["alt.atheism", "comp.graphics", "sci.med"],
    ["Science, technology", "Food & drink", "Home"],
    ["unknown", "known"],
    ["正面", "负面"],
    ["положительный", "отрицательный"],
    ["می\u200cخواهم", "خوب"],
    ["25-34", "35-44"],
    ["1990s", "2000s"],
    [str(number) for number in range(77)],
    [str(number) for number in range(1, 101)],
]


def labelled(labels, repeat=6):
    labels = labels * repeat
    texts = [f"text {number}" for number in range(len(labels))]
    return Examples("train.csv", "table", texts=texts, labels=labels, lines=list(range(2, len(labels) + 2)))


@pytest.mark.parametrize("written", WRITTEN)
def test_a_label_has_one_normal_form(written):
    assert normal_label(written) == "café"
    assert LabelSet.collect(labelled([written, "thé"])).values == ("café", "thé")
    assert LabelSet.declare([written, "thé"]).ids(labelled(["café", written, "thé"], 1)) == [0, 0, 1]


@pytest.mark.parametrize("labels", TAKEN, ids=" ".join)
def test_labels_that_are_names_of_classes_are_taken_as_they_are(labels):
    examples = labelled(labels)
    assert len(LabelSet.collect(examples).values) >= 2
    assert examples.problems == []


WORDS = """nan NaN NAN NA N/A #N/A <NA> null NULL None none NONE nil - ? ?? . -- – — \\N n.a. #REF! #DIV/0! {} TBD"""

LOOKS = {
    "like one class": [
        ["#good", "good"],
        ["'0'", "0"],
        ["1.", "1"],
        ["1\u0301", "1"],
        ["positive", "Positive"],
        ["POSITIVE", "positive", "negative"],
        ["ｐｏｓ", "pos"],
        ["①", "1"],
        ["café", "cafe"],
        ["good", "good."],
        ["good", "“good”"],
        ["not hate", "not_hate", "hate"],
        ["not-hate", "not hate", "hate"],
        ["non–toxic", "non-toxic"],
        ["1", "01"],
        ["+1", "1", "-1"],
        ["сat", "cat"],  # the first begins with a Cyrillic letter
        ["Straße", "STRASSE"],
        ["❤", "❤\ufe0f"],
        ["İyi", "iyi"],
        ["True", "true", "false"],
    ],
    "scores": [
        ["0.05", "0.75", "1.45"],
        ["0,5", "1,5", "2"],
        ["-0.8", "0.3"],
        ["3.5", "4", "4.5"],
        [str(number) for number in range(0, 110, 5)],
        [str(number) for number in range(1999, 2060, 2)],
    ],
    "percentages": [["10%", "20 %"]],
    "lists": [
        ["['joy', 'anger']", "['joy']"],
        ['["a"]', '["b"]'],
        ["[0. 1.]", "[1. 0.]"],
        ["(1, 0)", "(0, 1)"],
        ["{'a': 1}", "{'a': 0}"],
        ["tensor(1)", "tensor(0)"],
        ["array([1])", "array([0])"],
    ],
    "one-hot": [["0 1 0", "1 0 0"], ["0,1", "1,0"], ["0;0;1", "0;1;0"], ["001", "010", "100"], ["4/5", "3/5"]],
    "several labels": [
        ["joy,anger", "joy", "anger, fear"],
        ["toxic|insult", "insult", "clean"],
        ["Drama;Comedy", "Comedy", "Drama"],
    ],
    "dates": [["2020-01-31", "2021-05-06"], ["31/01/2020", "1.5.2021"], ["12:30", "08:15:01"]],
    "addresses": [["https://a.example/1", "https://a.example/2"], ["a@b.org", "c@d.org"]],
    "texts": [["a film that goes on and on for much longer than anybody in the audience had hoped it would", "good"]],
    "some are words": [["1", "2", "Total"], ["0", "1", "unknown"], ["neg", "pos", "12"], ["-1", "x"]],
    "tags of words": [["O", "B-PER", "I-PER"], ["O", "B-LOC", "S-LOC", "E-LOC"]],
}


@pytest.mark.fault("tables: labels that may be no names of classes")
@pytest.mark.parametrize(
    "kind, labels",
    [(kind, labels) for kind, cases in LOOKS.items() for labels in cases],
    ids=lambda value: str(value)[:40],
)
def test_labels_that_may_be_no_classes_are_asked_about_and_the_users_word_is_final(kind, labels):
    with pytest.raises(UserError, match=rf"^train\.csv: .*{kind}.*") as error:
        LabelSet.collect(labelled(labels))
    assert "\n" not in str(error.value)
    if kind != "tags of words":
        assert "--labels" in str(error.value)
    examples = labelled(labels)
    assert len(LabelSet.declare(dict.fromkeys(labels)).ids(examples)) == len(examples.labels) == 6 * len(labels)


@pytest.mark.fault("tables: labels that may be no names of classes")
@pytest.mark.parametrize(
    "word",
    WORDS.split(),
)
def test_words_for_a_missing_value_are_bad_rows_unless_declared(word):
    examples = labelled(["0", word, "1"], 1)
    assert LabelSet.collect(examples).values == ("0", "1")
    ((line, reason),) = examples.problems
    assert line == 3 and reason.startswith(f"label {word!r} is a word for a missing value")
    assert "--labels" in reason
    examples = labelled(["0", word, "1"], 1)
    assert LabelSet.declare(["0", word, "1"]).ids(examples) == [0, 1, 2] and not examples.problems


@pytest.mark.fault("tables: labels that may be no names of classes")
def test_a_label_for_each_row_is_asked_about():
    with pytest.raises(UserError, match=r"12 different labels in 12 rows.*--label_column"):
        LabelSet.collect(labelled([f"u{number}" for number in range(12)], 1))
    assert len(LabelSet.collect(labelled([f"u{number}" for number in range(12)], 2)).values) == 12
    assert len(LabelSet.collect(labelled([f"u{number}" for number in range(9)], 1)).values) == 9


def test_a_label_that_is_invisible_is_empty(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\ngood,1\nbad,\u200b\n\u200b\ufeff,0\n", encoding="utf-8")
    assert read_examples(path).problems == [(3, "empty label"), (4, "empty text")]


def test_numbers_are_folded_by_value_and_words_by_letters():
    assert folded("1") == folded("01") == folded("1.0") == folded("١") != folded("-1")
    assert folded(":)") != folded(":(") and folded("!") != folded("?")
    assert folded("C") != folded("C++")


@pytest.mark.parametrize(
    "case, message",
    [
        ("label-case", "'Negative' and 'negative' look like one class"),
        ("score-as-classes", "look like scores: 8 different numbers"),
        ("two-label-columns", "the label could be 'Sentiment' or 'Stance' or 'Target'"),
    ],
)
def test_published_cases_are_asked_about(shared, case, message):
    (path,) = shared(f"cases/{case}").glob("train.*")
    with pytest.raises(UserError, match=message):
        LabelSet.collect(read_examples(path))


def test_the_published_case_of_missing_labels(shared):
    examples = read_examples(shared("cases/nan-label") / "train.csv")
    assert LabelSet.collect(examples).values == ("0", "1")
    assert [line for line, _ in examples.problems] == [2, 5, 8]
