"""Known mistakes of part 8: the masked-LM head and its loss, the best tokens, fill-mask, readouts, sentences."""

import math

import torch
from torch.nn import functional as F

from minbert.course.mistakes import Around, Mistake
from minbert.probing import Question, answers, fill_position, pseudo_log_likelihood, score_words


def mistake(name, hint, place, function, within=False, fair=False):
    return Mistake(name, hint, {place: function}, within, fair)


# The head and the loss


def head(name, forward, within=False):
    return mistake(
        name, "One layer, activation, norm, dot products, bias.", "heads.MaskedLMHead.forward", forward, within
    )


def weights(self, tokens):
    return self.decoder.weight if self.decoder else tokens


def inside(self, x):
    return self.norm(self.activation(self.dense(x)))


HEAD = (
    head(
        "the head has no activation", lambda self, x, t: F.linear(self.norm(self.dense(x)), weights(self, t), self.bias)
    ),
    head(
        "the head has no norm", lambda self, x, t: F.linear(self.activation(self.dense(x)), weights(self, t), self.bias)
    ),
    head(
        "the head has no layer of its own",
        lambda self, x, t: F.linear(self.norm(self.activation(x)), weights(self, t), self.bias),
    ),
    head("the head is the dot products only", lambda self, x, t: F.linear(x, weights(self, t), self.bias)),
    head("the head's bias is left out", lambda self, x, t: F.linear(inside(self, x), weights(self, t))),
    head(
        "the head's norm comes before the activation",
        lambda self, x, t: F.linear(self.activation(self.norm(self.dense(x))), weights(self, t), self.bias),
    ),
    head(
        "the head's norm comes first",
        lambda self, x, t: F.linear(self.activation(self.dense(self.norm(x))), weights(self, t), self.bias),
    ),
    head(
        "the head adds its input (a residual)",
        lambda self, x, t: F.linear(x + inside(self, x), weights(self, t), self.bias),
    ),
    head("the head always decodes with the embeddings", lambda self, x, t: F.linear(inside(self, x), t, self.bias)),
    head(
        "the logits are log-probabilities",
        lambda self, x, t: F.linear(inside(self, x), weights(self, t), self.bias).log_softmax(-1),
    ),
    head(
        "the logits are probabilities",
        lambda self, x, t: F.linear(inside(self, x), weights(self, t), self.bias).softmax(-1),
    ),
    head(
        "the logits are divided by sqrt(D)",
        lambda self, x, t: F.linear(inside(self, x), weights(self, t), self.bias) / math.sqrt(x.size(-1)),
    ),
    head(
        "the embeddings do not learn from the head",
        lambda self, x, t: F.linear(inside(self, x), weights(self, t.detach()), self.bias),
        True,
    ),
    head(
        "nothing below the head learns",
        lambda self, x, t: F.linear(inside(self, x.detach()), weights(self, t), self.bias),
        True,
    ),
)


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
        return (self.predictions(x, embeddings) if all_logits else logits), loss

    return wrong


def lm(name, hint="Which positions have a label, and by what is divided?", **how):
    return mistake(name, hint, "heads.BertForMaskedLM.predict", predict(**how), within=True)


def row_means(logits, labels, where):
    """The sum of the rows' means, times what it will be divided by"""
    losses, counts = F.cross_entropy(logits, labels, reduction="none"), where.sum(1)
    rows = [part.mean() for part in losses.split(counts.tolist()) if len(part)]
    return torch.stack(rows).mean() * max(1, len(logits)) if rows else logits.sum()


