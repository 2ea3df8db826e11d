"""Ids -> batches: which examples go together, in which order, padded to the longest."""

from typing import NamedTuple

import numpy as np
import torch


class Batch(NamedTuple):
    """Examples side by side; T is the length of the longest of them."""

    input_ids: torch.Tensor  # int64 [B, T]
    attention_mask: torch.Tensor  # int64 [B, T], 1 token, 0 padding
    token_type_ids: torch.Tensor  # int64 [B, T]
    labels: torch.Tensor | None  # int64 [B]

    def to(self, device):
        return Batch(*(None if tensor is None else tensor.to(device) for tensor in self))


def epoch_order(size, seed, epoch):
    """The order of the examples in an epoch: a permutation of range(size) that depends on (seed, epoch) alone."""
    return np.random.default_rng([seed, epoch]).permutation(size)


def by_length(lengths, tokens):
    """Rows of about the same length together, the longest first: lists of row numbers, for one batch each.

    lengths  of each row, in tokens
    tokens   the most that a batch may hold; a longer row is a batch of its own
    """
    rows, room = [], tokens
    for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if rows and lengths[row] > room:
            yield rows
            rows, room = [], tokens
        rows.append(row)
        room -= lengths[row]
    if rows:
        yield rows


def batches(encoding, labels, order, batch_size, pad_token_id=0):
    """Batches of the examples in this order; the last may be smaller.

    encoding  what BertTokenizer returns for a list of texts, unpadded
    labels    their classes, or None
    """
    for start in range(0, len(order), batch_size):
        yield make_batch(encoding, labels, order[start : start + batch_size], pad_token_id)


def make_batch(encoding, labels, rows, pad_token_id=0):
    """The Batch of these examples, as in `batches`."""
    return Batch(
        pad([encoding["input_ids"][row] for row in rows], pad_token_id),
        pad([encoding["attention_mask"][row] for row in rows], 0),
        pad([encoding["token_type_ids"][row] for row in rows], 0),
        None if labels is None else torch.tensor([labels[row] for row in rows]),
    )


def pad(rows, filler):
    """Lists of different lengths -> one tensor [B, T], filled up at the end."""
    length = max(map(len, rows))
    return torch.tensor([row + [filler] * (length - len(row)) for row in rows])
