"""Known mistakes of part 8: the masked-LM head, its loss, the best tokens."""

import math

import torch
from torch.nn import functional as F

from minbert.course.mistakes import Around

# The head and the loss


def weights(self, tokens):
    return self.decoder.weight if self.decoder else tokens


def inside(self, x):
    return self.norm(self.activation(self.dense(x)))


def active(activation):
    return lambda self, x, t: F.linear(self.norm(activation(self.dense(x))), weights(self, t), self.bias)


HEAD = {
    ("heads.MaskedLMHead.forward", "One layer, activation, norm, dot products, bias."): {
        "the head has no activation": lambda self, x, t: F.linear(
            self.norm(self.dense(x)), weights(self, t), self.bias
        ),
        "the head has an activation of its own, not self.activation": [
            *map(active, (F.gelu, lambda x: F.gelu(x, approximate="tanh"), torch.relu, torch.tanh, F.silu)),
        ],
        "the head's norm has no weight and bias": lambda self, x, t: F.linear(
            F.layer_norm(self.activation(self.dense(x)), x.shape[-1:], eps=self.norm.eps), weights(self, t), self.bias
        ),
        "the head comes twice: layer, activation and norm": lambda self, x, t: F.linear(
            inside(self, inside(self, x)), weights(self, t), self.bias
        ),
        "the head has no norm": lambda self, x, t: F.linear(
            self.activation(self.dense(x)), weights(self, t), self.bias
        ),
        "the head has no layer of its own": lambda self, x, t: F.linear(
            self.norm(self.activation(x)), weights(self, t), self.bias
        ),
        "the head is the dot products only": lambda self, x, t: F.linear(x, weights(self, t), self.bias),
        "the head has neither activation nor norm": lambda self, x, t: F.linear(
            self.dense(x), weights(self, t), self.bias
        ),
        "the head's bias is left out": lambda self, x, t: F.linear(inside(self, x), weights(self, t)),
        "the head's norm comes before the activation": lambda self, x, t: F.linear(
            self.activation(self.norm(self.dense(x))), weights(self, t), self.bias
        ),
        "the head's norm comes first": lambda self, x, t: F.linear(
            self.activation(self.dense(self.norm(x))), weights(self, t), self.bias
        ),
        "the head adds its input (a residual)": [
            lambda self, x, t: F.linear(x + inside(self, x), weights(self, t), self.bias),
            lambda self, x, t: F.linear(self.norm(x + self.activation(self.dense(x))), weights(self, t), self.bias),
        ],
        "the head always decodes with the embeddings": lambda self, x, t: F.linear(inside(self, x), t, self.bias),
        "the logits are log-probabilities": lambda self, x, t: F.linear(
            inside(self, x), weights(self, t), self.bias
        ).log_softmax(-1),
        "the logits are probabilities": lambda self, x, t: F.linear(
            inside(self, x), weights(self, t), self.bias
        ).softmax(-1),
        "the logits are divided by sqrt(D)": [
            lambda self, x, t: F.linear(inside(self, x), weights(self, t), self.bias) / math.sqrt(x.size(-1)),
            lambda self, x, t: F.linear(inside(self, x) / math.sqrt(x.size(-1)), weights(self, t), self.bias),
        ],
    },
    ("heads.MaskedLMHead.forward", "One layer, activation, norm, dot products, bias.", True): {
        "the embeddings do not learn from the head": lambda self, x, t: F.linear(
            inside(self, x), weights(self, t.detach()), self.bias
        ),
        "nothing below the head learns": lambda self, x, t: F.linear(
            inside(self, x.detach()), weights(self, t), self.bias
        ),
    },
}


def predict(
    of=None,
    divide=None,
    positions=lambda labels: labels != -100,
    shift=lambda labels: labels,
    all_logits=False,
    change=lambda x: x,
):
    """A wrong `BertForMaskedLM.predict`.

    of      a function of (logits [N, V], labels [N], labelled [B, T]): the sum of the losses
    divide  a function of (labelled [B, T], N): what it is divided by
    """

    def wrong(self, x, labels=None):
        embeddings = self.bert.embeddings.token.weight
        if labels is None:
            return change(self.predictions(x, embeddings)), None
        labels = shift(labels)
        where = positions(labels)
        logits = self.predictions(x[where], embeddings)
        right = labels[where].clamp(min=0)
        total = of(logits, right, where) if of else F.cross_entropy(logits, right, reduction="sum")
        loss = total / (divide(where, len(logits)) if divide else max(1, len(logits)))
        everywhere = self.predictions(x, embeddings)
        shapes = {True: everywhere, False: logits, "labelled": everywhere[labels != -100]}
        return shapes.get(all_logits, everywhere.flatten(0, 1)), loss

    return wrong


def none_for_nothing(self, x, labels=None):
    return predict()(self, x, labels) if labels is None or (labels != -100).any() else (x[:0] @ x[0, 0], None)


