"""Known mistakes of part 8: the masked-LM head and its loss, the best tokens, fill-mask, readouts, sentences."""

import math

import torch
from torch.nn import functional as F

from minbert.course.mistakes import Around
from minbert.probing import Question, answers, fill_position, pseudo_log_likelihood, score_words

# The head and the loss


def weights(self, tokens):
    return self.decoder.weight if self.decoder else tokens


def inside(self, x):
    return self.norm(self.activation(self.dense(x)))


HEAD = {
    ("heads.MaskedLMHead.forward", "One layer, activation, norm, dot products, bias."): {
        "the head has no activation": lambda self, x, t: F.linear(
            self.norm(self.dense(x)), weights(self, t), self.bias
        ),
        "the head has no norm": lambda self, x, t: F.linear(
            self.activation(self.dense(x)), weights(self, t), self.bias
        ),
        "the head has no layer of its own": lambda self, x, t: F.linear(
            self.norm(self.activation(x)), weights(self, t), self.bias
        ),
        "the head is the dot products only": lambda self, x, t: F.linear(x, weights(self, t), self.bias),
        "the head's bias is left out": lambda self, x, t: F.linear(inside(self, x), weights(self, t)),
        "the head's norm comes before the activation": lambda self, x, t: F.linear(
            self.activation(self.norm(self.dense(x))), weights(self, t), self.bias
        ),
        "the head's norm comes first": lambda self, x, t: F.linear(
            self.activation(self.dense(self.norm(x))), weights(self, t), self.bias
        ),
        "the head adds its input (a residual)": lambda self, x, t: F.linear(
            x + inside(self, x), weights(self, t), self.bias
        ),
        "the head always decodes with the embeddings": lambda self, x, t: F.linear(inside(self, x), t, self.bias),
        "the logits are log-probabilities": lambda self, x, t: F.linear(
            inside(self, x), weights(self, t), self.bias
        ).log_softmax(-1),
        "the logits are probabilities": lambda self, x, t: F.linear(
            inside(self, x), weights(self, t), self.bias
        ).softmax(-1),
        "the logits are divided by sqrt(D)": lambda self, x, t: (
            F.linear(inside(self, x), weights(self, t), self.bias) / math.sqrt(x.size(-1))
        ),
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
    """A wrong `BertForMaskedLM.predict`. of  a function of (logits [N, V], labels [N]); divide  of (labelled [B, T], N)"""

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
        return ({True: everywhere, False: logits}.get(all_logits, everywhere.flatten(0, 1))), loss

    return wrong


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
        "the loss is divided by the texts, not by the labelled positions": predict(
            divide=lambda where, n: where.size(0)
        ),
        "the loss is a mean of the texts' means": predict(of=row_means),
        "with nothing labelled, the loss is NaN": predict(divide=lambda where, n: float(n) if n else torch.tensor(0.0)),
        "positions without a label count, as if 0 were the right id": predict(
            positions=lambda labels: torch.ones_like(labels).bool()
        ),
        "the label is that of the next position": predict(
            shift=lambda labels: F.pad(labels, (0, 1), value=-100)[:, 1:]
        ),
        "the label is that of the position before": predict(
            shift=lambda labels: F.pad(labels, (1, 0), value=-100)[:, :-1]
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
        "the logits of all positions come out, although labels are given": predict(all_logits=True),
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
        "the two losses are averaged, not added": order_loss(
            lambda loss, follows, y: plus(loss, F.cross_entropy(follows, y)) / 2
        ),
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
    score=None, largest=True, flip=False, spare=False, count=lambda top: top, shift=0, leave_out=(), token=0
):
    """A wrong `top_tokens`. shift  of the ids; token  of the tokens that are shown; leave_out  ids that are not listed"""

    def wrong(logits, tokenizer, top=5):
        known = logits if spare else logits[: len(tokenizer)]
        ranked = known.clone()
        ranked[list(leave_out)] = -math.inf
        best = ranked.topk(min(count(top), len(known) - len(leave_out)), largest=largest)
        rows = [
            {"score": p, "id": id + shift, "token": tokenizer.tokens.get(id + token, "[UNK]")}
            for p, id in zip((score or share)(logits, best, len(tokenizer)).tolist(), best.indices.tolist())
        ]
        return rows[::-1] if flip else rows

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
        "always five tokens are listed": top_tokens(count=lambda top: 5),
        "one token too few is listed": top_tokens(count=lambda top: top - 1),
        "one token too many is listed": top_tokens(count=lambda top: top + 1),
        "the ids are one too large": top_tokens(shift=1),
        "special tokens are left out": top_tokens(leave_out=range(5)),
        "special tokens are left out, and the others' ids begin at 0": [
            top_tokens(leave_out=range(5), shift=-5),
            top_tokens(leave_out=range(5), shift=-5, token=-5),
        ],
        "[MASK] is left out": top_tokens(leave_out=(4,)),
        "[UNK] is left out": top_tokens(leave_out=(1,)),
    },
}

