"""Part 1: words, pieces, ids (minbert/tokenizer.py, minbert/encoding.py).

python -m pytest tests/parts/part1_wordpiece.py
"""

import pytest

from minbert import BertTokenizer
from tests.conftest import VOCAB
from tests.parts import check_probe, each_probe, hint

pytestmark = pytest.mark.part1


@each_probe(1)
def test_probe(probe):
    check_probe(1, probe)


@pytest.mark.parametrize(
    "word, pieces",
    [
        ("unaffable", "un ##aff ##able"),
        ("wonderfuls", "wo ##nder ##ful ##s"),
        ("xylophone", "[UNK]"),
        ("unfilm", "[UNK]"),  # film only begins words
        ("able", "[UNK]"),  # ##able never does
        ("Film", "[UNK]"),
        ("", ""),
    ],
)
def test_wordpiece_by_hand(word, pieces):
    assert BertTokenizer(VOCAB).wordpiece(word) == pieces.split(), f"WordPiece, {word!r}{hint(1)}"
