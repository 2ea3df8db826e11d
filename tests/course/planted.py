"""Each known mistake as a student would make it, and a way to plant it in the package.

PLANTED is {part: {mistake: plant}}; a plant takes pytest's monkeypatch.
"""

import functools
import math
import sys

import torch
from torch import nn
from torch.nn import functional as F

from minbert import AdamW, BertModel, BertSentClassifier, BertTokenizer, attention, encoder, probing, training
from minbert.attention import MultiHeadAttention
from minbert.embeddings import Embeddings
from minbert.encoder import EncoderLayer


def everywhere(original, wrong):
    """A plant that puts a wrong function in the place of the original, under every name that it was imported by."""

    def plant(monkeypatch):
        for name, module in list(sys.modules.items()):
            if name.startswith(("minbert", "tests.parts")):
                for attribute, value in list(vars(module).items()):
                    if value is original:
                        monkeypatch.setattr(module, attribute, wrong)
        for key, value in encoder.ACTIVATIONS.items():
            if value is original:
                monkeypatch.setitem(encoder.ACTIVATIONS, key, wrong)

    return plant


def method(cls, name, wrong):
    return lambda monkeypatch: monkeypatch.setattr(cls, name, wrong)


def after_init(cls, change):
    """A plant that changes a module as soon as it is built."""
    original = cls.__init__

    @functools.wraps(original)
    def init(self, config):
        original(self, config)
        change(self)

    return method(cls, "__init__", init)


# Part 1: WordPiece


def shortest_first(self, word):
    pieces = []
    while word:
        prefix = "##" if pieces else ""
        fit = [word[:end] for end in range(1, len(word) + 1) if prefix + word[:end] in self.vocab]
        if not fit:
            return ["[UNK]"]
        pieces.append(prefix + fit[0])
        word = word[len(fit[0]) :]
    return pieces


def longest_first(self, word, prefix="##", rest=False, limit=200):
    pieces = []
    while word and len(word) <= limit:
        limit = 200
        here = prefix if pieces else ""
        end = len(word)
        while end and here + word[:end] not in self.vocab:
            end -= 1
        if not end:
            return [*pieces, "[UNK]"] if rest else ["[UNK]"]
        pieces.append(here + word[:end])
        word = word[end:]
    return ["[UNK]"] if word else pieces


def from_the_end(self, word):
    pieces = []
    while word and len(word) <= 200:
        for start in range(len(word)):
            piece = "##" + word[start:] if start else word
            if piece in self.vocab:
                pieces = [piece, *pieces]
                word = word[:start]
                break
        else:
            return ["[UNK]"]
    return ["[UNK]"] if word else pieces


def giving_back(self, word):
    def cut(rest, prefix):
        if not rest:
            return []
        for end in range(len(rest), 0, -1):
            if prefix + rest[:end] in self.vocab and (later := cut(rest[end:], "##")) is not None:
                return [prefix + rest[:end], *later]
        return None

    pieces = cut(word, "") if len(word) <= 200 else None
    return ["[UNK]"] if pieces is None else pieces


WORDPIECE = {
    "the shortest piece is taken, not the longest": shortest_first,
    "later pieces are looked up without ##": lambda self, word: longest_first(self, word, prefix=""),
    "only the rest of the word becomes [UNK], not the whole word": lambda self, word: longest_first(
        self, word, rest=True
    ),
    "the pieces are cut from the end of the word": from_the_end,
    "a piece is given back when the rest does not fit": giving_back,
    "the last character is ignored": lambda self, word: longest_first(self, word[:-1]),
    "the limit is 100 characters, not 200": lambda self, word: longest_first(self, word, limit=100),
}


# Part 2: embeddings


def embeddings(segments=True, zeros=False, positions=True, first=0, norm=True):
    def forward(self, input_ids, token_type_ids=None, positions_given=None):
        x = self.token(input_ids)
        if positions:
            x = x + self.position(torch.arange(input_ids.size(1)) + first)
        if segments:
            none = token_type_ids is None or zeros
            x = x + self.segment(torch.zeros_like(input_ids) if none else token_type_ids)
        return self.dropout(self.norm(x) if norm else x)

    return method(Embeddings, "forward", forward)


def set_eps(*names, eps):
    def change(module):
        for name in names:
            getattr(module, name).eps = eps

    return change


# Part 3: attention


def wrong_scores(scale=lambda query: math.sqrt(query.size(-1)), swap=False):
    def attention_scores(query, key):
        query, key = (key, query) if swap else (query, key)
        return query @ key.transpose(-2, -1) / scale(query)

    return everywhere(attention.attention_scores, attention_scores)


def wrong_attend(mask_changed=lambda mask: mask, dim=-1, mix=lambda probabilities, value: probabilities @ value):
    def attend(query, key, value, mask, dropout=lambda x: x):
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
        probabilities = scores.masked_fill(~mask_changed(mask), -1e30).softmax(dim)
        return mix(dropout(probabilities), value), probabilities

    return everywhere(attention.attend, attend)


def share(first, second):
    """Two of the three projections are one layer."""

    def change(module):
        setattr(module, second, getattr(module, first))

    return after_init(MultiHeadAttention, change)


