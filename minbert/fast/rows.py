"""Training on the rows of an embedding that the data uses. The plain counterpart is the whole embedding."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


class UsedRows:
    """The rows of an embedding that occur in the data: only these take part in training steps.

    The others have no gradient. AdamW would multiply each of them by 1 - lr * weight_decay in each step; `decay` does
    that once, by the product of many steps.

    ids  those that occur, in any order
    """

    def __init__(self, embedding: nn.Embedding, ids: Iterable[int]):
        self.embedding, self.full_weight = embedding, embedding.weight
        occurs = torch.zeros(len(self.full_weight), dtype=torch.bool)
        occurs[torch.tensor(list(set(ids)), dtype=torch.int64)] = True
        self.ids = occurs.nonzero().squeeze(1).to(self.full_weight.device)  # [U]
        # id -> its row among the used ones; padding, which may not occur, gets any row: nobody looks at it
        self.numbers = (occurs.cumsum(0) - 1).clamp(min=0)
        self.used = nn.Parameter(self.full_weight.detach()[self.ids], self.full_weight.requires_grad)  # [U, D]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A context in which the embedding holds the used rows alone, under their new numbers."""
        with torch.no_grad():
            self.used.copy_(self.full_weight[self.ids])
        self.embedding.weight = self.used
        try:
            yield
        finally:
            self.put_back()
            self.embedding.weight = self.full_weight

    @torch.no_grad()
    def put_back(self) -> None:
        """Copy the used rows back into the full weight."""
        if self.embedding.weight is self.used:
            self.full_weight[self.ids] = self.used

    @torch.no_grad()
    def decay(self, factor: float) -> None:
        """Multiply the unused rows by factor, in place."""
        used = self.full_weight[self.ids]
        self.full_weight.mul_(factor)
        self.full_weight[self.ids] = used