LOSS = (
    lm("the loss is summed over the labelled positions, not averaged", divide=lambda where, n: 1.0),
    lm("the loss is divided by all positions, not by the labelled ones", divide=lambda where, n: where.numel()),
    lm("the loss is divided by the texts, not by the labelled positions", divide=lambda where, n: where.size(0)),
    lm("the loss is a mean of the texts' means", of=row_means),
    lm("with nothing labelled, the loss is NaN", divide=lambda where, n: float(n) if n else torch.tensor(0.0)),
    lm(
        "positions without a label count, as if 0 were the right id",
        positions=lambda labels: torch.ones_like(labels).bool(),
    ),
    lm("the label is that of the next position", shift=lambda labels: F.pad(labels, (0, 1), value=-100)[:, 1:]),
    lm("the label is that of the position before", shift=lambda labels: F.pad(labels, (1, 0), value=-100)[:, :-1]),
    lm(
        "the loss is in bits, not nats",
        of=lambda logits, labels, where: F.cross_entropy(logits, labels, reduction="sum") / math.log(2),
    ),
    lm(
        "the sign of the masked-LM loss is wrong",
        of=lambda logits, labels, where: -F.cross_entropy(logits, labels, reduction="sum"),
    ),
    lm(
        "the softmax of the masked-LM loss is taken twice",
        of=lambda logits, labels, where: F.cross_entropy(logits.softmax(-1), labels, reduction="sum"),
    ),
    lm(
        "only the first labelled position counts",
        of=lambda logits, labels, where: (
            F.cross_entropy(logits[:1], labels[:1], reduction="sum") * max(1, len(logits))
            if len(logits)
            else logits.sum()
        ),
    ),
    lm(
        "the logits of all positions come out, although labels are given",
        "Which logits come out with labels?",
        all_logits=True,
    ),
    lm(
        "without labels, log-probabilities come out",
        "What comes out without labels?",
        change=lambda x: x.log_softmax(-1),
    ),
)


def masked_lm(cls, **dropped):
    def make(right):
        def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None, *rest, **options):
            given = {"attention_mask": attention_mask, "token_type_ids": token_type_ids, "labels": labels}
            names = ("causal",) if cls == "BertForMaskedLM" else ("next_sentence_label", "causal")
            return right(self, input_ids, **(given | dict(zip(names, rest)) | options | dropped))

        return forward

    return Around(make)


def wired(name, cls="BertForMaskedLM", **dropped):
    return mistake(name, "Follow each argument to the encoder.", f"heads.{cls}.forward", masked_lm(cls, **dropped))


def order_loss(combine):
    """combine  a function of (masked-LM loss or None, next-sentence logits, labels)"""

    def make(right):
        def forward(self, input_ids, mask=None, segments=None, labels=None, next_sentence_label=None, causal=False):
            logits, follows, loss = right(self, input_ids, mask, segments, labels, None, causal)
            return logits, follows, loss if next_sentence_label is None else combine(loss, follows, next_sentence_label)

        return forward

    return Around(make)


def sentences(name, combine):
    return mistake(
        name, "Which two losses are added?", "heads.BertForPreTraining.forward", order_loss(combine), within=True
    )


def plus(loss, more):
    return more if loss is None else loss + more


def first_token(self, input_ids, mask=None, segments=None, labels=None, next_sentence_label=None, causal=False):
    output = self.bert(input_ids, mask, segments, causal)
    logits, loss = self.predict(output["last_hidden_state"], labels)
    follows = self.next_sentence(output["last_hidden_state"][:, 0])
    if next_sentence_label is not None:
        loss = plus(loss, F.cross_entropy(follows, next_sentence_label))
    return logits, follows, loss


WIRING = (
    wired("the masked-LM's encoder does not get the mask", attention_mask=None),
    wired("the masked-LM's encoder does not get the segments", token_type_ids=None),
    wired("the masked-LM ignores causal", causal=False),
    wired("in pretraining, the encoder does not get the mask", "BertForPreTraining", attention_mask=None),
    wired("in pretraining, the encoder does not get the segments", "BertForPreTraining", token_type_ids=None),
    sentences("the next-sentence loss is left out", lambda loss, follows, y: loss),
    sentences("the masked-LM loss is left out", lambda loss, follows, y: F.cross_entropy(follows, y)),
    sentences(
        "the two losses are averaged, not added", lambda loss, follows, y: plus(loss, F.cross_entropy(follows, y)) / 2
    ),
    sentences(
        "the next-sentence labels are exchanged", lambda loss, follows, y: plus(loss, F.cross_entropy(follows, 1 - y))
    ),
    sentences(
        "the next-sentence loss is summed, not averaged",
        lambda loss, follows, y: plus(loss, F.cross_entropy(follows, y, reduction="sum")),
    ),
    mistake(
        "the next-sentence head reads the first token, not the pooler's output",
        "What does the second head read?",
        "heads.BertForPreTraining.forward",
        first_token,
    ),
)

# The best tokens


