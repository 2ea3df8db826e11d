"""The losses that pretraining minimises, and their measurement on held-out text.

BERT's: Devlin et al. 2019, section 3.1. GPT-2's: Radford et al. 2018, equation 1.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from minbert.pretraining.masking import IGNORED, mask_tokens
from minbert.pretraining.teacher import mean_of_words

NEW_HEAD = 5.0  # times the learning rate
TEACHING = 3.0  # nats: the weight of a cosine distance of 1 to the teacher


class Objective(nn.Module):
    """The sum of the masked-LM loss, the next-sentence loss if the model has that head, and the distance to a teacher
    if there is one.

    model     BertForMaskedLM or BertForPreTraining
    new_head  whether its heads are new, but not its encoder
    """

    def __init__(self, model, tokenizer, settings, teacher=None, new_head=False):
        super().__init__()
        self.new_head = new_head
        self.model, self.tokenizer, self.settings, self.teacher = model, tokenizer, settings, teacher
        self.project = nn.Linear(model.config.hidden_size, teacher.size) if teacher else None
        if teacher and model.config.hidden_size == teacher.size:
            nn.init.eye_(self.project.weight)  # it may have inherited the teacher's layers: begin close to them
            nn.init.zeros_(self.project.bias)

    def parts(self):
        """All that learns, {factor of the learning rate: module}: new heads on an old encoder learn faster than it."""
        if not self.new_head:
            return {1.0: self}
        heads = [part for name, part in self.model.named_children() if name != "bert"]
        old = [self.model.bert, *([self.project] if self.teacher else [])]
        return {1.0: nn.ModuleList(old), NEW_HEAD: nn.ModuleList(heads)}

    def forward(self, packed, rng, number, length):
        """The loss on `number` rows of `length` ids, a scalar; and its parts, as floats."""
        device, segments = next(self.parameters()).device, None
        if hasattr(self.model, "next_sentence"):
            rows, segments, order = packed.pairs(rng, number, length)
            segments, order = torch.from_numpy(segments).to(device), torch.from_numpy(order).to(device)
        else:
            rows = packed.rows(rng, number, length)
        shown, labels = mask_tokens(rows, packed, rng, self.settings.mask, self.settings.whole_words)
        output = self.model.bert(torch.from_numpy(shown).to(device), token_type_ids=segments)
        x, labels = output["last_hidden_state"], torch.from_numpy(labels).to(device)
        logits, loss = self.model.predict(x, labels)
        right = (logits.argmax(-1) == labels[labels != IGNORED]).float()
        parts = {"loss": loss.item(), "accuracy": right.mean().item() if len(right) else 0.0}
        if segments is not None:
            order_loss = F.cross_entropy(self.model.next_sentence(output["pooler_output"]).float(), order)
            loss, parts["order_loss"] = loss + order_loss, order_loss.item()
        if self.teacher and self.training:
            target, words = self.teacher.word_vectors(rows, packed, self.tokenizer)
            given = self.project(mean_of_words(x.float(), words, len(target))).float()
            distance = (1 - F.cosine_similarity(given, target))[target.any(dim=-1)]
            distance = distance.sum() / max(1, len(distance))
            loss, parts["distance"] = loss + TEACHING * distance, distance.item()
        return loss, parts


class CausalObjective(nn.Module):
    """The loss of predicting each token from those before it.

    model  GPT2LMHeadModel
    """

    teacher = None

    def __init__(self, model, settings):
        super().__init__()
        self.model, self.settings = model, settings

    def parts(self):
        """As in Objective"""
        return {1.0: self}

    def forward(self, packed, rng, number, length):
        """As in Objective; packed: an IdFile"""
        rows = torch.from_numpy(packed.rows(rng, number, length)).to(next(self.parameters()).device)
        logits, loss = self.model(rows, labels=rows)
        right = (logits[:, :-1].argmax(-1) == rows[:, 1:]).float()
        return loss, {"loss": loss.item(), "accuracy": right.mean().item()}


@torch.no_grad()
def evaluate(objective, packed, length, rows=512):
    """The loss in nats and the accuracy on held-out text, always on the same rows and masks: {"loss", "accuracy"}."""
    objective.eval()
    rng, at_once = np.random.default_rng(0), max(1, objective.settings.batch_tokens // length)
    figures = [objective(packed, rng, at_once, length)[1] for _ in range(max(1, rows // at_once))]
    objective.train()
    return {name: float(np.mean([figure[name] for figure in figures])) for name in ("loss", "accuracy")}