# Part 4: the encoder layer


def layer(order="post", residual=True, second="feed_forward_norm", again=False):
    def forward(self, x, mask):
        if order == "pre":
            looked, probabilities = self.attention(self.attention_norm(x), mask)
            x = x + looked
            return x + self.feed_forward(self.feed_forward_norm(x)), probabilities
        looked, probabilities = self.attention(x, mask)
        looked = self.dropout(looked)
        middle = self.attention_norm(x + looked if residual else looked)
        thought = self.dropout(self.feed_forward(middle))
        start = x if again else middle
        return getattr(self, second)(start + thought if residual else thought), probabilities

    return method(EncoderLayer, "forward", forward)


# Part 5: the classifier


def pool_mean(self, output, attention_mask=None):
    return output["last_hidden_state"].mean(1)


def pool_first(self, output, attention_mask=None):
    return output["last_hidden_state"][:, 0]


def padding_counts(self, output, attention_mask=None):
    if self.config.pooling == "mean":
        return output["last_hidden_state"].mean(1)
    return output["last_hidden_state"][:, 0] if self.config.pooling == "cls" else output["pooler_output"]


def with_logits(change):
    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return change(self.classifier(self.dropout(self.features(input_ids, attention_mask, token_type_ids))))

    return method(BertSentClassifier, "forward", forward)


def train_everything(self, mode=True):
    nn.Module.train(self, mode)
    return self


# Part 6: AdamW


def adamw_step(self, correct=True, l2=False, decay=True, decay_times_lr=True, sign=1, plain=False, eps_inside=False):
    for group in self.param_groups:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            lr, eps, rate, (beta1, beta2) = group["lr"], group["eps"], group["weight_decay"], group["betas"]
            grad, state = weight.grad, self.state[weight]
            grad = grad + rate * weight if l2 else grad
            step = state["t"] = state.get("t", 0) + 1
            mean = state["m"] = state.get("m", 0) * beta1 + (1 - beta1) * grad
            square = state["v"] = state.get("v", 0) * beta2 + (1 - beta2) * grad**2
            if correct:
                mean, square = mean / (1 - beta1**step), square / (1 - beta2**step)
            if decay and not l2:
                weight -= (lr if decay_times_lr else 1) * rate * weight
            divided = mean / ((square + eps).sqrt() if eps_inside else square.sqrt() + eps)
            weight -= sign * lr * (grad if plain else divided)


def adamw(**mistake):
    @torch.no_grad()
    def step(self, closure=None):
        adamw_step(self, **mistake)

    return method(AdamW, "step", step)


# Part 7: from logits to the answer


def train_step(loss_of=F.cross_entropy, clip=nn.utils.clip_grad_norm_, forget=True):
    def step(model, batch, optimizer, weight=None, max_grad_norm=1.0, precision="fp32"):
        *inputs, labels = batch
        loss = loss_of(model(*inputs), labels)
        if forget:
            optimizer.zero_grad()
        loss.backward()
        if max_grad_norm:
            clip(model.parameters(), max_grad_norm)
        optimizer.step()
        return loss.item()

    return everywhere(training.train_step, step)


def divide_by_norm(parameters, max_norm):
    for parameter in parameters:
        parameter.grad /= parameter.grad.norm()


def answer(function):
    @torch.no_grad()
    def predict_proba(self, *inputs):
        was_training = self.training
        self.eval()
        logits = self(*inputs)
        self.train(was_training)
        return function(logits)

    return method(BertSentClassifier, "predict_proba", predict_proba)


# Part 8: fill-mask


def top_tokens(score, largest=True, flip=False):
    def wrong(logits, tokenizer, top=5):
        known = logits[: len(tokenizer.vocab)]
        best = known.topk(min(top, len(known)), largest=largest)
        scores, ids = score(logits, best), best.indices
        rows = list(zip(scores.tolist(), ids.tolist()))
        rows = rows[::-1] if flip else rows
        return [{"score": p, "id": id, "token": tokenizer.convert_ids_to_tokens([id])[0]} for p, id in rows]

    return everywhere(probing.top_tokens, wrong)


def share_of_all(logits, best):
    return logits.softmax(-1)[best.indices]