def top_tokens(score, largest=True, flip=False, spare=False, count=lambda top: top, shift=0, leave_out=()):
    def wrong(logits, tokenizer, top=5):
        known = logits if spare else logits[: len(tokenizer)]
        ranked = known.clone()
        ranked[list(leave_out)] = -math.inf
        best = ranked.topk(min(count(top), len(known) - len(leave_out)), largest=largest)
        rows = [
            {"score": p, "id": id + shift, "token": tokenizer.tokens.get(id, "[UNK]")}
            for p, id in zip(score(logits, best, len(tokenizer)).tolist(), best.indices.tolist())
        ]
        return rows[::-1] if flip else rows

    return wrong


def share(logits, best, size):
    return logits.softmax(-1)[best.indices]


def best_tokens(name, score=share, hint="Softmax over what, then the largest of what?", **how):
    return mistake(name, hint, "probing.top_tokens", top_tokens(score, **how))


TOP = (
    best_tokens("the softmax runs over the best tokens only", lambda logits, best, size: best.values.softmax(-1)),
    best_tokens(
        "the softmax leaves out the rows without a token",
        lambda logits, best, size: logits[:size].softmax(-1)[best.indices],
    ),
    best_tokens("the scores are logits", lambda logits, best, size: best.values),
    best_tokens("the scores are log-probabilities", lambda logits, best, size: logits.log_softmax(-1)[best.indices]),
    best_tokens("the scores are sigmoids", lambda logits, best, size: best.values.sigmoid()),
    best_tokens(
        "the scores are exponentials that are not divided by their sum", lambda logits, best, size: best.values.exp()
    ),
    best_tokens(
        "the scores are shares of the largest", lambda logits, best, size: (best.values - best.values.max()).exp()
    ),
    best_tokens("the softmax is taken twice", lambda logits, best, size: logits.softmax(-1).softmax(-1)[best.indices]),
    best_tokens("the least probable tokens are listed", largest=False),
    best_tokens("the best token comes last", flip=True),
    best_tokens("rows without a token are listed", spare=True),
    best_tokens("always five tokens are listed", hint="How many are asked for?", count=lambda top: 5),
    best_tokens("one token too few is listed", hint="How many are asked for?", count=lambda top: top - 1),
    best_tokens("one token too many is listed", hint="How many are asked for?", count=lambda top: top + 1),
    best_tokens("the ids are one too large", hint="What is the id of the first token of the vocabulary?", shift=1),
    best_tokens("special tokens are left out", hint="Which tokens may be listed?", leave_out=range(5)),
    best_tokens("[MASK] is left out", hint="Which tokens may be listed?", leave_out=(4,)),
    best_tokens("[UNK] is left out", hint="Which tokens may be listed?", leave_out=(1,)),
)

# Fill-mask


def fill(name, hint, function, place="fill_position"):
    return mistake(name, hint, f"probing.{place}", function)


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
    """The answer is read somewhere else: at  a function of (left, row of tokens)"""

    def wrong(model, tokenizer, left, right, top, words):
        def question(written, missing):
            ids = (*left, *written, *[tokenizer.mask_token_id] * missing, *right)
            return Question(ids, at(len(left) + len(written), len(ids)))

        return rows_of(model, tokenizer, left, right, top, words, question)

    return wrong


def rows_of(
    model, tokenizer, left, right, top, words, question, score=score_words, order=lambda row: -row[0], p=math.exp
):
    if words:
        scores = score(model, words, question)
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


def targets(score=score_words, order=lambda row: -row[0], p=math.exp, finish=lambda rows: rows):
    """Wrong scores of given words."""

    def wrong(model, tokenizer, left, right, top, words):
        def question(written, missing):
            ids = (*left, *written, *[tokenizer.mask_token_id] * missing, *right)
            return Question(ids, len(left) + len(written))

        return finish(rows_of(model, tokenizer, left, right, top, words, question, score, order, p))

    return wrong


