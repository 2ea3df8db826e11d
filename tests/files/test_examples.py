"""Files -> examples: every format, and every way in which a row can be bad."""

import csv
import gzip
import hashlib
import io
import random
import re
import string
from collections import Counter
from pathlib import Path

import pytest

from minbert.errors import UserError
from minbert.files import stream, table
from minbert.files.checks import data_warnings, refuse_bad_rows
from minbert.files.examples import Examples, read_examples, read_table
from minbert.files.labels import LabelSet
from tests.stress.fuzz import readers

SHIPPED = Path(__file__).parents[2] / "data" / "reviews"


@pytest.fixture
def file(tmp_path):
    """file("1 ||| good", "train.txt") -> the path of a new file that holds this; text is written as UTF-8."""

    def write(content, name="train.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def rows(examples):
    """[(line, label, text)]"""
    return list(zip(examples.lines, examples.labels, examples.texts))


def bad_lines(examples):
    return [line for line, _ in examples.problems]


# The formats


def test_pipes(file):
    examples = read_examples(file('1 ||| A fine film .\n0 ||| "Dull", \t all of it; \u00e9\n'))
    assert examples.format == "pipes"
    assert rows(examples) == [(1, "1", "A fine film ."), (2, "0", '"Dull", \t all of it; é')]
    assert examples.problems == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_table_with_quotes_delimiters_and_line_breaks_in_its_fields(file, delimiter):
    """Comma from most programs, semicolon from Excel in most of Europe, tab from the rest."""
    texts = ['say "hi"', "one,two;three\tfour", "first line\n\nthird line", "plain"]
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    writer.writerows([["id", "label", "text"], *([n, "yes", text] for n, text in enumerate(texts))])
    examples = read_examples(file(stream.getvalue(), "train.csv"))
    assert examples.format == "table"
    assert rows(examples) == list(zip([2, 3, 4, 7], ["yes"] * 4, texts))
    assert examples.columns == "text, label"
    assert examples.problems == []


def test_table_of_the_stanford_kit(file):
    """Tab-separated though it is called .csv; the first column has no name."""
    content = '\tid\tsentence\tsentiment\n0\ta1\tGood, "really" good .\t3\n1\tb2\t"""Bad"""\t0\n'
    examples = read_examples(file(content, "ids-sst-train.csv"))
    assert rows(examples) == [(2, "3", 'Good, "really" good .'), (3, "0", '"Bad"')]


def test_label_last(file):
    """Quotes are letters here, at the start of a review too."""
    content = '" fun " , they said\t1\n"unfinished\t0\nend"\t1\n'
    examples = read_examples(file(content, "train.tsv"))
    assert examples.format == "label-last"
    assert rows(examples) == [(1, "1", '" fun " , they said'), (2, "0", '"unfinished'), (3, "1", 'end"')]
    assert examples.problems == []


@pytest.mark.parametrize("folder", [".", "stance"])
def test_lines_with_their_labels_beside_them_and_their_names_here_or_above(file, tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    path = file("so happy\nso sad\n", f"{folder}/val_text.txt")
    file("1\n0\n", f"{folder}/val_labels.txt")
    file("0\tsadness\n1\tjoy\n", "mapping.txt")
    examples = read_examples(path)
    assert examples.format == "lines"
    assert rows(examples) == [(1, "1", "so happy"), (2, "0", "so sad")]
    labels = LabelSet.collect(examples)
    assert labels == LabelSet(("0", "1"), ("sadness", "joy"))
    assert labels.ids(examples) == [1, 0]


def test_lines_without_labels(file):
    path = file("one\n\nthree\n", "reviews.txt")
    examples = read_examples(path, format="lines", labels_required=False)
    assert (examples.texts, examples.lines, examples.labels) == (["one", "three"], [1, 3], [])
    assert not examples.labelled
    with pytest.raises(UserError, match=r"NAME_labels\.txt beside NAME_text\.txt"):
        read_examples(path, format="lines")


def test_a_table_may_lack_labels_where_they_are_not_required(file):
    path = file("id,text\n1,new to us\n", "test.csv")
    examples = read_examples(path, labels_required=False)
    assert (examples.texts, examples.labels, examples.columns) == (["new to us"], [], "text")
    with pytest.raises(UserError, match="no column that looks like the label; the columns are 'id', 'text'"):
        read_examples(path)


@pytest.mark.fault("tables: open quotes, ragged rows, NUL, odd encodings, nothing at all")
@pytest.mark.parametrize(
    "name, content",
    [
        ("train.txt", "1 ||| good\n0 ||| bad\n"),
        ("train.csv", "text,label\ngood,1\nbad,0\n"),
        ("train.tsv", "good\t1\nbad\t0\n"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["", "end", "end, blank, blank"])
def test_the_same_rows_however_the_file_was_saved(file, name, content, suffix, end, mark, last):
    """Gzipped; line ends of Unix, Windows, the old Mac; a byte order mark; no last line end, or blank lines."""
    content = content.removesuffix("\n") + "\n" * {"": 0, "end": 1}.get(last, 3)
    data = (mark + content).replace("\n", end).encode()
    examples = read_examples(file(gzip.compress(data) if suffix else data, name + suffix))
    first = 2 if "csv" in name else 1
    assert rows(examples) == [(first, "1", "good"), (first + 1, "0", "bad")]
    assert examples.problems == []


def test_gzipped_lines_have_gzipped_labels(file):
    path = file(gzip.compress(b"good\nbad\n"), "train_text.txt.gz")
    file(gzip.compress(b"1\n0\n"), "train_labels.txt.gz")
    assert rows(read_examples(path)) == [(1, "1", "good"), (2, "0", "bad")]


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_only_a_line_feed_ends_a_line(file, character):
    """Tweets hold characters at which Python's splitlines() cuts."""
    text = f"so{character}happy"
    for name, content in [
        ("a.txt", f"1 ||| {text}\n0 ||| sad\n"),
        ("a.tsv", f"{text}\t1\nsad\t0\n"),
        ("a.csv", f'text,label\n"{text}",1\nsad,0\n'),
    ]:
        assert read_examples(file(content, name)).texts == [text, "sad"]


def test_blank_lines_are_no_rows_but_count_as_lines(file):
    examples = read_examples(file("\n  \n1 ||| good\n\n\t\n0 ||| bad\n\n\n"))
    assert rows(examples) == [(3, "1", "good"), (6, "0", "bad")]
    examples = read_examples(file("\ntext,label\n\ngood,1\n\nbad,0\n\n", "train.csv"))
    assert rows(examples) == [(4, "1", "good"), (6, "0", "bad")]


def test_spaces_around_labels_and_texts_go(file):
    examples = read_examples(file("text, label\n good ,  pos \nbad,pos\n", "train.csv"))
    assert rows(examples) == [(2, "pos", "good"), (3, "pos", "bad")]


def test_texts_longer_than_the_csv_modules_limit(file):
    text = "word " * 40_000 + "end"
    path = file(f'text,label\n{text},1\n"{text}",0\n', "train.csv")
    assert read_examples(path).texts == [text, text]


def test_the_checksum_is_that_of_the_file_as_it_lies_there(file):
    packed = file(gzip.compress(b"1 ||| good\n"), "a.txt.gz")
    assert read_examples(packed).sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()


# Recognising


@pytest.mark.parametrize(
    "content, name, format",
    [
        ("1 ||| text, review\n", "a.csv", "pipes"),
        ("lost its label\n1 ||| good\n", "a.txt", "pipes"),
        ("text,label\nI ||| like it,1\n", "a.txt", "table"),
        ('" Text ";"Label"\ngood;1\n', "a.txt", "table"),
        ("sentence\tlabel\ngood\t1\n", "a.txt", "table"),
        ("good\t1\nbad\t0\n", "a.csv", "label-last"),
        ("good\t1\nno label\nbad\t0\nbad\t0\n", "a.tsv", "label-last"),
        ("good\tpos\nbad\tneg\n", "a.tsv", "label-last"),
    ],
)
def test_a_format_is_recognised_by_content_not_by_the_files_name(file, content, name, format):
    assert read_examples(file(content, name)).format == format


def test_a_format_can_be_named(file):
    path = file("text\tlabel\ngood\t1\n")
    assert rows(read_examples(path)) == [(2, "1", "good")]
    assert rows(read_examples(path, format="label-last")) == [(1, "label", "text"), (2, "1", "good")]
    with pytest.raises(UserError, match="no format excel; known are pipes, table, label-last, lines"):
        read_examples(path, format="excel")


def test_a_header_of_foreign_names_is_no_row(file):
    """A word above numbers: not an example of a class of its own."""
    path = file("Satz\tKlasse\ngut\t1\nschlecht\t0\n", "train.tsv")
    with pytest.raises(UserError, match="the columns are 'Satz', 'Klasse'"):
        read_examples(path)
    assert rows(read_examples(path, text_column="Satz", label_column="Klasse")) == [
        (2, "1", "gut"),
        (3, "0", "schlecht"),
    ]


def test_an_unknown_format_says_what_it_saw_and_what_is_known(file):
    with pytest.raises(UserError, match=r"first line is 'just words'.*label \|\|\| text.*--text_column"):
        read_examples(file("just words\nand more\n"))


# Columns


@pytest.mark.parametrize("header", ["text,label", "TEXT,Label", " Text , LABEL ", '"text","label"', "tweet,stance"])
def test_columns_are_found_whatever_their_case_and_spaces(file, header):
    assert rows(read_examples(file(f"{header}\ngood,1\n", "train.csv"))) == [(2, "1", "good")]


def test_columns_can_be_named(file):
    path = file("text,label,Title,Mood\na,b,c,d\n", "train.csv")
    assert rows(read_examples(path, text_column="title", label_column=" mood ")) == [(2, "d", "c")]
    with pytest.raises(UserError, match=r"no column author; the columns are 'text', 'label', 'Title', 'Mood'\."):
        read_examples(path, text_column="author")
    with pytest.raises(UserError, match=r"no column year.*--label_column"):
        read_examples(path, label_column="year")


def test_a_test_file_may_lack_its_labels_or_keep_an_empty_column_for_them(file):
    for content in ("text\nd\n", "text,year\nd,\n"):
        examples = read_examples(file(content, "test.csv"), label_column="year", labels_required=False)
        assert (examples.texts, examples.labels, examples.problems) == (["d"], [], [])


def test_two_columns_of_one_name_are_not_guessed_at(file):
    with pytest.raises(UserError, match="2 columns are called text; the columns are 'text', 'label', 'text'"):
        read_examples(file("text,label,text\na,1,b\n", "train.csv"))
    path = file("Text,label,text,label2\na,1,b,2\n", "train.csv")
    assert read_examples(path, text_column="text").texts == ["b"]
    assert read_examples(path, text_column="Text").texts == ["a"]


# Files that are none


PACKED = gzip.compress(b"text,label\ngood,1\n" * 99)


@pytest.mark.fault("tables: open quotes, ragged rows, NUL, odd encodings, nothing at all")
@pytest.mark.parametrize(
    "content, message",
    [
        pytest.param(b"", "the file is empty", id="nothing"),
        pytest.param(b"\xef\xbb\xbf", "the file is empty", id="a byte order mark"),
        pytest.param(b"\n\n  \n\t\r\n", "the file is empty", id="blank lines"),
        pytest.param(gzip.compress(b""), "the file is empty", id="nothing, gzipped"),
        pytest.param(b"text,label\n", "a header, but no rows", id="a header"),
        pytest.param(b"text,label\n\n\n", "a header, but no rows", id="a header and blank lines"),
        pytest.param("text,label\n".encode("utf-16"), "a header, but no rows", id="a header in UTF-16"),
        pytest.param(b"\xff\xfet\0e", "not UTF-16 throughout", id="UTF-16 cut short"),
        pytest.param(b"\xfe\xff\xd8\0\0t", "not UTF-16 throughout", id="UTF-16 with half a character"),
        pytest.param(PACKED[:-9], "cannot be read", id="gzip without its end"),
        pytest.param(PACKED[:20], "cannot be read", id="gzip cut short"),
        pytest.param(PACKED[:-8] + b"\0" * 8, "cannot be read", id="gzip with a wrong checksum"),
        pytest.param(PACKED[:10] + b"\xff" * 30, "cannot be read", id="gzip with wrong content"),
        pytest.param(b'"text,label\ngood,1\n', ":1: the header cannot be read: unbalanced quote", id="quote"),
        pytest.param(b"text,caf\xe9\ngood,1\n", ":1: the header cannot be read: not UTF-8", id="Latin-1 header"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(file, content, message):
    path = file(content, "train.csv")
    with pytest.raises(UserError, match=re.escape(str(path)) + f".*{message}"):
        read_examples(path)


def test_a_path_that_is_no_file(file, tmp_path):
    file("1 ||| good\n", "reviews-train.txt")
    with pytest.raises(UserError, match=r"no file .*reviews-tran\.txt; did you mean .*reviews-train\.txt\?"):
        read_examples(tmp_path / "reviews-tran.txt")
    with pytest.raises(UserError, match=r"no file .*unlike\.csv$"):
        read_examples(tmp_path / "unlike.csv")
    with pytest.raises(UserError, match=r"nor a folder .*nowhere"):
        read_examples(tmp_path / "nowhere" / "train.txt")
    with pytest.raises(UserError, match="is a folder"):
        read_examples(tmp_path)


def test_labels_by_line_must_be_as_many_as_the_texts(file):
    path = file("one\ntwo\nthree\n", "train_text.txt")
    labels = file("1\n0\n", "train_labels.txt")
    with pytest.raises(UserError, match=r"train_text\.txt has 3 lines, but .*train_labels\.txt has 2"):
        read_examples(path)
    labels.write_text("1\n0\n1\n0\n")
    with pytest.raises(UserError, match=r"has 3 lines, but .* has 4"):
        read_examples(path)
    for blank_at_the_end in ("1\n0\n1", "1\n0\n1\n\n\n"):
        labels.write_text(blank_at_the_end)
        assert [line for line, _, _ in rows(read_examples(path))] == [1, 2, 3]
        assert read_examples(path).problems == []


@pytest.mark.parametrize(
    "mapping, reason",
    [
        ("0 no\n1 yes\n", "each line should be a label, a tab, its name"),
        ("0\tno\n1\n", "each line should be a label, a tab, its name"),
        (b"0\tno\n1\tcaf\xe9\n", "each line should be a label, a tab, its name"),
        ("0\tno\n0\tyes\n", "two lines have the same label or the same name"),
        ("0\tno\n1\tno \n", "two lines have the same label or the same name"),
    ],
)
def test_a_mapping_that_cannot_be_read(file, mapping, reason):
    path = file("one\n", "train_text.txt")
    file("1\n", "train_labels.txt")
    file(mapping, "mapping.txt")
    with pytest.raises(UserError, match=rf"mapping\.txt: {reason}"):
        read_examples(path)


# Bad rows


@pytest.mark.fault("tables: open quotes, ragged rows, NUL, odd encodings, nothing at all")
@pytest.mark.parametrize(
    "name, content, line, reason",
    [
        ("a.txt", "1 ||| good\n0 - bad\n1 ||| fine\n", 2, "not of the form: label ||| text"),
        ("a.txt", "1 ||| good\n0 ||| bad1 ||| fine\n1 ||| fine\n", 2, "not of the form: label ||| text"),
        ("a.txt", "1 ||| good\n0 |||  \n1 ||| fine\n", 2, "empty text"),
        ("a.txt", "1 ||| good\n ||| bad\n1 ||| fine\n", 2, "empty label"),
        ("a.txt", "1 ||| good\n0 ||| b\0d\n1 ||| fine\n", 2, "NUL character in column 8"),
        ("a.txt", b"1 ||| good\n0 ||| \xc3\xa9 b\xe9d\n1 ||| fine\n", 2, "not UTF-8 (byte 0xe9 in column 10)"),
        ("a.tsv", "good\t1\nbad 0\nfine\t1\n", 2, "not of the form: text, a tab, label"),
        ("a.tsv", "good\t1\nbad\tvery\t0\nfine\t1\n", 2, "not of the form: text, a tab, label"),
        ("a.tsv", "good\t1\n \t0\nfine\t1\n", 2, "empty text"),
        ("a.tsv", "good\t1\nbad\t\nfine\t1\n", 2, "empty label"),
        ("a.csv", "text,label\ngood,1\nbad\nfine,1\n", 3, "ragged row: 1 fields, but the header has 2"),
        ("a.csv", "text,label\ngood,1\nbad, really,0\nfine,1\n", 3, "ragged row: 3 fields, but the header has 2"),
        ("a.csv", 'text,label\ngood,1\n"b\na\nd",0,\nfine,1\n', 3, "ragged row (up to line 5): 3 fields"),
        ("a.csv", 'text,label\ngood,1\n" ",0\nfine,1\n', 3, "empty text"),
        ("a.csv", "text,label\ngood,1\n,0\nfine,1\n", 3, "empty text"),
        ("a.csv", "text,label\ngood,1\nbad,\nfine,1\n", 3, "empty label"),
        ("a.csv", "text,label\ngood,1\nb\0d,0\nfine,1\n", 3, "NUL character in column 2"),
        (
            "a.csv",
            b"text,label\ngood,1\nb\xe9d,0\nfine,1\n",
            3,
            "not UTF-8 (byte 0xe9 in column 2); if it is Latin-1, pass --encoding",
        ),
        ("a.csv", b'text,label\ngood,1\n"b\nmo\xe9d\nd",0\nfine,1\n', 4, "not UTF-8"),
        ("a.csv", 'text,label\ngood,1\n"bad,0\nfine,1\n', 3, "unbalanced quote"),
        ("a.csv", 'text,label\ngood,1\n"b"ad,0\nfine,1\n', 3, "unbalanced quote"),
        ("a.csv", 'text,label\ngood,1\nbad 5",0\nfine,1\n', 3, "unbalanced quote"),
        ("a.csv", "text,label\ngood,1\nb\rd,0\nfine,1\n", 3, "line break outside quotes"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_costs_no_other(file, name, content, line, reason):
    examples = read_examples(file(content, name))
    assert examples.texts == ["good", "fine"]
    assert bad_lines(examples) == [line]
    assert reason in examples.problems[0][1]


@pytest.mark.parametrize(
    "text, label, line, reason",
    [
        (b"good\n\nfine\n", b"1\n0\n1\n", 2, "empty text"),
        (b"good\nbad\nfine\n", b"1\n\n1\n", 2, "empty label"),
        (b"good\nb\xe9d\nfine\n", b"1\n0\n1\n", 2, "not UTF-8"),
        (b"good\nbad\nfine\n", b"1\n0\xff\n1\n", 2, "train_labels.txt: not UTF-8"),
    ],
)
def test_a_bad_row_of_lines(file, text, label, line, reason):
    path = file(text, "train_text.txt")
    file(label, "train_labels.txt")
    examples = read_examples(path)
    assert examples.texts == ["good", "fine"]
    assert bad_lines(examples) == [line]
    assert reason in examples.problems[0][1]


@pytest.mark.fault("tables: open quotes, ragged rows, NUL, odd encodings, nothing at all")
@pytest.mark.parametrize(
    "body, used, bad",
    [
        pytest.param('"b,0 c,1 d,0', "cd", [6], id="never closed"),
        pytest.param('b,0 c,1 "d,0', "bc", [8], id="in the last row"),
        pytest.param('"b,0 c,1 "d",0', "cd", [6], id="closed by a quoted row"),
        pytest.param('"b,0 c,1 ",d",0', "c,d", [6], id="closed by a quoted row that begins with a comma"),
        pytest.param('"b,0 c,1 d",0', "c", [6, 8], id="closed by a row whose first quote is missing"),
        pytest.param('"b,0 d",0', "", [6, 7], id="closed by the next row"),
        pytest.param('"b,0 c,1 d",e,0', "c", [6, 8], id="closed by a ragged row"),
        pytest.param('"b,0 d",e,0', "", [6, 7], id="closed by the next row, a ragged one"),
        pytest.param('"b,b,0 c,1 d,d",0', "c", [6, 8], id="in rows with commas"),
        pytest.param('"b,0 "c,1 "d,0', "", [6, 7, 8], id="in three rows"),
        pytest.param('"b,0 c,1 "d,0 e,1', "ce", [6, 8], id="in two rows"),
        pytest.param('b,"0 c,1 d",0', "c", [6, 8], id="before the label"),
        pytest.param('"b,"0" "c","1" "d","0"', "cd", [6], id="all is quoted, one quote is missing"),
        pytest.param('"b","0 "c","1" "d","0"', "cd", [6], id="all is quoted, the last quote of a row is missing"),
        pytest.param('"b,0 c","1" "d","0"', "d", [6, 7], id="all is quoted, closed by a row whose first is missing"),
    ],
)
@pytest.mark.parametrize("label_first", [False, True])
def test_an_unbalanced_quote_swallows_no_row(file, body, used, bad, label_first):
    """The rows after it survive, also where a later row happens to close it. A row is "text,label", or the reverse."""
    lines = ["text,label", "a,1", "a,1", "a,0", "a,0", *body.split()]
    if label_first:
        lines = [",".join(reversed(line.rsplit(",", 1))) for line in lines]
    examples = read_examples(file("\n".join(lines), "train.csv"))
    assert "".join(examples.texts) == "aaaa" + used
    assert bad_lines(examples) == bad
    assert {reason for _, reason in examples.problems} <= {
        table.UNBALANCED,
        "ragged row: 3 fields, but the header has 2",
    }


def test_a_line_break_that_an_open_quote_ran_over_is_no_fault_of_its_row(file):
    examples = read_examples(file('text,label\na,1\n"b\nc",1\rd,0\ne,1\n', "train.csv"))
    assert examples.texts == ["a", "e"]
    assert examples.problems == [(3, table.UNBALANCED), (4, "line break outside quotes")]


def test_an_unbalanced_quote_before_and_after_a_row_of_several_lines(file):
    body = 'a,1\na,1\na,0\n"b,0\n"c\nc",1\n\nd",0\n"e\n\ne",1\n"f,0\n"\ng",1\n'
    examples = read_examples(file("text,label\n" + body, "train.csv"))
    assert rows(examples)[3:] == [(6, "1", "c\nc"), (10, "1", "e\n\ne"), (14, "1", "g")]
    assert bad_lines(examples) == [5, 9, 13]


def test_an_unbalanced_quote_whose_row_is_cut_off_before_its_label(file):
    examples = read_examples(file('text,label\na,1\na,1\n"b\nc,1\nd",0\n', "train.csv"))
    assert examples.texts == ["a", "a", "c"]
    assert bad_lines(examples) == [4, 6]


@pytest.mark.parametrize(
    "header, row",
    [
        ("text,label", '"{}",1'),
        ("label,text", '1,"{}"'),
        ("id,label,text,split", '7,1,"{}",dev'),
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "Dear all,\nwell, it was good, and, yes, bad, too\n\nBye, you",
        'He said "no, 1\nand, 0" to me',
        "A hit.\nAbout\n1,000 people\ncame to\nsee it.",
        ",\n,",
        '"1\n0"',
    ],
)
def test_a_text_of_several_lines_is_not_taken_for_several_rows(file, header, row, text):
    quoted = row.format(text.replace('"', '""'))
    others = "\n".join(row.format(word) for word in ("good", "fine"))
    examples = read_examples(file(f"{header}\n{others}\n{quoted}\n{others}\n", "train.csv"))
    assert examples.texts == ["good", "fine", text, "good", "fine"]
    assert examples.problems == []


def test_a_label_nobody_knows_is_reported(file):
    examples = read_examples(file("1 ||| good\n0 |||\n2 ||| odd\n0 ||| bad\n"))
    assert LabelSet.declare(["0=negative", "1=positive"]).ids(examples) == [1, 0]
    assert rows(examples) == [(1, "1", "good"), (4, "0", "bad")]
    assert examples.problems == [(2, "empty text"), (3, "label '2' is not one of: 0, 1")]


def test_bad_rows_stop_everything_unless_they_are_to_be_skipped(file):
    path = file("1 ||| good\nno\n0 ||| bad\n1 |||\n")
    examples = read_examples(path)
    with pytest.raises(UserError) as caught:
        refuse_bad_rows(examples)
    listing = f"{path}: 2 bad of 4 rows\n  {path}:2: not of the form: label ||| text\n  {path}:4: empty text"
    assert str(caught.value).startswith(f"{listing}\nNothing was trained.")
    assert "--skip_bad_rows" in str(caught.value)
    assert refuse_bad_rows(examples, skip=True) == listing
    assert refuse_bad_rows(read_examples(file("1 ||| good\n"))) == ""


def test_a_long_list_of_bad_rows_is_cut_but_counted(file):
    examples = read_examples(file("1 ||| good\n" + "no\n" * 30))
    listing = refuse_bad_rows(examples, skip=True, most=4)
    assert "30 bad of 31 rows" in listing
    assert len(re.findall(r":\d+: ", listing)) == 4
    assert listing.endswith("... and 26 more")


def test_skipping_must_leave_a_row(file):
    examples = read_examples(file("1 |||\n0 |||\n"))
    with pytest.raises(UserError, match=r"2 bad of 2 rows(.|\n)*No row is left"):
        refuse_bad_rows(examples, skip=True)


# Labels


@pytest.mark.parametrize(
    "labels, order",
    [
        ("10 9 1 10 2", "1 2 9 10"),
        ("2 -1 0 1 -10", "-10 -1 0 1 2"),
        ("pos neg neu", "neg neu pos"),
        ("10.0 9.0 9", "9 10"),
    ],
)
def test_labels_are_collected_in_their_order(labels, order):
    labels = LabelSet.collect(Examples("train.txt", "pipes", labels=labels.split()))
    assert labels.values == labels.names == tuple(order.split())


def test_a_whole_number_may_be_written_with_a_point(file):
    """pandas writes 1.0 as soon as one cell of the column is empty."""
    train = read_examples(file("text,label\na,2.0\nb,1.0\nc,2\n", "train.csv"))
    labels = LabelSet.collect(train)
    assert labels.values == ("1", "2")
    assert labels.ids(train) == [1, 0, 1]
    dev = read_examples(file("text,label\na,1\nb,2.0\nc,0\n", "dev.csv"))
    assert LabelSet.declare(["1.0=one", "2.0=two"]).ids(dev) == [0, 1]
    assert bad_lines(dev) == [4]


def test_labels_are_declared_in_the_order_of_their_ids(file):
    labels = LabelSet.declare(["pos = positive", "neg"])
    assert labels == LabelSet(("pos", "neg"), ("positive", "neg"))
    for twice in (["a", "b", "a"], ["0=a", "1=a"], ["a", " "]):
        with pytest.raises(UserError, match="twice, or leave it empty"):
            LabelSet.declare(twice)


def test_a_file_may_write_values_names_or_ids():
    def ids(labels, *written):
        examples = Examples("a", "pipes", texts=list(written), labels=list(written), lines=list(range(len(written))))
        return labels.ids(examples), bad_lines(examples)

    assert ids(LabelSet.declare(["neg=negative", "pos=positive"]), "pos", "negative", "1") == ([1, 0, 1], [])
    assert ids(LabelSet.declare(["1=bad", "2=good"]), "1", "2", "good", "0") == ([0, 1, 1], [3])


def test_the_wrong_column_is_noticed_by_its_many_labels():
    examples = Examples("train.csv", "table", labels=[f"id{n}" for n in range(201)])
    with pytest.raises(UserError, match=r"201 different labels, such as 'id0' and 'id99'.*--label_column"):
        LabelSet.collect(examples)
    examples.labels.pop()
    examples.labels *= 2
    assert len(LabelSet.collect(examples).values) == 200


def test_labelled_means_a_label_for_each_text(file):
    examples = read_examples(file("1 ||| good\n0 ||| bad\n"))
    assert examples.labelled
    examples.select([1])
    assert rows(examples) == [(2, "0", "bad")]
    examples.select([])
    assert not examples.labelled


# Warnings


def part(name, texts):
    return Examples(f"{name}.txt", "pipes", texts=texts.split(","))


def test_nothing_is_suspicious_about_ordinary_files():
    files = {"train": part("train", "a,b"), "dev": part("dev", "c,d"), "test": part("test", "e,f")}
    assert data_warnings(files, {"train": [0, 1], "dev": [1, 0], "test": [0, 1]}, ["no", "yes"]) == []
    assert data_warnings({"test": part("test", "a,b")}, {}, ["no", "yes"]) == []


@pytest.mark.fault("tables: labels unknown, missing, all the same or in another order")
def test_a_training_file_of_one_class_is_suspicious():
    files = {"train": part("train", "a,b")}
    (warning,) = data_warnings(files, {"train": [1, 1]}, ["no", "yes"])
    assert warning == "every row of train.txt is labelled yes: there is nothing to learn"
    (warning,) = data_warnings(files, {"train": [1, 0]}, ["no", "yes", "maybe"])
    assert warning == "no row of train.txt is labelled maybe"


@pytest.mark.parametrize("name", ["dev", "test"])
def test_placeholder_labels_are_suspicious(name):
    files = {"train": part("train", "a,b"), name: part(name, "c,d")}
    (warning,) = data_warnings(files, {"train": [0, 1], name: [0, 0]}, ["no", "yes"])
    assert warning == f"every row of {name}.txt is labelled no: placeholders? Scores on it mean nothing"


@pytest.mark.parametrize("name", ["dev", "test"])
def test_texts_of_dev_or_test_in_train_are_suspicious(name):
    files = {"train": part("train", "Good  film,b"), name: part(name, "c,good film,d,b")}
    (warning,) = data_warnings(files, {"train": [0, 1]}, ["no", "yes"])
    assert warning == f"2 of 4 texts of {name}.txt are in the training file too"


# Any file: rows read = rows used + rows reported

PIECES = ["good", "film", " ", " ", ",", ";", "é", "😀", "\u2028", "\x85", "'", "5"]


def random_text(rng, row, more=()):
    pieces = [f"row{row}", *rng.choices([*PIECES, *more], k=rng.randint(0, 9))]
    rng.shuffle(pieces)
    return "".join(pieces)


def random_table(rng):
    """A table with bad rows in it -> its bytes, [(line, label, text)] of the good rows, [line] of the bad ones."""
    delimiter, end = rng.choice(",;\t"), rng.choice(["\n", "\r\n"])
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    header = rng.choice(
        [["text", "label"], ["label", "text"], ["id", "text", "split", "label"], ["label", "id", "text"]]
    )

    def row(*, text="plain", label=None, surplus=()):
        cells = {"text": text, "label": label or rng.choice(["no", "yes"]), "id": "7", "split": "train"}
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=delimiter, quoting=quoting, lineterminator=end)
        writer.writerow([*(cells[name] for name in header), *surplus])
        return stream.getvalue()

    bad_rows = {
        "too few": lambda: f"lonely{end}",
        "too many": lambda: row(surplus=["x"]),
        "too many, two lines": lambda: row(text="one\ntwo", surplus=["x"]),
        "no text": lambda: row(text=" "),
        "no label": lambda: row(label=" "),
        "NUL": lambda: row().replace("plain", "pl\0in"),
        "Latin-1": lambda: row().replace("plain", "\udce9"),
        "Latin-1 in its second line": lambda: row(text="one\ntwo").replace("two", "\udce9"),
        "quote never closed": lambda: row().replace('"', "").replace("plain", '"plain'),
        "quote never opened": lambda: row().replace('"', "").replace("plain", 'plain"'),
        "one quote too few": lambda: row(text=f"one{delimiter}two").replace('two"', "two"),
        "one quote too many": lambda: row().replace("plain", 'pl"ain'),
        "unknown label": lambda: row(label="perhaps"),
    }
    content, line, good, bad = "", 1, [], []
    for number in range(50):
        if number == 0:
            added = delimiter.join(header) + end
        elif rng.random() < 0.1:
            added = end
        elif rng.random() < 0.7:
            text, label = random_text(rng, number, ['"', '"', "\n", delimiter]), rng.choice(["no", "yes"])
            added = row(text=text, label=label)
            good.append((line, label, text.strip()))
        else:
            kind = rng.choice(list(bad_rows))
            added = bad_rows[kind]()
            bad.append(line + ("second" in kind))
        content += added
        line += added.count("\n")
    if rng.random() < 0.5:
        content = content.removesuffix(end)
    return content.encode(errors="surrogateescape"), good, bad


@pytest.mark.fault("tables: open quotes, ragged rows, NUL, odd encodings, nothing at all")
@pytest.mark.parametrize("seed", range(8))
def test_random_tables_lose_no_row(file, seed):
    rng = random.Random(seed)
    for _ in range(40):
        content, good, bad = random_table(rng)
        examples = read_examples(file(content, "train.csv"))
        LabelSet.declare(["no", "yes"]).ids(examples)
        assert rows(examples) == good, content
        assert bad_lines(examples) == bad, content


@pytest.mark.parametrize("format", ["pipes", "label-last"])
def test_random_files_without_quoting_lose_no_row(file, format):
    form, tail = ("{label} ||| {text}", "|||") if format == "pipes" else ("{text}\t{label}", "\t")
    for seed in range(40):
        rng = random.Random(seed)
        lines, good, bad = [], [], []
        for number in range(1, 50):
            kind = rng.choice(["good"] * 20 + ["blank", "no separator", "two", "NUL", "Latin-1", "no text", "no label"])
            text = random_text(rng, number, ['"', '"'])
            label = rng.choice("01")
            lines.append(
                {
                    "good": form.format(text=text, label=label),
                    "blank": " ",
                    "no separator": text,
                    "two": form.format(text=text, label=label) + tail + "x",
                    "NUL": form.format(text=f"\0{text}", label=label),
                    "Latin-1": form.format(text=f"\udce9{text}", label=label),
                    "no text": form.format(text="", label=label),
                    "no label": form.format(text=text, label=""),
                }[kind]
            )
            if kind == "good":
                good.append((number, label, text.strip()))
            elif kind != "blank":
                bad.append(number)
        examples = read_examples(file("\n".join(lines).encode(errors="surrogateescape")), format)
        assert rows(examples) == good
        assert bad_lines(examples) == bad


@pytest.mark.parametrize("line", ['x","', 'x","x', '"x', 'x,"', '"""', '"",', 'x","\nx,x', '"\n"",x'])
def test_twice_the_lines_are_twice_the_work_however_their_quotes_stand(monkeypatch, line):
    """Each of the first of these opens a quote, and ends in an open one too where it stands between quotes."""
    first_record, taken = table.first_record, 0

    def counted(lines, delimiter):
        def count():
            nonlocal taken
            for each in lines:
                taken += 1
                yield each

        return first_record(count(), delimiter)

    def work(times):
        nonlocal taken
        content, taken = ["text,label", *["a,no", "b,yes"] * 2, *line.split("\n") * times], 0
        if reader == "dataset":
            read_table(Examples("train.csv", "table"), content, {})
        else:
            list(stream.read_records(((each, None) for each in content), ","))
        return taken

    monkeypatch.setattr(table, "first_record", counted)
    for reader in ("dataset", "stream"):
        assert 200 <= work(200) < 2.2 * work(100), reader


@pytest.mark.fault("tables: open quotes, ragged rows, NUL, odd encodings, nothing at all")
def test_of_spoilt_files_each_row_is_used_or_reported(tmp_path):
    """A few of those of tests/fuzz, which says what spoils them and what is compared."""
    outcomes = readers.fuzz(200, random.Random(0), tmp_path)
    assert outcomes["read"] + outcomes["refused"] == 3 * 4 * 200
    assert outcomes["rows used"] > 5 * outcomes["rows reported"] > 5 * 1000  # neither kind is rare


# The files that this was made for


@pytest.mark.parametrize(
    "name, format, count",
    [
        ("data/sst/sst-train.txt", "pipes", 8544),
        ("data/sst/sst-dev.txt", "pipes", 1101),
        ("data/sst/sst-test.txt", "pipes", 2210),
        ("data/cfimdb/cfimdb-train.txt", "pipes", 1707),
        ("data/cfimdb/cfimdb-dev.txt", "pipes", 245),
        ("data/cfimdb/cfimdb-test.txt", "pipes", 488),
        ("data/sst2/sst2-train.tsv", "label-last", 6920),
        ("data/sst2/sst2-dev.tsv", "label-last", 872),
        ("data/sst2/sst2-test.tsv", "label-last", 1821),
        ("data/imdb/imdb.csv.gz", "table", 50_000),
    ],
)
def test_published_files_are_read_whole(shared, name, format, count):
    examples = read_examples(shared(name))
    assert examples.format == format
    assert examples.problems == []
    assert len(examples.texts) == len(examples.labels) == count


@pytest.mark.parametrize(
    "name, counts",
    [
        ("data/sst/sst-train.txt", {"0": 1092, "1": 2218, "2": 1624, "3": 2322, "4": 1288}),
        ("data/cfimdb/cfimdb-train.txt", {"0": 856, "1": 851}),
    ],
)
def test_published_label_counts(shared, name, counts):
    examples = read_examples(shared(name))
    assert Counter(examples.labels) == counts
    assert LabelSet.collect(examples).values == tuple(counts)


@pytest.mark.parametrize(
    "task, names",
    [
        ("emotion", ("anger", "joy", "optimism", "sadness")),
        ("irony", ("non_irony", "irony")),
        ("offensive", ("not-offensive", "offensive")),
        *((f"stance/{target}", ("none", "against", "favor")) for target in ("abortion", "atheism", "climate")),
        *((f"stance/{target}", ("none", "against", "favor")) for target in ("feminist", "hillary")),
    ],
)
def test_tweeteval(shared, task, names):
    """As many rows as labels, and each label is one that mapping.txt names."""
    for split in ("train", "val", "test"):
        examples = read_examples(shared(f"data/tweeteval/{task}/{split}_text.txt"))
        assert examples.format == "lines"
        labels = LabelSet.collect(examples)
        assert labels.names == names
        written = shared(f"data/tweeteval/{task}/{split}_labels.txt").read_text().split()
        assert labels.ids(examples) == [int(label) for label in written]
        assert examples.problems == []


def test_reviews_without_labels_one_a_line(shared):
    examples = read_examples(shared("data/imdb/imdb-unlabelled.txt.gz"), format="lines", labels_required=False)
    assert (len(examples.texts), examples.labels, examples.problems) == (50_000, [], [])


@pytest.mark.parametrize("name, count", [("train", 6040), ("dev", 863)])
def test_a_published_table_whose_columns_have_to_be_named(shared, name, count):
    path = shared(f"data/sts/sts-{name}.csv")
    columns = "'', 'id', 'sentence1', 'sentence2', 'similarity'"
    with pytest.raises(UserError, match=f"the columns are {columns}. Name it with --text_column"):
        read_examples(path)
    examples = read_examples(path, text_column="sentence2", label_column="similarity")
    assert len(examples.texts) == count
    assert examples.problems == []
    assert all(0 <= float(label) <= 5 for label in examples.labels)


def test_published_placeholders_are_warned_of(shared):
    """The test labels of CFIMDB are all 0."""
    files = {name: read_examples(shared(f"data/cfimdb/cfimdb-{name}.txt")) for name in ("train", "dev", "test")}
    labels = LabelSet.collect(files["train"])
    ids = {name: labels.ids(examples) for name, examples in files.items()}
    warnings = [sentence for sentence in data_warnings(files, ids, labels.names) if "placeholders" in sentence]
    assert len(warnings) == 1
    assert "cfimdb-test.txt is labelled 0" in warnings[0]


def test_the_shipped_reviews():
    """Balanced; no bad row; no text twice, not even in other capitals or punctuation."""
    seen = Counter()
    for name in ("train", "dev", "test"):
        examples = read_examples(SHIPPED / f"{name}.csv")
        assert examples.format == "table"
        assert examples.columns == "text, label"
        assert examples.problems == []
        half = len(examples.texts) // 2
        assert Counter(examples.labels) == {"negative": half, "positive": half}
        letters = [
            "".join(c for c in text.lower() if c not in string.punctuation + "–—‘’“”…") for text in examples.texts
        ]
        seen.update(" ".join(text.split()) for text in letters)
    assert [text for text, count in seen.items() if count > 1] == []


# Pairs of texts

PAIRED = "sentence1,sentence2,label\nA man plays.,Somebody plays.,1\nA dog.,A cat.,0\n"


def test_a_pair_is_read_where_its_column_is_named(file):
    for how in (
        {"pair_column": "sentence2"},
        {"pairs": True},
        {"text_column": "sentence1", "pair_column": "sentence2"},
    ):
        examples = read_examples(file(PAIRED, "train.csv"), **how)
        assert examples.pairs == ["Somebody plays.", "A cat."] and examples.texts == ["A man plays.", "A dog."]
        assert examples.labels == ["1", "0"] and examples.columns == "sentence1, sentence2, label"
    with pytest.raises(UserError, match="the text could be"):
        read_examples(file(PAIRED.replace("sentence1", "text"), "train.csv"))
    turned = read_examples(file(PAIRED, "train.csv"), text_column="sentence2", pair_column="sentence1")
    assert turned.texts == ["Somebody plays.", "A cat."] and turned.pairs == ["A man plays.", "A dog."]


def test_one_text_of_a_pair_can_be_asked_for(file):
    examples = read_examples(file(PAIRED, "train.csv"), text_column="sentence2", pairs=True)
    assert examples.texts == ["Somebody plays.", "A cat."] and examples.pairs == []


@pytest.mark.parametrize(
    "content, name",
    [
        ('{"premise": "A man.", "hypothesis": "Who?", "label": "no"}\n', "x.jsonl"),
        ('[{"premise": "A man.", "hypothesis": "Who?", "label": "no"}]', "x.json"),
    ],
)
def test_pairs_in_json(file, content, name):
    examples = read_examples(file(content, name), pairs=True)
    assert (examples.texts, examples.pairs, examples.labels) == (["A man."], ["Who?"], ["no"])


def test_a_pair_in_a_table_without_a_header(file):
    examples = read_examples(
        file("a\tb\t1\nc\td\t0\n", "x.tsv"), text_column="1", pair_column="2", label_column="3", no_header=True
    )
    assert examples.texts == ["a", "c"] and examples.pairs == ["b", "d"]


@pytest.mark.fault("tables: rows with one side of a pair alone")
def test_a_pair_with_one_side_is_one_line_with_its_number(file):
    examples = read_examples(file(PAIRED + "A fish., ,1\n,A fish.,1\nA fish.,1\n", "train.csv"), pairs=True)
    assert [(line, reason.partition(":")[0]) for line, reason in examples.problems] == [
        (4, "empty second text"),
        (5, "empty text"),
        (6, "ragged row"),
    ]
    rows = '{"premise": "a", "hypothesis": "b"}\n{"premise": "c", "hypothesis": null}\n{"premise": "d"}\n'
    examples = read_examples(file(rows, "x.jsonl"), pairs=True, labels_required=False)
    assert examples.problems == [(2, "empty second text"), (3, "no field hypothesis")]
    assert examples.texts == ["a"] and examples.pairs == ["b"]


@pytest.mark.parametrize(
    "how, reason",
    [
        ({"text_column": "sentence1", "pair_column": "sentence3"}, "no column sentence3"),
        ({"text_column": "sentence1", "pair_column": "sentence1"}, "is named as the text and as its pair"),
        ({"text_column": "sentence1", "pair_column": "label"}, "is named as the label and as its pair"),
    ],
)
def test_a_column_that_is_no_pair(file, how, reason):
    with pytest.raises(UserError, match=reason):
        read_examples(file(PAIRED, "train.csv"), **how)
    with pytest.raises(UserError, match="--pair_column is for a table"):
        read_examples(file("1 ||| a\n", "x.txt"), format="pipes", pair_column="sentence2")


def test_selected_rows_keep_their_pairs(file):
    examples = read_examples(file(PAIRED, "train.csv"), pairs=True)
    examples.select([1])
    assert (examples.texts, examples.pairs, examples.labels, examples.lines) == (["A dog."], ["A cat."], ["0"], [3])


def test_pairs_that_are_in_the_training_file_too_in_either_order(file):
    train = read_examples(file(PAIRED, "train.csv"), pairs=True)
    test = read_examples(
        file("sentence1,sentence2,label\nsomebody  PLAYS.,A man plays.,1\nA dog.,Somebody plays.,0\n", "test.csv"),
        pairs=True,
    )
    (warning,) = data_warnings({"train": train, "test": test}, {"train": [1, 0], "test": [1, 0]}, ("0", "1"))
    assert warning.startswith("1 of 2 pairs of")


@pytest.mark.fault("tables: half a character in JSON, which no result could be written with")
def test_half_a_character_is_reported(file):
    """JSON can write one half of what UTF-16 has as two; a whole one, written as its halves, is fine."""
    rows = '{"text": "bad \\uD800", "label": "a"}', '{"text": "good \\ud83d\\ude00", "label": "a\\uDFFF"}'
    good = '{"text": "good \\ud83d\\ude00", "label": "b"}'
    for content, name in (("\n".join((*rows, good)), "x.jsonl"), (f"[{rows[0]},\n{rows[1]},\n{good}]", "x.json")):
        examples = read_examples(file(content, name))
        assert examples.texts == ["good \U0001f600"] and examples.labels == ["b"]
        assert examples.problems == [
            (1, r"holds half a character ('\ud800'), which no file can hold"),
            (2, r"holds half a character ('\udfff'), which no file can hold"),
        ]


def test_a_header_of_a_pair_makes_a_table_whatever_the_texts_hold(file):
    """One text with ||| does not make label ||| text of it."""
    examples = read_examples(file("premise,hypothesis,label\na ||| b,c,no\nd,e,yes\n", "train.csv"), pairs=True)
    assert examples.format == "table" and examples.pairs == ["c", "e"] and examples.problems == []
    assert examples.texts == ["a ||| b", "d"]
