"""How a translator learns from pairs of texts (Vaswani et al. 2017, section 5): warm-up, smoothed labels, epochs."""

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minbert.batch import by_length, epoch_order, pad
from minbert.errors import UserError
from minbert.families.marian import MarianForTranslation
from minbert.fast.optimizer import clip as fast_clip
from minbert.fast.optimizer import fused_adamw
from minbert.losses import translation_loss
from minbert.optimizer import AdamW, clip, parameter_groups
from minbert.pretraining.pieces import learn_pieces
from minbert.runs.epochs import Epochs
from minbert.runs.loop import Loop
from minbert.tokenizers.marian import MarianTokenizer
from minbert.tokenizers.unigram import Unigram
from minbert.training import TOKENS, Settings, autocast

SMOOTHING = 0.1  # section 5.4
NEAR = 50  # batches whose pairs are sorted by length together
IGNORED = -100  # the label of padding


@dataclass
class Pairs:
    """Texts and their translations as ids, each with its end."""

    sources: list[list[int]]
    targets: list[list[int]]

    def __len__(self):
        return len(self.sources)


def learn_tokenizer(sources, targets, size: int, max_length: int, watch=lambda pieces: None) -> MarianTokenizer:
    """A tokenizer with at most `size` pieces for each language, learnt from texts and their translations."""
    models = [
        learn_pieces(Counter(word for text in texts for word in text.split()), size, watch)
        for texts in (sources, targets)
    ]
    pieces = sorted({piece for model in models for piece in model.pieces[3:]})
    vocab = {token: id for id, token in enumerate(("</s>", "<unk>", *pieces, "<pad>"))}
    return MarianTokenizer(*map(Unigram, models), vocab, max_length=max_length)


def encode(tokenizer: MarianTokenizer, sources, targets, limit: int) -> tuple[Pairs, int]:
    """The pairs whose texts have at most `limit` tokens, and how many are left out."""
    columns = [each(texts)["input_ids"] for each, texts in ((tokenizer, sources), (tokenizer.of_target, targets))]
    fit = [pair for pair in zip(*columns) if max(map(len, pair)) <= limit]
    if not fit:
        raise UserError(f"no pair is left: in each, a text has more than {limit} tokens")
    return Pairs(*map(list, zip(*fit))), len(columns[0]) - len(fit)


def begin(model, train: Pairs, dev: Pairs | None, settings: Settings, device="cpu", plain=False) -> Loop:
    """The loop of a run, before its first step."""
    return Loop(Translation(model.to(device), train, dev, settings, device, plain), device)


class Translation(Epochs):
    """A translator on pairs. In a step, the texts are of about the same length."""

    def __init__(self, model: MarianForTranslation, train, dev, settings, device, plain):
        self.module, self.train, self.dev, self.settings, self.device = model, train, dev, settings, device
        groups = parameter_groups(model, settings.weight_decay)
        self.optimizer = AdamW(groups, settings.lr) if plain else fused_adamw(groups, settings.lr)
        self.clip = clip if plain else fast_clip
        self.start = {"loss": 0.0}

    def new_order(self, epoch):
        """Shuffled; then each NEAR batches are sorted by length, and put in another order."""
        order, size = epoch_order(len(self.train), self.settings.seed, epoch), self.settings.batch_size
        lengths = np.array([len(pair[0]) + len(pair[1]) for pair in zip(self.train.sources, self.train.targets)])
        near = [order[at : at + NEAR * size] for at in range(0, len(order), NEAR * size)]
        ordered = np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in near])
        whole = len(order) // size
        batches = ordered[: whole * size].reshape(whole, size)[epoch_order(whole, self.settings.seed, epoch)]
        return np.concatenate([batches.flatten(), ordered[whole * size :]])

    def loss(self, progress):
        with autocast(self.device, self.settings.precision):
            found = logits(self.module, self.train, self.rows(progress))
        return translation_loss(*found, SMOOTHING), {}

    def measure(self, progress, bar):
        """The figures of an epoch: loss, seconds, and those of `evaluate` on dev."""
        begin, history = time.perf_counter(), progress["history"]
        figures = {"epoch": len(history) + 1, "loss": progress["loss"] / len(self.train)}
        figures["train_seconds"] = progress["seconds"]
        if self.dev is not None:
            loss, exact = evaluate(self.module, self.dev)
            figures |= {"dev_loss": loss, "dev_exact": exact, "evaluate_seconds": time.perf_counter() - begin}
        progress |= {"loss": 0.0, "seconds": 0.0}
        return figures


def logits(model: MarianForTranslation, pairs: Pairs, rows: list[int]) -> tuple[Tensor, Tensor]:
    """The logits [B, T, V] of what comes next in the translations, and what does come next [B, T], -100 for padding."""
    device = next(model.parameters()).device
    sources = pad([pairs.sources[row] for row in rows], model.config.pad_token_id).to(device)
    mask = pad([[1] * len(pairs.sources[row]) for row in rows], 0).to(device)
    labels = pad([pairs.targets[row] for row in rows], IGNORED).to(device)
    return model(sources, mask, model.decoder_inputs(labels))["logits"], labels


@torch.no_grad()
def evaluate(model: MarianForTranslation, pairs: Pairs) -> tuple[float, float]:
    """The loss of the right translations in nats a token, and the share of them that greedy search would write.

    It writes one exactly if each of its tokens is the likeliest after those before it, so nothing need be searched.
    """
    model.eval()
    total, tokens, right = 0.0, 0, 0
    for rows in by_length([len(target) for target in pairs.targets], TOKENS[next(model.parameters()).device.type]):
        found, labels = logits(model, pairs, rows)
        real = (labels != IGNORED).sum().item()
        total, tokens = total + translation_loss(found, labels, 0.0).item() * real, tokens + real
        right += ((found.argmax(dim=2) == labels) | (labels == IGNORED)).all(dim=1).sum().item()
    return total / tokens, right / len(pairs)