# Fill-mask


def sides(left=lambda left, right: left, right=lambda left, right: right):
    """A wrong `fill_position` that reads another row of tokens, or another place of it."""

    def wrong(model, tokenizer, before, after, top, words):
        rows = fill_position(model, tokenizer, left(before, after), right(before, after), top, words)
        for row in rows:
            ids = row["id"] if isinstance(row["id"], list) else [row["id"]]
            row["sequence"] = tokenizer.decode([*before, *ids, *after][1:-1])
        return rows

    return wrong


def place(at):
    """The answer is read somewhere else: at  a function of (the right place, tokens of the row, pieces written)"""

    def wrong(model, tokenizer, left, right, top, words):
        def question(written, missing):
            ids = (*left, *written, *[tokenizer.mask_token_id] * missing, *right)
            return Question(ids, at(len(left) + len(written), len(ids), len(written)))

        return rows_of(model, tokenizer, left, right, top, words, question)

    return wrong


def rows_of(model, tokenizer, left, right, top, words, question, order=lambda row: -row[0], p=math.exp):
    if words:
        scores = score_words(model, words, question)
        rows = [(p(scores[word]), words[word]) for word in words]
        rows = sorted(rows, key=order) if order else rows
    else:
        import minbert.probing as probing

        best = probing.top_tokens(next(answers(model, [question([], 1)])), tokenizer, top)
        rows = [(row["score"], [row["id"]]) for row in best]
    return [
        {
            "score": score,
            "id": pieces if len(pieces) > 1 else pieces[0],
            "token": tokenizer.decode(pieces),
            "sequence": tokenizer.decode([*left, *pieces, *right][1:-1]),
        }
        for score, pieces in rows
    ]


def targets(order=lambda row: -row[0], p=math.exp, finish=lambda rows: rows):
    """Wrong scores of given words."""

    def wrong(model, tokenizer, left, right, top, words):
        def question(written, missing):
            ids = (*left, *written, *[tokenizer.mask_token_id] * missing, *right)
            return Question(ids, len(left) + len(written))

        return finish(rows_of(model, tokenizer, left, right, top, words, question, order, p))

    return wrong


def first_piece(model, words, question):
    return {word: next(answers(model, [question([], 1)]))[pieces[0]].item() for word, pieces in words.items()}


def last_piece(model, words, question):
    asked = {word: question(pieces[:-1], 1) for word, pieces in words.items()}
    return {word: next(answers(model, [asked[word]]))[pieces[-1]].item() for word, pieces in words.items()}


def first_of_many(model, words, question):
    """The first piece's probability, with a [MASK] for each piece."""
    return {w: next(answers(model, [question([], len(pieces))]))[pieces[0]].item() for w, pieces in words.items()}


def mean_of_pieces(model, words, question):
    return {word: score / len(words[word]) for word, score in score_words(model, words, question).items()}


def all_at_once(model, words, question):
    """All pieces are read from one row of [MASK]s."""
    found = {}
    for word, pieces in words.items():
        row = question([], len(pieces))
        asked = [row._replace(at=row.at + number) for number in range(len(pieces))]
        found[word] = sum(log_p[piece].item() for log_p, piece in zip(answers(model, asked), pieces))
    return found


def one_mask(model, words, question):
    """The pieces not yet written are left out, but for one [MASK]."""
    found = {}
    for word, pieces in words.items():
        asked = [question(pieces[:number], 1) for number in range(len(pieces))]
        found[word] = sum(log_p[piece].item() for log_p, piece in zip(answers(model, asked), pieces))
    return found


def to_one(rows):
    total = sum(row["score"] for row in rows)
    return [row | {"score": row["score"] / total} for row in rows]


