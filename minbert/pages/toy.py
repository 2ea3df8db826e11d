"""A BERT that one can compute by hand: D = 4, K = 2, two heads, one layer, weights of two decimals.

Its stages are rounded to three decimals before the next one reads them, so that a pocket calculator finds each printed
number from those printed before it. The weights are made up, and what the model says about a text means nothing.
"""

import random
import string

import torch
from torch import Tensor

from minbert.config import Config
from minbert.heads import BertSentClassifier
from minbert.tokenizer import BertTokenizer

DECIMALS, WEIGHT_DECIMALS = 3, 2
NAME = "toy"
SEED = 212
LARGEST = 0.7  # of the weights
WORDS = [
    *("your", "cat", "is", "a", "love", "##ly", "the", "dog", "film", "was", "not", "good", "bad", "an", "and"),
    *("un", "##aff", "##able", "my", "you", "it", "in", "of", "this", "that", "i", "we", "he", "she", "they"),
    *("big", "small", "sat", "on", "mat", "##s", "##ed", "##ing", "##er", "##est", ".", ",", "!", "?", "'", "-"),
]
VOCAB = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *WORDS,
    *(letter for letter in string.ascii_lowercase + string.digits if letter not in WORDS),
    *(f"##{letter}" for letter in string.ascii_lowercase + string.digits if f"##{letter}" not in WORDS),
]
CONFIG = Config(
    vocab_size=len(VOCAB),
    hidden_size=4,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=6,
    max_position_embeddings=32,
    hidden_act="relu",  # no pocket calculator has GELU's error function
    labels=("negative", "positive"),
)


def rounded(x: Tensor) -> Tensor:
    """Each number rounded to three decimals, halves away from zero, as people do it."""
    halves = 1e-9  # what float64 stores is a little above or below what is printed
    return x.sign() * torch.floor(x.abs() * 10**DECIMALS + 0.5 + halves) / 10**DECIMALS


def tokenizer() -> BertTokenizer:
    """Some words, some pieces, and all letters: any English word can be spelt."""
    return BertTokenizer(VOCAB, max_length=CONFIG.max_position_embeddings)


def model() -> BertSentClassifier:
    """The model, in float64. The norms have weight 1 and bias 0, as at the start of training."""
    toy, draw = BertSentClassifier(CONFIG).double(), random.Random(SEED).random
    with torch.no_grad():
        for name, weight in toy.named_parameters():
            if "norm" not in name:
                numbers = [round((2 * draw() - 1) * LARGEST, WEIGHT_DECIMALS) for _ in range(weight.numel())]
                weight.copy_(torch.tensor(numbers, dtype=torch.float64).view_as(weight))
    return toy
