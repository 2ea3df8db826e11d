"""A batch without its padding: every real token once, and back in its place."""

import pytest
import torch

from minbert.fast.packing import Packing, group
from tests.fast import every_mask


@every_mask
def test_unpadding_keeps_each_real_token_and_padding_it_again_puts_it_back(mask):
    mask = torch.tensor(mask)
    x = torch.randn(*mask.shape, 3)
    packing = Packing(mask)
    rows = packing.unpad(x)
    assert len(rows) == mask.sum()
    assert torch.equal(packing.pad(rows), x * mask[:, :, None])


@pytest.mark.fault("numbers: too little memory for a long batch")
def test_groups_hold_every_text_once_and_no_more_scores_than_fit():
    lengths = [9, 9, 7, 4, 4, 4, 1, 0]
    groups = list(group(lengths, torch.device("cpu"), cache=100))
    assert [rows for _, rows in groups] == [[9], [9], [7, 4], [4, 4, 1]]
    assert [start for start, _ in groups] == [0, 9, 18, 29]
    assert [rows for _, rows in group(lengths, torch.device("cuda"), cache=100)] == [lengths[:-1]]
    lengths = [5, 5, 5, 5, 5, 4, 4, 3]
    assert [rows for _, rows in group(lengths, torch.device("cpu"), cache=1000)] == [[5] * 5, [4, 4, 3]]
    assert [rows for _, rows in group(lengths, torch.device("cpu"), cache=75)] == [[5] * 3, [5, 5, 4], [4, 3]]
