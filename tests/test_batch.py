"""Ids -> batches: the order of an epoch, and padding."""

import random

import numpy as np
import pytest
import torch

from minbert.batch import Batch, batches, epoch_order

LENGTHS = [3, 9, 2, 5, 4, 7, 2]  # of the texts; the first id of each is its row + 10


@pytest.fixture
def encoding():
    """Seven texts as the tokenizer returns them, unpadded, no two alike; the second half of each is segment 1."""
    return {
        "input_ids": [[row + 10, *range(50, 50 + length - 1)] for row, length in enumerate(LENGTHS)],
        "attention_mask": [[1] * length for length in LENGTHS],
        "token_type_ids": [[0] * (length - length // 2) + [1] * (length // 2) for length in LENGTHS],
    }


LABELS = [4, 1, 0, 3, 2, 6, 5]


# The order


def test_an_order_is_a_permutation():
    for size in (0, 1, 2, 100):
        assert sorted(epoch_order(size, 11711, 1)) == list(range(size))


def test_an_order_depends_on_seed_and_epoch():
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in (0, 1, 2) for epoch in (0, 1, 2)}
    assert len(orders) == 9


def test_an_order_stays_what_it_is():
    """A change of it, here or in numpy, changes every figure that was published with a seed."""
    assert epoch_order(10, 11711, 1).tolist() == [6, 4, 2, 7, 8, 0, 9, 1, 3, 5]


def test_an_order_neither_reads_nor_moves_the_global_generators():
    def draw():
        return random.random(), np.random.rand(), torch.rand(()).item()

    def seed(value):
        random.seed(value)
        np.random.seed(value)
        torch.manual_seed(value)

    seed(1)
    drawn = draw()
    seed(2)
    order = epoch_order(50, 3, 4).tolist()
    seed(1)
    assert epoch_order(50, 3, 4).tolist() == order
    assert draw() == drawn


# The batches


def test_every_row_comes_once_and_the_last_batch_is_smaller(encoding):
    order = epoch_order(7, 0, 1)
    stream = list(batches(encoding, LABELS, order, batch_size=3))
    assert [len(batch.input_ids) for batch in stream] == [3, 3, 1]
    assert [id - 10 for batch in stream for id in batch.input_ids[:, 0].tolist()] == order.tolist()


def test_a_full_last_batch_is_not_followed_by_an_empty_one(encoding):
    assert [len(batch.input_ids) for batch in batches(encoding, LABELS, range(6), batch_size=3)] == [3, 3]
    assert list(batches(encoding, LABELS, [], batch_size=3)) == []


def test_a_batch_is_padded_to_its_own_longest_text(encoding):
    stream = list(batches(encoding, LABELS, [0, 2, 4, 1, 3], batch_size=2))
    assert [batch.input_ids.shape for batch in stream] == [(2, 3), (2, 9), (1, 5)]
    for batch in stream:
        assert batch.attention_mask.shape == batch.token_type_ids.shape == batch.input_ids.shape


def test_padding_by_hand(encoding):
    """Rows 3 and 0; the filler of the ids is pad_token_id, of the mask and the segments 0."""
    (batch,) = batches(encoding, LABELS, [3, 0], batch_size=2, pad_token_id=99)
    assert batch.input_ids.tolist() == [[13, 50, 51, 52, 53], [10, 50, 51, 99, 99]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 1, 1], [0, 0, 1, 0, 0]]
    assert batch.labels.tolist() == [3, 4]


def test_the_pad_token_is_0_unless_named(encoding):
    (batch,) = batches(encoding, LABELS, [0, 2], batch_size=2)
    assert batch.input_ids[1].tolist() == [12, 50, 0]


def test_the_mask_is_1_on_each_token_and_0_elsewhere(encoding):
    order = epoch_order(7, 5, 2)
    lengths = [n for batch in batches(encoding, LABELS, order, 4) for n in batch.attention_mask.sum(1).tolist()]
    assert lengths == [LENGTHS[row] for row in order]
    for batch in batches(encoding, LABELS, order, 4, pad_token_id=99):
        assert torch.equal(batch.attention_mask == 0, batch.input_ids == 99)


def test_labels_follow_their_rows(encoding):
    order = epoch_order(7, 1, 3)
    labels = [label for batch in batches(encoding, LABELS, order, 3) for label in batch.labels.tolist()]
    assert labels == [LABELS[row] for row in order]


def test_without_labels(encoding):
    stream = list(batches(encoding, None, range(7), batch_size=4))
    assert [batch.labels for batch in stream] == [None, None]
    assert stream[0].to("cpu").labels is None


def test_everything_is_int64(encoding):
    for batch in batches(encoding, LABELS, range(7), batch_size=4):
        assert {tensor.dtype for tensor in batch} == {torch.int64}


def test_a_batch_moves_whole(encoding):
    """Each of its tensors, in its place; the device meta holds shapes only."""
    (batch,) = batches(encoding, LABELS, [0, 1], batch_size=2)
    moved = batch.to("meta")
    assert isinstance(moved, Batch)
    assert [tensor.device.type for tensor in moved] == ["meta"] * 4
    assert [tensor.shape for tensor in moved] == [tensor.shape for tensor in batch]


def test_batches_leave_the_encoding_as_it_is(encoding):
    """It is used again in the next epoch."""
    list(batches(encoding, LABELS, range(7), batch_size=7))
    assert [len(ids) for ids in encoding["input_ids"]] == LENGTHS