def first_piece(model, words, question):
    return {word: next(answers(model, [question([], 1)]))[pieces[0]].item() for word, pieces in words.items()}


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
FILL = (
    fill("the answer is read one place to the left", READ, place(lambda at, size: at - 1)),
    fill("the answer is read one place to the right", READ, place(lambda at, size: at + 1)),
    fill("the answer is read at [CLS]", READ, place(lambda at, size: 0)),
    fill("the answer is read at the last token", READ, place(lambda at, size: size - 1)),
    fill("[CLS] and [SEP] are left out", READ, sides(lambda left, right: left[1:], lambda left, right: right[:-1])),
    fill("[CLS] is left out", READ, sides(lambda left, right: left[1:])),
    fill("[SEP] is left out", READ, sides(right=lambda left, right: right[:-1])),
    fill("what follows the [MASK] is left out", READ, sides(right=lambda left, right: right[-1:])),
    fill("what stands before the [MASK] is left out", READ, sides(lambda left, right: left[:1])),
    fill(
        "the other [MASK]s are left out",
        READ,
        sides(
            lambda left, right: [id for id in left if id != MASK_ID],
            lambda left, right: [id for id in right if id != MASK_ID],
        ),
    ),
    fill("a word of several pieces gets its first piece's probability", TARGET, targets(first_piece)),
    fill(
        "a word of several pieces gets its first piece's probability, before as many [MASK]s",
        TARGET,
        targets(first_of_many),
    ),
    fill("a word of several pieces gets the mean of its pieces' log-probabilities", TARGET, targets(mean_of_pieces)),
    fill("all pieces of a word are read at once, none sees the others", TARGET, targets(all_at_once)),
    fill("there is one [MASK], however many pieces are missing", TARGET, targets(one_mask)),
    fill("the given words' scores are log-probabilities", "What is a score?", targets(p=lambda score: score)),
    fill(
        "the given words' probabilities sum to 1",
        "What is a score?",
        targets(finish=lambda rows: to_one(rows) if len(rows) == 4 else rows),
    ),
    fill("the given words stay in their order", "Which comes first?", targets(order=None)),
    fill("of the given words, the least probable comes first", "Which comes first?", targets(order=lambda row: row[0])),
    fill(
        "of several [MASK]s, only the first is filled",
        "How many lists come out?",
        Around(
            lambda right: (
                lambda *given, **options: [
                    found[0] if isinstance((found := right(*given, **options))[0], list) else found
                ][0]
            )
        ),
        "fill_mask",
    ),
)


def asked(change=lambda question: question, finish=lambda p: p):
    """`answers` to other questions. change  a function of a Question"""

    def make(right):
        def wrong(model, questions):
            for log_p in right(model, [change(question) for question in questions]):
                yield finish(log_p)

        return wrong

    return Around(make)


def by_hand(padding=True, eval=True, keep_mode=True):
    """`answers` written out."""

    def wrong(model, questions):
        longest = max(len(question.ids) for question in questions)
        rows = [list(question.ids) + [0] * (longest - len(question.ids)) for question in questions]
        mask = [[int(at != q.hidden and (at < len(q.ids) or not padding)) for at in range(longest)] for q in questions]
        was = model.training
        model.train(not eval)
        with torch.no_grad():
            x = model.bert(torch.tensor(rows), torch.tensor(mask), causal=questions[0].causal)["last_hidden_state"]
            logits, _ = model.predict(x[range(len(rows)), [question.at for question in questions]])
        model.train(was if keep_mode else False)
        yield from logits.double().log_softmax(-1)

    return wrong


ANSWERS = (
    fill(
        "the model looks at the padding of shorter questions",
        "What is under the padding?",
        by_hand(padding=False),
        "answers",
    ),
    fill("questions are answered with dropout", "In which mode is the model?", by_hand(eval=False), "answers"),
    fill(
        "after the answers, the model stays in evaluation mode",
        "In which mode is the model?",
        by_hand(keep_mode=False),
        "answers",
    ),
    fill(
        "the hidden position is not hidden",
        "What is Question.hidden?",
        asked(lambda question: question._replace(hidden=None)),
        "answers",
    ),
    fill(
        "questions are never causal",
        "What is Question.causal?",
        asked(lambda question: question._replace(causal=False)),
        "answers",
    ),
    fill(
        "the answers are probabilities, not their logarithms",
        "In which unit is an answer?",
        asked(finish=torch.exp),
        "answers",
    ),
    fill(
        "the answers are in bits, not nats",
        "In which unit is an answer?",
        asked(finish=lambda log_p: log_p / math.log(2)),
        "answers",
    ),
)

# Readouts, sentences


