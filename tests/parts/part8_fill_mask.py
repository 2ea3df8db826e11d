"""Part 8: fill-mask, from logits to the best tokens (`top_tokens` in minbert/probing.py).

python -m pytest tests/parts/part8_fill_mask.py
"""

import pytest
import torch

from minbert import BertTokenizer
from minbert.course import mistakes
from minbert.course.diagnosis import check, check_equal
from minbert.probing import top_tokens
from tests.conftest import VOCAB

pytestmark = pytest.mark.part8

BEST = {"film": 0.4, "good": 0.2, "##s": 0.15, "[UNK]": 0.1, "the": 0.05}


@pytest.mark.parametrize("shift", [3.0, -40.0])
def test_five_tokens_by_hand(shift):
    """Five chosen probabilities, the rest shares what is left; a shift of all logits changes nothing."""
    golden = torch.tensor([BEST.get(token, 0.1 / (len(VOCAB) - len(BEST))) for token in VOCAB])
    logits = golden.log() + shift
    rows = top_tokens(logits, BertTokenizer(VOCAB), top=5)
    scores = torch.tensor([row["score"] for row in rows])
    check("fill-mask, scores", scores, torch.tensor(list(BEST.values())), mistakes=mistakes.top_scores(logits, 5))
    check_equal("fill-mask, tokens", [row["token"] for row in rows], list(BEST))
    check_equal("fill-mask, ids", [row["id"] for row in rows], [VOCAB.index(token) for token in BEST])


def test_a_model_may_have_more_rows_than_its_vocabulary_has_tokens():
    """The rows without a token are never listed, but have their share of the probability."""
    logits = torch.zeros(len(VOCAB) + 3)
    logits[[7, -1]] = 5.0
    rows = top_tokens(logits, BertTokenizer(VOCAB), top=100)
    check_equal("fill-mask, number of tokens", len(rows), len(VOCAB))
    check_equal("fill-mask, best token", rows[0]["token"], VOCAB[7])
    check("fill-mask, best score", torch.tensor(rows[0]["score"]), logits.softmax(-1)[7])
