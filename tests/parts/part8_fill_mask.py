"""Part 8: fill-mask, from vectors to the best tokens (minbert/probing.py, the masked-LM head in minbert/heads.py).

python -m pytest tests/parts/part8_fill_mask.py
"""

import pytest
import torch

from minbert import BertTokenizer
from minbert.probing import top_tokens
from tests.conftest import VOCAB
from tests.parts import agree, check_probe, each_probe, hint

pytestmark = pytest.mark.part8

BEST = {"film": 0.4, "good": 0.2, "##s": 0.15, "[UNK]": 0.1, "the": 0.05}


@each_probe(8)
def test_probe(probe):
    check_probe(8, probe)


@pytest.mark.parametrize("shift", [3.0, -40.0])
def test_five_tokens_by_hand(shift):
    """Five chosen probabilities, the rest shares what is left; a shift of all logits changes nothing."""
    golden = torch.tensor([BEST.get(token, 0.1 / (len(VOCAB) - len(BEST))) for token in VOCAB])
    rows = top_tokens(golden.log() + shift, BertTokenizer(VOCAB), top=5)
    agree(8, "fill-mask, scores", torch.tensor([row["score"] for row in rows]), torch.tensor(list(BEST.values())))
    assert [row["token"] for row in rows] == list(BEST), f"fill-mask, tokens{hint(8)}"
