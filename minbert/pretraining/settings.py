"""How to pretrain. Apart from the run itself, so that a command can show the defaults before it loads torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How to pretrain."""

    minutes: float | None = None  # the budget: minutes of training, or
    steps: int | None = None  # a number of steps
    batch_tokens: int = 4096
    max_length: int = 128
    short: float = 0.0  # the share of the budget in which rows are a quarter as long (A.2: 0.9, of a million steps)
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.05  # a share of the budget
    mask: float | None = 0.15  # the share of the tokens to predict; None: each next one
    whole_words: bool = False
    max_grad_norm: float = 1.0
    precision: str = "fp32"
    seed: int = 11711

    def spent(self, progress: dict) -> float:
        """The share of the budget that is spent, 1 or more at the end."""
        return progress["steps"] / self.steps if self.steps else progress["seconds"] / (60 * self.minutes)

    def row_length(self, spent: float) -> int:
        """Tokens in a row when this share of the budget is spent."""
        return max(8, self.max_length // 4) if spent < self.short else self.max_length