def row_means(logits, labels, where):
    """The sum of the rows' means, times what it will be divided by"""
    losses, counts = F.cross_entropy(logits, labels, reduction="none"), where.sum(1)
    rows = [part.mean() for part in losses.split(counts.tolist()) if len(part)]
    return torch.stack(rows).mean() * max(1, len(logits)) if rows else logits.sum()


LOSS = {
    ("heads.BertForMaskedLM.predict", "Which positions have a label, and by what is divided?", True): {
        "the loss is summed over the labelled positions, not averaged": predict(divide=lambda where, n: 1.0),
        "the loss is divided by all positions, not by the labelled ones": [
            predict(divide=lambda where, n: where.numel()),
            predict(divide=lambda where, n: where.numel(), all_logits=True),
            predict(divide=lambda where, n: where.numel(), all_logits="in a row"),
        ],
        "the mean loss is divided by the labelled positions once more": predict(divide=lambda where, n: max(1, n) ** 2),
        "the loss is divided by the texts, not by the labelled positions": predict(
            divide=lambda where, n: where.size(0)
        ),
        "the loss is a mean of the texts' means": predict(of=row_means),
        "with nothing labelled, the loss is NaN": predict(divide=lambda where, n: float(n) if n else torch.tensor(0.0)),
        "with nothing labelled, the loss is None": none_for_nothing,
        "a label of 0 does not count": predict(positions=lambda labels: labels > 0),
        "the places without a label are taken, not those with one": predict(positions=lambda labels: labels == -100),
        "positions without a label count, as if 0 were the right id": [
            predict(positions=lambda labels: torch.ones_like(labels).bool()),
            predict(positions=lambda labels: torch.ones_like(labels).bool(), all_logits=True),
            predict(positions=lambda labels: torch.ones_like(labels).bool(), all_logits="labelled"),
        ],
        "the label is that of the next position": predict(
            shift=lambda labels: F.pad(labels, (0, 1), value=-100)[:, 1:]
        ),
        "the label is that of the position before": predict(
            shift=lambda labels: F.pad(labels, (1, 0), value=-100)[:, :-1]
        ),
        "the loss is divided by the vocabulary as well": predict(
            of=lambda logits, labels, where: F.cross_entropy(logits, labels, reduction="sum") / logits.size(1)
        ),
        "the loss is in bits, not nats": predict(
            of=lambda logits, labels, where: F.cross_entropy(logits, labels, reduction="sum") / math.log(2)
        ),
        "the sign of the masked-LM loss is wrong": predict(
            of=lambda logits, labels, where: -F.cross_entropy(logits, labels, reduction="sum")
        ),
        "the softmax of the masked-LM loss is taken twice": predict(
            of=lambda logits, labels, where: F.cross_entropy(logits.softmax(-1), labels, reduction="sum")
        ),
        "only the first labelled position counts": predict(
            of=lambda logits, labels, where: (
                F.cross_entropy(logits[:1], labels[:1], reduction="sum") * max(1, len(logits))
                if len(logits)
                else logits.sum()
            )
        ),
        "the logits of all positions come out, although labels are given": [
            predict(all_logits=True),
            predict(all_logits="in a row"),
        ],
        "without labels, log-probabilities come out": predict(change=lambda x: x.log_softmax(-1)),
    },
}


def masked_lm(cls, **dropped):
    def make(right):
        def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None, *rest, **options):
            given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "labels": labels}
            names = ("causal",) if cls == "BertForMaskedLM" else ("next_sentence_label", "causal")
            return right(self, input_ids, **(given | dict(zip(names, rest)) | options | dropped))

        return forward

    return Around(make)


def order_loss(combine):
    """combine  a function of (masked-LM loss or None, next-sentence logits, labels)"""

    def make(right):
        def forward(self, input_ids, mask=None, segments=None, labels=None, next_sentence_label=None, causal=False):
            logits, follows, loss = right(self, input_ids, mask, segments, labels, None, causal)
            return logits, follows, loss if next_sentence_label is None else combine(loss, follows, next_sentence_label)

        return forward

    return Around(make)


def plus(loss, more):
    return more if loss is None else loss + more


def first_token(self, input_ids, mask=None, segments=None, labels=None, next_sentence_label=None, causal=False):
    output = self.bert(input_ids, mask, segments, causal)
    logits, loss = self.predict(output["last_hidden_state"], labels)
    follows = self.next_sentence(output["last_hidden_state"][:, 0])
    if next_sentence_label is not None:
        loss = plus(loss, F.cross_entropy(follows, next_sentence_label))
    return logits, follows, loss