def readout(change):
    def make(right):
        def question(self, tokenizer, text, written, missing):
            return change(self, right(self, tokenizer, text, written, missing))

        return question

    return Around(make)


def reads(name, change):
    return mistake(
        name, "Write the row of tokens on paper, and mark the place.", "probing.Readout.question", readout(change)
    )


READOUT = (
    reads("a readout is read one place too early", lambda self, q: q._replace(at=q.at - 1)),
    reads("a readout is read at the last token", lambda self, q: q._replace(at=len(q.ids) - 1)),
    reads("a readout is read at [CLS]", lambda self, q: q._replace(at=0)),
    reads("a readout ignores hide_sep", lambda self, q: q._replace(hidden=None)),
    reads("a readout ignores causal", lambda self, q: q._replace(causal=False)),
    reads("a readout without [SEP] has one", lambda self, q: q if self.sep else q._replace(ids=(*q.ids, 3))),
    reads("a readout has no [CLS]", lambda self, q: q._replace(ids=q.ids[1:], at=q.at - 1)),
    mistake(
        "a readout has one [MASK], however many pieces are missing",
        "Write the row of tokens on paper, and mark the place.",
        "probing.Readout.question",
        Around(lambda right: lambda self, tokenizer, text, written, missing: right(self, tokenizer, text, written, 1)),
    ),
    mistake(
        "a readout forgets the pieces written so far",
        "Write the row of tokens on paper, and mark the place.",
        "probing.Readout.question",
        Around(lambda right: lambda self, tokenizer, text, written, missing: right(self, tokenizer, text, [], missing)),
    ),
)


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
SENTENCES = (
    fill(
        "a sentence's score is the mean, not the sum",
        SUM,
        likelihood(lambda total, rows: (total / len(rows), rows)),
        "pseudo_log_likelihood",
    ),
    fill(
        "a sentence's score is a perplexity",
        SUM,
        likelihood(lambda total, rows: (math.exp(-total / len(rows)), rows)),
        "pseudo_log_likelihood",
    ),
    fill(
        "the sign of a sentence's score is wrong",
        SUM,
        likelihood(lambda total, rows: (-total, rows)),
        "pseudo_log_likelihood",
    ),
    fill("a sentence's tokens are not masked: each sees itself", SUM, sees_itself, "pseudo_log_likelihood"),
    fill(
        "whole_words is ignored", "What does whole_words mask?", likelihood(whole_words=False), "pseudo_log_likelihood"
    ),
    fill(
        "the later pieces of a word are always masked",
        "What does whole_words mask?",
        likelihood(whole_words=True),
        "pseudo_log_likelihood",
    ),
    fill(
        "of two sentences, the less likely is preferred",
        "Which sum is larger?",
        compared(lambda found, given: found | {"preferred": 1 - found["preferred"]}),
        "compare",
    ),
    fill("two sentences are compared by their means", "Which sum is larger?", compared(mean_score), "compare"),
)


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
WORDS = (
    fill(
        "the correction multiplies by the prior, it does not divide",
        PRIOR,
        gains(lambda p, prior: p + prior),
        "compare_with_prior",
    ),
    fill("the prior is not taken off", PRIOR, gains(lambda p, prior: p), "compare_with_prior"),
    fill("the correction is upside down: prior / p", PRIOR, gains(lambda p, prior: prior - p), "compare_with_prior"),
    fill(
        "the correction takes the difference of probabilities, not their ratio",
        PRIOR,
        gains(lambda p, prior: math.exp(p) - math.exp(prior)),
        "compare_with_prior",
    ),
    fill(
        "the ratio is upside down",
        "p of which word / p of which?",
        ratios(lambda right, log_p: 1 / right(log_p)),
        "ratio",
    ),
    fill(
        "the ratio is to the worst of the other words",
        "p of which word / p of which?",
        ratios(lambda right, log_p: math.exp(next(iter(log_p.values())) - min(list(log_p.values())[1:]))),
        "ratio",
    ),
    fill(
        "the ratio is of the best word to the next",
        "p of which word / p of which?",
        ratios(lambda right, log_p: math.exp(sorted(log_p.values())[-1] - sorted(log_p.values())[-2])),
        "ratio",
    ),
)
MISTAKES = HEAD + LOSS + WIRING + TOP + FILL + ANSWERS + READOUT + SENTENCES + WORDS
