"""The forms of files: each is read by training and by prediction, or refused by both in the same words."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import sys
import tarfile
import zipfile

import pytest

from minbert.errors import UserError
from minbert.files import stream
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet

ROWS = [
    ("I loved it, truly", "pos"),
    ("Dull; and bad", "neg"),
    ("Fine film", "pos"),
    ("Awful stuff", "neg"),
    ("Great fun, é", "pos"),
    ("Boring mess", "neg"),
]
OBJECTS = [{"id": at, "text": text, "label": label} for at, (text, label) in enumerate(ROWS)]
CSV = "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS)
TSV = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS)
JSONL = "".join(json.dumps(each) + "\n" for each in OBJECTS)
BY_NUMBER = {"no_header": True, "text_column": "1", "label_column": "2"}


@pytest.fixture
def both(tmp_path):
    """both(content, name, **how) -> what training reads, [(text, label)], and prediction, [text].

    Where they refuse the file: their messages, without the file's name.
    """

    def outcome(path, read):
        try:
            return read()
        except UserError as error:
            message = str(error)
            assert message.startswith(str(path)) and "\n" not in message
            return message.removeprefix(str(path)).lstrip(": ")

    def read(content, name="some.txt", **how):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

        def train():
            examples = read_examples(path, **how)
            assert not examples.problems, examples.problems
            return list(zip(examples.texts, examples.labels))

        def predict():
            rows = list(stream.read_rows(str(path), **{key: how[key] for key in how if key != "label_column"})[1])
            assert not any(row.problem for row in rows), rows
            return [row.text for row in rows]

        return outcome(path, train), outcome(path, predict)

    return read


def zipped(*names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, CSV)
    return out.getvalue()


def tarred():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        file.addfile(tarfile.TarInfo("train.csv"), io.BytesIO())
    return out.getvalue()


READ = {
    "JSONL": (JSONL, {}),
    "JSONL of other names": (
        "".join(json.dumps({"reviewText": text, "overall": label}) + "\n" for text, label in ROWS),
        {"text_column": "reviewText", "label_column": "overall"},
    ),
    "JSONL with blank lines": (JSONL.replace("\n", "\n\n"), {}),
    "a JSON array": (json.dumps(OBJECTS), {}),
    "a JSON array in many lines": (json.dumps(OBJECTS, indent=2), {}),
    "a JSON array, an object a line": ("[\n" + ",\n".join(map(json.dumps, OBJECTS)) + "\n]\n", {}),
    "fastText": ("".join(f"__label__{label} {text}\n" for text, label in ROWS), {}),
    "bzip2": (bz2.compress(CSV.encode()), {}),
    "xz": (lzma.compress(CSV.encode()), {}),
    "JSONL, gzipped": (gzip.compress(JSONL.encode()), {}),
    "UTF-16": (CSV.encode("utf-16"), {}),
    "UTF-16, little-endian, no mark": (CSV.encode("utf-16-le"), {}),
    "UTF-16, big-endian, no mark": (CSV.encode("utf-16-be"), {}),
    "UTF-16 of Excel, with tabs": (TSV.replace("\n", "\r\n").encode("utf-16"), {}),
    "UTF-16, gzipped": (gzip.compress(CSV.encode("utf-16")), {}),
    "UTF-32": (CSV.encode("utf-32"), {}),
    "cp1252": (CSV.encode("cp1252"), {"encoding": "cp1252"}),
    "Latin-1 by another name": (CSV.encode("latin-1"), {"encoding": "ISO-8859-1"}),
    "UTF-8 by its name": (CSV.encode("utf-8-sig"), {"encoding": "UTF8"}),
    "a sep line": ("sep=;\r\n" + CSV.replace('",', '";').replace("text,", "text;"), {}),
    "a quoted sep line": ('"sep=,"\n' + CSV, {}),
    "a sep line with a tab": ("sep=\t\n" + TSV, {}),
    "a sep line with ^": ("sep=^\n" + TSV.replace("\t", "^"), {}),
    "a sep line in UTF-16": (("sep=,\n" + CSV).encode("utf-16"), {}),
    "bars between the columns": (TSV.replace("\t", "|"), {}),
    "no header": (CSV.partition("\n")[2], BY_NUMBER),
    "no header, tabs": (TSV.partition("\n")[2], BY_NUMBER),
    "no header, semicolons, every cell quoted": (
        "".join(f'"{text}";"{label}"\n' for text, label in ROWS),
        BY_NUMBER,
    ),
    "the numbers by which pandas names columns": (
        CSV.replace("text,label", "0,1"),
        {"text_column": "0", "label_column": "1"},
    ),
}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("name", ["some.txt", "some.csv", "some"])
def test_a_form_is_read_alike_by_training_and_prediction(both, kind, name):
    content, how = READ[kind]
    assert both(content, name, **how) == (ROWS, [text for text, _ in ROWS])


REFUSED = {
    "a pandas object of columns": (json.dumps({"text": {"0": "a"}, "label": {"0": "b"}}), 'orient="records"'),
    "a split pandas object": (json.dumps({"columns": ["text"], "data": [["a"]]}), 'orient="records"'),
    "an object in many lines": (json.dumps({"data": OBJECTS}, indent=1), "a JSON object in several lines"),
    "a notebook": (json.dumps({"cells": [], "nbformat": 4}, indent=1), "a JSON object in several lines"),
    "a notebook in a line": (json.dumps({"cells": [], "nbformat": 4}), "is a notebook"),
    "lists": ("".join(json.dumps(row) + "\n" for row in ROWS), "is JSON of lists"),
    "a list of strings": (json.dumps([text for text, _ in ROWS]), "is JSON of lists"),
    "Python's dictionaries": ("".join(f"{each}\n" for each in OBJECTS), "is of Python's dictionaries"),
    "an array that is cut": (json.dumps(OBJECTS)[:-20], "JSON array cannot be read"),
    "an array with more behind it": (json.dumps(OBJECTS) + "\n{}", "more after the end"),
    "no text field": (
        '{"body": "a", "label": 1}\n' * 3,
        "no column that looks like the text; the columns are 'body', ",
    ),
    "a table in .txt": ("Satz;Note\nja;1\nnein;0\nso;1\n", "the columns are 'Satz', 'Note'.*--format lines"),
    "a table with commas in .txt": ("id,body\n1,ja\n2,nein\n3,so\n", "the columns are 'id', 'body'"),
    "quoted cells in .txt": ('"id","body"\n"1","a, b"\n"2","c"\n"3","d"\n', "the columns are 'id', 'body'"),
    "a table with tabs in .txt": ("id\tbody\tx\n1\tja\ty\n2\tnein\tz\n", "the columns are 'id', 'body', 'x'"),
    "Sentiment140": ('"4","1","Mon","a b, c"\n"0","2","Tue","d e, f"\n', "seems to have no header"),
    "AG News": ('"3","Title","Text of it"\n"4","Other","More of it"\n', "seems to have no header"),
    "text and label, no header": ('"I loved it",pos\n"so bad",neg\n"nice",pos\n', "seems to have no header.*'pos'"),
    "label first, no header, .txt": ("pos;a b;x\nneg;c d;y\npos;e f;z\nneg;g h;w\n", "seems to have no header"),
    "label first, a tab": ("ham\tsee you at ten\nspam\twin a prize\nham\tok then\nham\twell\n", "the first looks like"),
    "an id, a tab, a text": ("".join(f"{at}\t{text}\n" for at, (text, _) in enumerate(ROWS)), "none looks like"),
    "a header over a tab": ("Satz\tNote\na\tp\nb\tq\nc\tp\nd\tq\n", "its first line .* is a header or a row"),
    "tags of words": ("EU\tB-ORG\nrejects\tO\nGerman\tB-MISC\ncall\tO\n", "a tag for each word"),
    "two texts": ("text,sentence,label\na,b,1\nc,d,0\n", "the text could be 'text' or 'sentence'.*--text_column"),
    "a question and a sentence": (
        "question\tsentence\tlabel\na\tb\t1\nc\td\t0\n",
        "the text could be .* or 'question'",
    ),
    "an odd delimiter": ("1::a::b\n2::c::d\n3::e::f\n4::g::h\n", "each line has a '::'"),
    "a header with colons": ("text:label\na b:pos\nc d:neg\n", "each line has a ':'"),
    "quoted cells and colons": ('"a b":"pos"\n"c d":"neg"\n"e":"pos"\n"f":"neg"\n', "each line has a '\":\"'"),
    "a title above a table": ("My data\n" + CSV.replace(",", ";"), "its first line, 'My data', stands above a table"),
    "a title above a table with a tab": ("My data\n" + TSV, "its first line, 'My data', stands above a table"),
    "a title above JSON": ("My data\n" + json.dumps(OBJECTS) + "\n", "some lines are JSON and others are not"),
    "packed twice": (gzip.compress(bz2.compress(CSV.encode())), "is packed twice"),
    "the label after the bars": (
        "".join(f"{text} ||| {label}\n" for text, label in ROWS),
        r"the label seems to come last, but the form is label \|\|\| text",
    ),
    "quoted texts and a tab": (
        "".join(f'"{text}"\t{label}\n' for text, label in ROWS),
        "its texts stand in quotes.*--no_header --text_column N",
    ),
    "columns that are swapped": (
        "label,text\n" + "".join(f'"{text} {at}",{label}\n' for at in range(2) for text, label in ROWS),
        "the columns 'text' and 'label' seem to be swapped",
    ),
    "a first row that begins as a header": (
        "text,pos\n" + CSV.partition("\n")[2],
        "seems to have no header, as its first line has the cell 'pos'",
    ),
    "a header alone": ("text\na b\nc d\n", "its first line is text"),
    "xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), "as Excel's files are: save the table as CSV"),
    "docx": (zipped("[Content_Types].xml", "word/document.xml"), "as Word's files are"),
    "npz": (zipped("arr_0.npy"), "as NumPy's files are"),
    "zip": (zipped("train.csv"), "is a zip archive: unpack it"),
    "tar.gz": (tarred(), "is a tar archive"),
    "pickle": (pickle.dumps(ROWS), "is a pickle"),
    "npy": (b"\x93NUMPY\1\0v\0", "is a NumPy array"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "is an old file of Excel"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\n", "is a PDF"),
    "SQLite": (b"SQLite format 3\0\x10\0", "is an SQLite database"),
    "Arrow": (b"ARROW1\0\0\xff", "is Arrow or Feather"),
    "HDF5": (b"\x89HDF\r\n\x1a\n", "is HDF5"),
    "Stata": (b"<stata_dta><header>\0", "is a Stata file"),
    "SPSS": (b"$FL2@(#) SPSS DATA FILE\0", "is an SPSS file"),
    "R": (gzip.compress(b"RDX3\nX\n\0\0\0"), "is R data"),
    "PNG": (b"\x89PNG\r\n\x1a\n\0", "is an image"),
    "JPEG": (b"\xff\xd8\xff\xe0\0\x10JFIF", "is an image"),
    "zstd": (b"\x28\xb5\x2f\xfd\x24", "is packed with zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0", "is a 7-Zip archive"),
    "HTML": ("\n<!DOCTYPE html>\n<html><body>", "is HTML"),
    "HTML with a mark": ("\ufeff<HTML>", "is HTML"),
    "XML": ('<?xml version="1.0"?>\n<a/>', "is XML"),
    "Git LFS": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a pointer of Git LFS"),
    "ARFF": ("@RELATION x\n@ATTRIBUTE text string\n", "is ARFF"),
    "Markdown": ("| text | label |\n|---|---|\n| a | 1 |\n", "is a Markdown table"),
    "LIBSVM": ("1 1:0.5 3:0.2\n-1 2:1\n", "is LIBSVM"),
    "SQL": ("INSERT INTO reviews VALUES (1, 'a');\n", "is SQL"),
}


@pytest.mark.fault("tables: files of another form, or under another form's name")
@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", ["some.txt", "some"])
def test_a_form_that_is_not_read_is_refused_by_name_and_in_the_same_words(both, kind, name):
    content, words = REFUSED[kind]
    train, predict = both(content, name)
    assert train == predict
    with pytest.raises(UserError, match=words):
        raise UserError(train)


@pytest.mark.fault("tables: files of another form, or under another form's name")
@pytest.mark.parametrize(
    "content, how, words",
    [
        (CSV, {"format": "json"}, "is no JSON array"),
        (CSV, {"format": "jsonl"}, "not a JSON object"),
        (CSV, {"format": "parquet"}, "is not Parquet"),
        (CSV.encode("utf-16"), {"encoding": "latin-1"}, "begins as UTF-16 does"),
        (CSV.encode("utf-8-sig"), {"encoding": "cp1252"}, "begins as UTF-8 does"),
        (CSV.encode("latin-1"), {"encoding": "utf-16"}, "is not UTF-16 throughout"),
        ("1 ||| a\n0 ||| b\n", {"text_column": "text"}, "--text_column is for a table.* this is pipes"),
        ("1 ||| a\n0 ||| b\n", {"quoting": "none"}, "--quoting is for a CSV or TSV, and this is pipes"),
        (JSONL, {"no_header": True, "text_column": "1"}, "--no_header is for a CSV or TSV, and this is jsonl"),
        (CSV, {"no_header": True}, "The first row is: 1 'text', 2 'label'"),
        (CSV, {"no_header": True, "text_column": "3"}, "no column 3; the columns are '1', '2'"),
        (CSV.partition("\n")[2], {"text_column": "I loved it, truly"}, "seems to have no header"),
    ],
)
def test_a_flag_that_does_not_fit_the_file_is_refused(both, content, how, words):
    for message in both(content, "some.csv", **how):
        with pytest.raises(UserError, match=words):
            raise UserError(message)


@pytest.mark.parametrize(
    "content",
    [
        "I loved it, truly\nDull; and bad\nFine film\n",
        "Well, it rained.\nWe went home, of course.\nAnd then, at last, the sun.\nYes, we did.\n",
        "{smiles} hello\n[removed]\n[deleted]\n(sighs)\n",
        "<3 this film\n#1 for me\n@friend see it\n|| so so ||\n",
        "ORCAS are great\nso it is\n",
        '"I loved it"\n"So bad"\n"Nice"\n',
        "1\n2\n3\n",
        "::\na\n",
        "RDX is a chemical\nyes\n",
    ],
)
def test_plain_texts_stay_plain_texts(both, content):
    assert both(content, "some.txt")[1] == content.splitlines()


def test_with_format_lines_each_line_is_a_text(both):
    for content in (CSV, "a\t1\nb\t0\n", JSONL, "<html>\n<body>\n"):
        assert both(content, "some.csv", format="lines")[1] == content.splitlines()


def test_quotes_may_be_letters(both):
    content = 'id\ttext\tlabel\n1\t"Hi" there\tpos\n2\ta 5" screen\tneg\n3\t"all"\tpos\n'
    assert both(content, "some.tsv", quoting="none")[1] == ['"Hi" there', 'a 5" screen', '"all"']


def test_a_stray_quote_is_told_of_quoting(tmp_path):
    path = tmp_path / "some.tsv"
    path.write_text('id\ttext\tlabel\n1\t"Hi" there\tpos\n2\tplain\tneg\n')
    ((line, reason),) = read_examples(path).problems
    assert line == 2 and "--quoting none" in reason


def test_a_header_that_comes_again_is_no_row(tmp_path):
    """Files that were joined."""
    path = tmp_path / "some.csv"
    path.write_text(CSV + CSV, encoding="utf-8")
    examples = read_examples(path)
    assert examples.problems == [(8, "the header again")] and len(examples.texts) == 12
    assert [row.problem for row in stream.read_rows(str(path))[1] if row.problem] == ["the header again"]


@pytest.mark.parametrize(
    "line, reason",
    [
        ('{"text": "a"', "not a JSON object"),
        ('["a", 1]', "not a JSON object"),
        ('{"text": "a", "text": "b", "label": 1}', "a name occurs twice"),
        ('{"text": 5, "label": 1}', "text is not a string: 5"),
        ('{"text": ["a"], "label": 1}', "text is not a string"),
        ('{"text": null, "label": 1}', "empty text"),
        ('{"label": 1}', "no field text"),
        ('{"text": "a", "label": null}', "empty label"),
        ('{"text": "a"}', "empty label"),
        ("[" * 100_000, "not a JSON object"),
    ],
)
def test_a_bad_line_of_jsonl_is_reported(tmp_path, line, reason):
    path = tmp_path / "some.jsonl"
    path.write_text('{"text": "good", "label": 1}\n' * 3 + line + "\n")
    examples = read_examples(path)
    ((number, said),) = examples.problems
    assert number == 4 and reason in said and len(examples.texts) == 3
    if "label" not in reason:
        assert [row.line for row in stream.read_rows(str(path))[1] if row.problem] == [4]


def test_labels_of_json_are_those_of_a_table(tmp_path):
    path = tmp_path / "some.jsonl"
    values = [1, 1.0, "1", True, "True", None]
    path.write_text("".join(json.dumps({"text": "a", "label": value}) + "\n" for value in values))
    examples = read_examples(path)
    assert LabelSet.declare(["1", "True"]).ids(examples) == [0, 0, 0, 1, 1]
    assert examples.problems == [(6, "empty label")]


def test_a_test_file_of_json_may_lack_its_labels(tmp_path):
    for row in ({"text": "a"}, {"text": "a", "label": None}):
        path = tmp_path / "test.jsonl"
        path.write_text(json.dumps(row) + "\n")
        examples = read_examples(path, labels_required=False)
        assert (examples.texts, examples.labels, examples.problems) == (["a"], [], [])


def test_parquet_without_pyarrow_says_what_to_install(both, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    train, predict = both(b"PAR1\0\0", "some.parquet")
    assert train == predict and "pip install pyarrow" in train


def test_parquet(both, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"text": [text for text, _ in ROWS], "label": [int(label == "pos") for _, label in ROWS]})
    features = {"text": {"_type": "Value"}, "label": {"names": ["negative", "positive"], "_type": "ClassLabel"}}
    named = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    for each, names in ((table, ("0", "1")), (named, ("negative", "positive"))):
        parquet.write_table(each, tmp_path / "other.parquet", row_group_size=2)
        content = (tmp_path / "other.parquet").read_bytes()
        expected = [(text, str(int(label == "pos"))) for text, label in ROWS]
        assert both(content, "some.bin") == (expected, [text for text, _ in ROWS])
        assert LabelSet.collect(read_examples(tmp_path / "other.parquet")).names == names
    assert "cannot be read" in both(content[:100], "some.parquet")[0]
    assert "is Parquet: leave --format table out" in both(content, "some.parquet", format="table")[0]


@pytest.mark.parametrize(
    "case, name, how, count",
    [
        ("excel-sep-line", "train.csv", {}, 8),
        ("headerless-csv", "train.csv", {"no_header": True, "text_column": "6", "label_column": "1"}, 4),
        ("predict-jsonl", "new.jsonl", {}, 2),
        ("predict-table-unknown-columns", "new.txt", {"text_column": "SentimentText", "label_column": "Sentiment"}, 8),
        ("raw-quotes-tsv", "train.tsv", {"label_column": "subtask_a", "quoting": "none"}, 8),
    ],
)
def test_the_cases_are_read(shared, both, case, name, how, count):
    train, predict = both(shared(f"cases/{case}/{name}").read_bytes(), name, **how)
    assert len(train) == len(predict) == count and [text for text, _ in train] == predict


@pytest.mark.parametrize(
    "case, name, words",
    [
        ("headerless-csv", "train.csv", "seems to have no header"),
        ("predict-table-unknown-columns", "new.txt", "the columns are 'SentimentText', 'Sentiment'"),
    ],
)
def test_the_cases_are_refused_where_nothing_is_said_of_their_columns(shared, both, case, name, words):
    train, predict = both(shared(f"cases/{case}/{name}").read_bytes(), name)
    assert train == predict and words in train