MASK_ID, READ, TARGET = (
    4,
    "At which position does the model answer?",
    "A word of two pieces: which two questions are asked?",
)
FILL = {
    ("probing.score_words", "A word of two pieces: which two questions are asked?"): {
        "a word of several pieces gets its first piece's probability": first_piece,
        "a word of several pieces gets its last piece's probability": last_piece,
        "a word of several pieces gets its first piece's probability, before as many [MASK]s": first_of_many,
        "a word of several pieces gets the mean of its pieces' log-probabilities": mean_of_pieces,
        "all pieces of a word are read at once, none sees the others": all_at_once,
        "there is one [MASK], however many pieces are missing": one_mask,
    },
    ("probing.fill_position", READ): {
        "the answer is read one place to the left": place(lambda at, size, written: at - 1),
        "the answer is read one place to the right": place(lambda at, size, written: at + 1),
        "the answer is read at [CLS]": place(lambda at, size, written: 0),
        "the answer is read at the last token": place(lambda at, size, written: size - 1),
        "each piece of a word is read at its first place": place(lambda at, size, written: at - written),
        "[CLS] and [SEP] are left out": sides(lambda left, right: left[1:], lambda left, right: right[:-1]),
        "[CLS] is left out": sides(lambda left, right: left[1:]),
        "[SEP] is left out": sides(right=lambda left, right: right[:-1]),
        "what follows the [MASK] is left out": sides(right=lambda left, right: right[-1:]),
        "what stands before the [MASK] is left out": sides(lambda left, right: left[:1]),
        "the other [MASK]s are left out": sides(
            lambda left, right: [id for id in left if id != MASK_ID],
            lambda left, right: [id for id in right if id != MASK_ID],
        ),
        "the given words' scores are log-probabilities": targets(p=lambda score: score),
        "the given words' probabilities sum to 1": targets(
            finish=lambda rows: to_one(rows) if len(rows) == 4 else rows
        ),
        "the given words stay in their order": targets(order=None),
        "of the given words, the least probable comes first": targets(order=lambda row: row[0]),
    },
    ("probing.fill_mask", "How many lists come out?"): {
        "of several [MASK]s, only the first is filled": Around(
            lambda right: (
                lambda *given, **options: [
                    found[0] if isinstance((found := right(*given, **options))[0], list) else found
                ][0]
            )
        ),
    },
}


def asked(change=lambda question: question, finish=lambda p: p):
    """`answers` to other questions. change  a function of a Question"""

    def make(right):
        def wrong(model, questions):
            for log_p in right(model, [change(question) for question in questions]):
                yield finish(log_p)

        return wrong

    return Around(make)


def by_hand(padding=True, hide=True, eval=True, keep_mode=True):
    """`answers` written out."""

    def wrong(model, questions):
        longest = max(len(question.ids) for question in questions)
        rows = [list(question.ids) + [0] * (longest - len(question.ids)) for question in questions]
        mask = [
            [int((at != q.hidden or not hide) and (at < len(q.ids) or not padding)) for at in range(longest)]
            for q in questions
        ]
        was = model.training
        model.train(not eval)
        with torch.no_grad():
            x = model.bert(torch.tensor(rows), torch.tensor(mask), causal=questions[0].causal)["last_hidden_state"]
            logits, _ = model.predict(x[range(len(rows)), [question.at for question in questions]])
        model.train(was if keep_mode else False)
        yield from logits.double().log_softmax(-1)

    return wrong


ANSWERS = {
    ("probing.answers", "In which mode is the model?"): {
        "the model gets no mask": by_hand(padding=False, hide=False),
        "the model looks at the padding of shorter questions": by_hand(padding=False),
        "questions are answered with dropout": by_hand(eval=False),
        "after the answers, the model stays in evaluation mode": by_hand(keep_mode=False),
        "the hidden position is not hidden": asked(lambda question: question._replace(hidden=None)),
        "questions are never causal": asked(lambda question: question._replace(causal=False)),
        "the answers are probabilities, not their logarithms": asked(finish=torch.exp),
        "the answers are in bits, not nats": asked(finish=lambda log_p: log_p / math.log(2)),
    },
}

# Readouts, sentences


def readout(change):
    def make(right):
        def question(self, tokenizer, text, written, missing):
            return change(self, right(self, tokenizer, text, written, missing))

        return question

    return Around(make)


READOUT = {
    ("probing.Readout.question", "Write the row of tokens on paper, and mark the place."): {
        "a readout is read one place too early": readout(lambda self, q: q._replace(at=q.at - 1)),
        "a readout is read at the last token": readout(lambda self, q: q._replace(at=len(q.ids) - 1)),
        "a readout is read at [CLS]": readout(lambda self, q: q._replace(at=0)),
        "a readout ignores hide_sep": readout(lambda self, q: q._replace(hidden=None)),
        "a readout ignores causal": readout(lambda self, q: q._replace(causal=False)),
        "a readout without [SEP] has one": readout(lambda self, q: q if self.sep else q._replace(ids=(*q.ids, 3))),
        "a readout has no [CLS]": readout(lambda self, q: q._replace(ids=q.ids[1:], at=q.at - 1)),
        "a readout has one [MASK], however many pieces are missing": Around(
            lambda right: lambda self, tokenizer, text, written, missing: right(self, tokenizer, text, written, 1)
        ),
        "a readout forgets the pieces written so far": Around(
            lambda right: lambda self, tokenizer, text, written, missing: right(self, tokenizer, text, [], missing)
        ),
    },
}