PLANTED = {
    1: {name: method(BertTokenizer, "wordpiece", function) for name, function in WORDPIECE.items()},
    2: {
        "the segments are forgotten": embeddings(segments=False),
        "the segments are all 0": embeddings(zeros=True),
        "the positions are forgotten": embeddings(positions=False),
        "the positions start at 1": embeddings(first=1),
        "the norm is forgotten": embeddings(norm=False),
        "the norm's eps is torch's 1e-5, not the config's": after_init(Embeddings, set_eps("norm", eps=1e-5)),
        "the norm's eps is 1e-12, not the config's": after_init(Embeddings, set_eps("norm", eps=1e-12)),
    },
    3: {
        "the scores are not scaled by sqrt(K)": wrong_scores(lambda query: 1.0),
        "the scores are divided by sqrt(D), not sqrt(K)": wrong_scores(
            lambda query: math.sqrt(query.size(1) * query.size(-1))
        ),
        "the scores are divided by K, not sqrt(K)": wrong_scores(lambda query: query.size(-1)),
        "query and key are swapped": wrong_scores(swap=True),
        "the mask is ignored": wrong_attend(torch.ones_like),
        "the mask hides rows, not columns": wrong_attend(lambda mask: mask.transpose(-2, -1)),
        "the mask is upside down": wrong_attend(lambda mask: ~mask),
        "the softmax runs over the queries": wrong_attend(dim=-2),
        "the values are returned as they are": wrong_attend(mix=lambda probabilities, value: value),
        "the heads are merged without the transpose": method(
            MultiHeadAttention, "merge", lambda self, x: x.reshape(x.size(0), x.size(2), -1)
        ),
        "the heads are interleaved": method(
            MultiHeadAttention, "merge", lambda self, x: x.permute(0, 2, 3, 1).flatten(2)
        ),
        "query and key share one layer": share("query", "key"),
        "query and value share one layer": share("query", "value"),
        "key and value share one layer": share("key", "value"),
    },
    4: {
        "the GELU is the tanh approximation": everywhere(encoder.gelu, encoder.gelu_tanh),
        "the activation is ReLU, not GELU": everywhere(encoder.gelu, torch.relu),
        "the norms' eps is torch's 1e-5 or BERT's 1e-12, not the config's": after_init(
            EncoderLayer, set_eps("attention_norm", "feed_forward_norm", eps=1e-12)
        ),
        "the norms come first (pre-norm)": layer("pre"),
        "the residual connections are forgotten": layer(residual=False),
        "both times the first norm is used": layer(second="attention_norm"),
        "the second residual adds the layer's input": layer(again=True),
    },
    5: {
        "the first token's vector is read, not the pooler's": method(BertSentClassifier, "pool", pool_first),
        "the mean of the tokens is read, not the pooler's output": method(BertSentClassifier, "pool", pool_mean),
        "padding counts in the mean": method(BertSentClassifier, "pool", padding_counts),
        "the logits are log-probabilities": with_logits(lambda logits: logits.log_softmax(-1)),
        "the logits are probabilities": with_logits(lambda logits: logits.softmax(-1)),
        "the pooler's tanh is forgotten": method(BertModel, "pool", lambda self, x: self.pooler(x[:, 0])),
        "the pooler reads the last token": method(BertModel, "pool", lambda self, x: self.pooler(x[:, -1]).tanh()),
        "the pooler reads the mean of the tokens": method(
            BertModel, "pool", lambda self, x: self.pooler(x.mean(1)).tanh()
        ),
        "the encoder is not frozen": after_init(BertSentClassifier, lambda self: self.bert.requires_grad_(True)),
        "the encoder is frozen in flexible too": after_init(
            BertSentClassifier, lambda self: self.bert.requires_grad_(False)
        ),
        "the frozen encoder is in training mode": method(BertSentClassifier, "train", train_everything),
    },
    6: {
        "the weight does not decay": adamw(decay=False),
        "decay is part of the gradient (L2), not apart from it": adamw(l2=True),
        "the bias is not corrected": adamw(correct=False),
        "decay is not multiplied by the learning rate": adamw(decay_times_lr=False),
        "the step goes uphill": adamw(sign=-1),
        "the step is plain gradient descent": adamw(plain=True),
        "eps is inside the square root": adamw(eps_inside=True),
    },
    7: {
        "the loss is summed, not averaged": train_step(functools.partial(F.cross_entropy, reduction="sum")),
        "the softmax is taken twice": train_step(lambda logits, labels: F.cross_entropy(logits.softmax(-1), labels)),
        "the loss is the probability, not its negative logarithm": train_step(
            lambda logits, labels: F.nll_loss(logits.softmax(-1), labels)
        ),
        "the sign of the loss is wrong": train_step(lambda logits, labels: -F.cross_entropy(logits, labels)),
        "the gradient is not clipped": train_step(clip=lambda parameters, most: None),
        "each number is clipped, not the norm": train_step(clip=nn.utils.clip_grad_value_),
        "the gradient is divided by its norm only": train_step(clip=divide_by_norm),
        "the gradient of the step before is not cleared": train_step(forget=False),
        "the probabilities are logits": answer(lambda logits: logits),
        "the probabilities are log-probabilities": answer(lambda logits: logits.log_softmax(-1)),
        "the probabilities are sigmoids": answer(torch.sigmoid),
        "the softmax runs over the batch": answer(lambda logits: logits.softmax(0)),
    },
    8: {
        "the softmax runs over the best tokens only": top_tokens(lambda logits, best: best.values.softmax(-1)),
        "the scores are logits": top_tokens(lambda logits, best: best.values),
        "the scores are log-probabilities": top_tokens(lambda logits, best: share_of_all(logits, best).log()),
        "the scores are sigmoids": top_tokens(lambda logits, best: best.values.sigmoid()),
        "the least probable tokens are listed": top_tokens(share_of_all, largest=False),
        "the best token comes last": top_tokens(share_of_all, flip=True),
    },
}
