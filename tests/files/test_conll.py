"""Files of tagged words -> sentences, and every way in which a row can be bad."""

import gzip

import pytest

from minbert.errors import UserError
from minbert.files.checks import refuse_bad_rows
from minbert.files.conll import read_conll, refuse_unknown_tags, tag_names

FOUR = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""


@pytest.fixture
def read(tmp_path):
    """read("EU B-ORG\\n") -> Sentences of a file that holds this"""

    def read(content, **how):
        path = tmp_path / "train.conll"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_conll(path, **how)

    return read


def test_words_tags_and_lines(read):
    found = read(FOUR)
    assert found.words == [["EU", "rejects", "German"], ["Peter", "Blackburn"]]
    assert found.tags == [["B-ORG", "O", "B-MISC"], ["B-PER", "I-PER"]]
    assert found.lines == [[3, 4, 5], [7, 8]] and found.problems == [] and found.labelled
    assert tag_names(found) == ("O", "B-MISC", "B-ORG", "B-PER", "I-PER")


@pytest.mark.parametrize("change", [lambda text: text.replace("\n", "\r\n"), lambda text: text.replace(" ", "   ")])
def test_ends_of_lines_and_runs_of_blanks_do_not_count(read, change):
    assert read(change(FOUR)).tags == read(FOUR).tags


def test_a_packed_file(read):
    assert read(gzip.compress(FOUR.encode())).words == read(FOUR).words


def test_with_tabs_a_word_may_hold_a_blank(read):
    found = read("New York\tB-LOC\nis\tO\n \t \n1\u00a0000\tO\n")
    assert found.words == [["New York", "is"], ["1\u00a0000"]]
    assert read("1\u00a0000 O\n").words == [["1\u00a0000"]]


def test_comments_stand_between_sentences_and_a_hash_is_a_word(read):
    found = read("# id 7 domain=en\n# a b\nEU B-ORG\n# O\nx O\n\n# O\n\n# sent 2\ny O\n")
    assert found.words == [["EU", "#", "x"], ["#"], ["y"]] and found.problems == []


def test_iobes_and_tags_without_a_kind(read):
    found = read("a S-PER\nb B-LOC\nc E-LOC\nd U-LOC\ne L-LOC\n\nf B\ng I\n")
    assert tag_names(found) == ("O", "B", "I", "B-LOC", "E-LOC", "L-LOC", "U-LOC", "S-PER")


BAD = [  # a bad row in line 2, the reason
    ("rejects O O", "ragged row: 3 columns, but the first row has 2"),
    ("rejects", "ragged row: 1 columns, but the first row has 2"),
    ("rejects VBZ", "'VBZ' is no tag"),
    ("rejects b-org", "'b-org' is no tag"),
    ("rejects B-", "'B-' is no tag"),
    ("\tO", "no word in the first column"),
    ("r\0 O", "NUL character in column 2"),
    (b"\xff O", "not UTF-8"),
    ("x" * 20_000 + " O", "longer than 10,000 characters"),
]


@pytest.mark.fault("tables: ragged CoNLL rows, and tags that are none")
@pytest.mark.parametrize("row, reason", BAD, ids=range(len(BAD)))
def test_a_bad_row_is_one_line_with_its_number(read, row, reason):
    row = row if isinstance(row, bytes) else row.encode()
    found = read(b"EU B-ORG\n" + row + b"\nGerman O\n\nPeter B-PER\n")
    ((line, why),) = found.problems
    assert line == 2 and reason in why
    assert found.words == [["Peter"]] and found.left_out == 2  # its sentence is not used, and no row is lost
    with pytest.raises(UserError, match=r"train.conll:2: "):
        refuse_bad_rows(found)


def test_a_bad_first_row(read):
    found = read(b"\xff O\nEU B-ORG\n\nPeter B-PER\n")
    assert [line for line, _ in found.problems] == [1] and found.words == [["Peter"]]


@pytest.mark.parametrize(
    "content, reason",
    [("", "the file is empty"), ("\n \n", "the file is empty"), ("EU\nrejects\n", "its tag in the last column")],
)
def test_a_file_that_cannot_be_used(read, content, reason):
    with pytest.raises(UserError, match=reason):
        read(content)
    with pytest.raises(UserError, match="holds no sentence"):
        read("-DOCSTART- O\n")


def test_words_alone_to_be_tagged(read):
    found = read("EU\nrejects\n\nPeter\n", tags_required=False)
    assert found.words == [["EU", "rejects"], ["Peter"]] and found.tags == [] and not found.labelled


def test_a_tag_that_training_never_saw_is_an_error_by_line(read):
    found = read("EU B-ORG\nx O\n\nPeter B-PER\nRiver B-LOC\n\nz O\n")
    refuse_unknown_tags(found, ("O", "B-ORG"))
    assert found.problems == [
        (4, "tag 'B-PER' is not one of: O, B-ORG"),
        (5, "tag 'B-LOC' is not one of: O, B-ORG"),
    ]
    assert found.words == [["EU", "x"], ["z"]] and found.lines == [[1, 2], [7]]


def test_sentences_without_tags_have_no_unknown_one(read):
    found = read("EU\nrejects\n\nPeter\n", tags_required=False)
    refuse_unknown_tags(found, ("O",))
    assert found.words == [["EU", "rejects"], ["Peter"]] and found.problems == []
