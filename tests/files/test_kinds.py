"""What a file asks for is seen from its form, and no table is taken for anything else."""

import gzip
import json

import pytest

from minbert.errors import UserError
from minbert.files.kinds import check_kind, kind_of

CONLL = "a O\nb B-X\n\nc O\n"
SQUAD = json.dumps({"data": [{"title": "t", "paragraphs": []}]})


@pytest.fixture
def seen(tmp_path):
    """seen(content) -> its kind"""

    def seen(content):
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return kind_of(path)

    return seen


@pytest.mark.parametrize("content, kind", [
    (CONLL, "tags"), (CONLL.replace("\n", "\r\n"), "tags"), (gzip.compress(CONLL.encode(), mtime=0), "tags"),
    ("-DOCSTART- -X- O\nEU NNP B-ORG\nis V O\n", "tags"), ("a\tB\nb\tI\nc\tO\n\nd\tO\n", "tags"),
    ("# id 1\na O\n\n# id 2\nb O\n", "tags"), (SQUAD, "spans"), (SQUAD.replace("{", "{\n ", 1), "spans"),
    ('{"version": "1.1", ' + SQUAD[1:], "spans"), ("\ufeff" + SQUAD, "spans"),
    ('{"version": 1, "text": "a", "label": "b"}\n' * 3, None), ("text,label\na,O\nb,B\n", None),
    ("a good film\tO\na bad film\tB\n", None), ("one\ntwo\n\nthree\n", None), ("", None), (b"PAR1" + bytes(99), None),
    ("positive ||| a\n\nnegative ||| b\n", None), ("a\tE\n\nb\tS\n", None),
])  # fmt: skip
def test_a_kind_is_seen(seen, content, kind):
    assert seen(content) == kind


@pytest.mark.parametrize("content, kind, reason", [
    (CONLL, "class", "needs --label_kind tags, not class"), (SQUAD, "tags", "needs --label_kind spans, not tags"),
    ("text,label\na b,c\n", "spans", "is not SQuAD's JSON"), ("a text,label\na b,c\n", "tags", "is not CoNLL"),
])  # fmt: skip
def test_a_file_that_contradicts_the_kind_is_refused(tmp_path, content, kind, reason):
    (tmp_path / "file").write_text(content)
    with pytest.raises(UserError, match=reason):
        check_kind(tmp_path / "file", kind)


@pytest.mark.parametrize("content", ["one\ntwo\n\nthree\n", "a O\nb X Y\nc O\nd O\n"])
def test_words_without_tags_and_files_with_mistakes_are_left_to_the_reader(tmp_path, content):
    (tmp_path / "file").write_text(content)
    check_kind(tmp_path / "file", "tags")