WIRING = {
    ("heads.BertForMaskedLM.forward", "Follow each argument to the encoder."): {
        "the masked-LM's encoder does not get the mask": masked_lm("BertForMaskedLM", attention_mask=None),
        "the masked-LM's encoder does not get the segments": masked_lm("BertForMaskedLM", token_type_ids=None),
        "the masked-LM ignores causal": masked_lm("BertForMaskedLM", causal=False),
    },
    ("heads.BertForPreTraining.forward", "Follow each argument to the encoder."): {
        "in pretraining, the encoder does not get the mask": masked_lm("BertForPreTraining", attention_mask=None),
        "in pretraining, the encoder does not get the segments": masked_lm("BertForPreTraining", token_type_ids=None),
        "the next-sentence head reads the first token, not the pooler's output": first_token,
    },
    ("heads.BertForPreTraining.forward", "Which two losses are added?", True): {
        "the next-sentence loss is left out": order_loss(lambda loss, follows, y: loss),
        "the masked-LM loss is left out": order_loss(lambda loss, follows, y: F.cross_entropy(follows, y)),
        "the two losses are averaged, not added": [
            order_loss(lambda loss, follows, y: plus(loss, F.cross_entropy(follows, y)) / 2),
            order_loss(lambda loss, follows, y: plus(loss, F.cross_entropy(follows, y)) / (1 if loss is None else 2)),
        ],
        "the next-sentence labels are exchanged": order_loss(
            lambda loss, follows, y: plus(loss, F.cross_entropy(follows, 1 - y))
        ),
        "the next-sentence loss is summed, not averaged": order_loss(
            lambda loss, follows, y: plus(loss, F.cross_entropy(follows, y, reduction="sum"))
        ),
    },
}

# The best tokens


def top_tokens(
    score=None,
    largest=True,
    flip=False,
    spare=False,
    count=lambda top: top,
    shift=0,
    leave_out=(),
    token=0,
    ranks=False,
    by_id=False,
    late=False,
):
    """A wrong `top_tokens`. shift, token  of the ids, and of the tokens that are shown; leave_out  ids not to list"""

    def wrong(logits, tokenizer, top=5):
        known = logits if spare else logits[: len(tokenizer)]
        ranked = known.clone()
        ranked[list(leave_out)] = -math.inf
        best = ranked.topk(min(count(top), len(known) - len(leave_out)), largest=largest)
        ids = range(len(best.values)) if ranks else best.indices.tolist()
        rows = [
            {"score": p, "id": id + shift, "token": tokenizer.tokens.get(id + token, "[UNK]")}
            for p, id in zip((score or share)(logits, best, len(tokenizer)).tolist(), ids)
        ]
        rows = [row for row in rows if row["id"] < len(tokenizer)] if late else rows
        return rows[::-1] if flip else sorted(rows, key=lambda row: row["id"]) if by_id else rows

    return wrong


def share(logits, best, size):
    return logits.softmax(-1)[best.indices]


TOP = {
    ("probing.top_tokens", "Softmax over what, then the largest of what?"): {
        "the softmax runs over the best tokens only": top_tokens(lambda logits, best, size: best.values.softmax(-1)),
        "the softmax leaves out the rows without a token": top_tokens(
            lambda logits, best, size: logits[:size].softmax(-1)[best.indices]
        ),
        "the scores are logits": top_tokens(lambda logits, best, size: best.values),
        "the scores are log-probabilities": top_tokens(lambda logits, best, size: logits.log_softmax(-1)[best.indices]),
        "the scores are sigmoids": top_tokens(lambda logits, best, size: best.values.sigmoid()),
        "the scores are exponentials that are not divided by their sum": top_tokens(
            lambda logits, best, size: best.values.exp()
        ),
        "the scores are shares of the largest": top_tokens(
            lambda logits, best, size: (best.values - best.values.max()).exp()
        ),
        "the softmax is taken twice": top_tokens(
            lambda logits, best, size: logits.softmax(-1).softmax(-1)[best.indices]
        ),
        "the least probable tokens are listed": top_tokens(largest=False),
        "the best token comes last": top_tokens(flip=True),
        "rows without a token are listed": top_tokens(spare=True),
        "rows without a token take places in the list": top_tokens(spare=True, late=True),
        "always five tokens are listed": top_tokens(count=lambda top: 5),
        "one token too few is listed": top_tokens(count=lambda top: top - 1),
        "one token too many is listed": top_tokens(count=lambda top: top + 1),
        "the ids are one too large": top_tokens(shift=1),
        "the best tokens come in the order of their ids": top_tokens(by_id=True),
        "the ids are places in the list": top_tokens(ranks=True),
        "special tokens are left out": top_tokens(leave_out=range(5)),
        "special tokens are left out, and the others' ids begin at 0": [
            top_tokens(leave_out=range(5), shift=-5),
            top_tokens(leave_out=range(5), shift=-5, token=-5),
        ],
        "[MASK] is left out": top_tokens(leave_out=(4,)),
        "[UNK] is left out": top_tokens(leave_out=(1,)),
    },
}
KNOWN = HEAD | LOSS | WIRING | TOP