def likelihood(finish=lambda total, rows: (total, rows), **fixed):
    def make(right):
        def wrong(model, tokenizer, text, whole_words=False):
            return finish(*right(model, tokenizer, text, **({"whole_words": whole_words} | fixed)))

        return wrong

    return Around(make)


def sees_itself(model, tokenizer, text, whole_words=False):
    ids = [tokenizer.cls_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.sep_token_id]
    asked = [Question(tuple(ids), at) for at in range(1, len(ids) - 1)]
    scores = [log_p[id].item() for id, log_p in zip(ids[1:-1], answers(model, asked))]
    return sum(scores), list(zip(tokenizer.convert_ids_to_tokens(ids[1:-1]), scores))


def compared(change):
    def make(right):
        def compare(model, tokenizer, first, second, whole_words=False):
            return change(right(model, tokenizer, first, second, whole_words), (model, tokenizer, first, second))

        return compare

    return Around(make)


def mean_score(found, given):
    model, tokenizer, *texts = given
    scores = [total / len(rows) for total, rows in (pseudo_log_likelihood(model, tokenizer, text) for text in texts)]
    return found | {"scores": scores, "preferred": int(scores[1] > scores[0])}


SUM = "A text of three tokens: which three numbers are added?"
SENTENCES = {
    ("probing.pseudo_log_likelihood", SUM): {
        "a sentence's score is the mean, not the sum": likelihood(lambda total, rows: (total / len(rows), rows)),
        "a sentence's score is a perplexity": likelihood(lambda total, rows: (math.exp(-total / len(rows)), rows)),
        "the sign of a sentence's score is wrong": likelihood(lambda total, rows: (-total, rows)),
        "a sentence's tokens are not masked: each sees itself": sees_itself,
        "whole_words is ignored": likelihood(whole_words=False),
        "the later pieces of a word are always masked": likelihood(whole_words=True),
    },
    ("probing.compare", "Which sum is larger?"): {
        "of two sentences, the less likely is preferred": compared(
            lambda found, given: found | {"preferred": 1 - found["preferred"]}
        ),
        "two sentences are compared by their means": compared(mean_score),
    },
}


def corrected(change):
    def make(right):
        def compare_with_prior(log_p, prior):
            return change(right, log_p, prior)

        return compare_with_prior

    return Around(make)


def gains(of):
    """The figures with another gain. of  a function of (log P, log prior)"""

    def change(right, log_p, prior):
        gain = {word: of(log_p[word], prior[word]) for word in log_p}
        parts = torch.tensor(list(gain.values()), dtype=torch.float64).softmax(0).tolist()
        return right(log_p, prior) | {"corrected": dict(zip(gain, parts)), "corrected_label": max(gain, key=gain.get)}

    return corrected(change)


def ratios(change):
    def make(right):
        return lambda log_p: change(right, log_p)

    return Around(make)


PRIOR = "What does the text add to the prompt alone?"
WORDS = {
    ("probing.compare_with_prior", PRIOR): {
        "the correction multiplies by the prior, it does not divide": gains(lambda p, prior: p + prior),
        "the prior is not taken off": gains(lambda p, prior: p),
        "the correction is upside down: prior / p": gains(lambda p, prior: prior - p),
        "the correction takes the difference of probabilities, not their ratio": gains(
            lambda p, prior: math.exp(p) - math.exp(prior)
        ),
    },
    ("probing.ratio", "p of which word / p of which?"): {
        "the ratio is upside down": ratios(lambda right, log_p: 1 / right(log_p)),
        "the ratio is to the worst of the other words": ratios(
            lambda right, log_p: math.exp(next(iter(log_p.values())) - min(list(log_p.values())[1:]))
        ),
        "the ratio is of the best word to the next": ratios(
            lambda right, log_p: math.exp(sorted(log_p.values())[-1] - sorted(log_p.values())[-2])
        ),
    },
}
KNOWN = HEAD | LOSS | WIRING | TOP | FILL | ANSWERS | READOUT | SENTENCES | WORDS
