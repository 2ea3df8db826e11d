"""minbert/files/mentions.py: names and links in tweets."""

import pytest

from minbert.errors import UserError
from minbert.files.mentions import choose, record, recorded, replace_mentions


@pytest.mark.parametrize(
    "text, written",
    [
        ("@jo  see https://t.co/x @", "@user  see http @"),
        ("mail a@b.c or (@jo) @@", "mail a@b.c or (@jo) @user"),
        ("httpd HTTP http", "http HTTP http"),
        ("@jo\n@al", "@user"),  # only a space ends a word
        ("", ""),
    ],
)
def test_words_that_begin_so_are_replaced(text, written):
    assert replace_mentions(text) == written


def test_a_folder_says_what_its_model_learnt_from(tmp_path):
    assert recorded(tmp_path) is None and choose("m", tmp_path, True) == (True, "")
    record(tmp_path, True)
    assert recorded(tmp_path) is True
    assert choose("m", tmp_path, True) == (True, "") and choose("m", tmp_path, False)[0]
    assert "m learnt from tweets" in choose("m", tmp_path, False)[1]
    record(tmp_path, False)
    (tmp_path / "run.json").write_text("{}")
    assert recorded(tmp_path) is False and choose("m", tmp_path, False) == (False, "")
    assert choose("m", tmp_path, True, learns=True) == (True, "")
    with pytest.raises(UserError, match="--tweets: m learnt from texts with all names and links"):
        choose("m", tmp_path, True)
    (tmp_path / "texts.json").write_text('{"tweets": 1}')
    with pytest.raises(UserError, match="tweets is 1, but only true is supported"):
        recorded(tmp_path)
