"""Known mistakes of part 8: fill-mask, words of several pieces, the answers to questions."""

import math

import torch

from minbert.course.mistakes import Around
from minbert.probing import Question, answers, fill_position, score_words


def sides(left=lambda left, right: left, right=lambda left, right: right):
    """A wrong `fill_position` that reads another row of tokens, or another place of it."""

    def wrong(model, tokenizer, before, after, top, words):
        rows = fill_position(model, tokenizer, left(before, after), right(before, after), top, words)
        for row in rows:
            ids = row["id"] if isinstance(row["id"], list) else [row["id"]]
            row["sequence"] = tokenizer.decode([*before, *ids, *after][1:-1])
        return rows

    return wrong


def place(at, ids=lambda left, written, masks, right: (*left, *written, *masks, *right)):
    """Another question. at  where its answer is read: a function of (the right place, tokens of the row, pieces
    written, pieces missing), or "first": at the row's first [MASK];  ids  a function that makes the row"""

    def wrong(model, tokenizer, left, right, top, words):
        def question(written, missing):
            row = ids(left, written, [tokenizer.mask_token_id] * missing, right)
            where = (
                row.index(MASK_ID) if at == "first" else at(len(left) + len(written), len(row), len(written), missing)
            )
            return Question(tuple(row), where)

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


def shown(change):
    """Right answers, wrongly told. change  (row, ids of its pieces, left, right, decode) -> what differs"""

    def wrong(model, tokenizer, left, right, top, words):
        rows = fill_position(model, tokenizer, left, right, top, words)
        for row in rows:
            ids = row["id"] if isinstance(row["id"], list) else [row["id"]]
            row |= change(row, ids, left, right, tokenizer.decode)
        return rows

    return wrong


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


def to_one(rows):
    total = sum(row["score"] for row in rows)
    return [row | {"score": row["score"] / total} for row in rows]


MASK_ID, READ = 4, "At which position does the model answer?"
FILL = {
    ("probing.score_words", "A word of two pieces: which two questions are asked?"): {
        "a word of several pieces gets its first piece's probability": first_piece,
        "a word of several pieces gets its last piece's probability": last_piece,
        "a word of several pieces gets its first piece's probability, before as many [MASK]s": first_of_many,
        "a word of several pieces gets the mean of its pieces' log-probabilities": mean_of_pieces,
        "all pieces of a word are read at once, none sees the others": all_at_once,
    },
    ("probing.fill_position", READ): {
        "the answer is read one place to the left": place(lambda at, size, written, missing: at - 1),
        "the answer is read one place to the right": place(lambda at, size, written, missing: at + 1),
        "the answer is read at [CLS]": place(lambda at, size, written, missing: 0),
        "the answer is read at the last token": place(lambda at, size, written, missing: size - 1),
        "the answer is read at the text's first [MASK], not at its own": place(
            "first", lambda a, w, masks, z: [*a, *w, *masks, *z]
        ),
        "each piece of a word is read at its first place": place(lambda at, size, written, missing: at - written),
        "each piece of a word is read at its last [MASK]": place(lambda at, size, written, missing: at + missing - 1),
        "the pieces written so far are left out": [
            place(lambda at, size, written, missing: at - written, lambda a, w, masks, z: [*a, *masks, *z]),
            place(lambda at, size, written, missing: at, lambda a, w, masks, z: [*a, *masks, *z]),
            place(lambda at, size, written, missing: at, lambda a, w, masks, z: [*a, *masks, *[4] * len(w), *z]),
            place(
                lambda at, size, written, missing: at - written, lambda a, w, masks, z: [*a, *masks, *[4] * len(w), *z]
            ),
        ],
        "the pieces written so far stand behind the [MASK]s": [
            place(lambda at, size, written, missing: at - written, lambda a, w, masks, z: [*a, *masks, *w, *z]),
            place(lambda at, size, written, missing: at, lambda a, w, masks, z: [*a, *masks, *w, *z]),
        ],
        "there is one [MASK], however many pieces are missing": place(
            lambda at, size, written, missing: at, lambda a, w, masks, z: [*a, *w, *masks[:1], *z]
        ),
        "there is no [MASK]": place(lambda at, size, written, missing: at, lambda a, w, masks, z: [*a, *w, *z]),
        "what follows the [MASK] is left out, [SEP] too": place(
            lambda at, size, written, missing: at, lambda a, w, masks, z: [*a, *w, *masks]
        ),
        "[CLS] and [SEP] come twice": place(
            lambda at, size, written, missing: at + 1, lambda a, w, masks, z: [2, *a, *w, *masks, *z, 3]
        ),
        "left and right are exchanged": place(
            lambda at, size, written, missing: size - at - missing + written,
            lambda a, w, masks, z: [*z, *w, *masks, *a],
        ),
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
        "the given words' scores are minus log-probabilities": [
            targets(p=lambda score: -score, order=lambda row: row[0]),
            targets(p=lambda score: -score),
        ],
        "the given words' probabilities sum to 1": targets(
            finish=lambda rows: to_one(rows) if len(rows) == 4 else rows
        ),
        "the given words stay in their order": targets(order=None),
        "of the given words, the least probable comes first": targets(order=lambda row: row[0]),
        "of the given words, only the first `top` come out": targets(
            finish=lambda rows: rows[:2] if len(rows) == 4 else rows
        ),
    },
    ("probing.fill_position", "What does one row of the answer hold?"): {
        "the filled text keeps [CLS] and [SEP]": shown(
            lambda row, ids, left, right, decode: {"sequence": decode([*left, *ids, *right])}
        ),
        "the filled text ends with the word": shown(
            lambda row, ids, left, right, decode: {"sequence": decode([*left, *ids][1:])}
        ),
        "the filled text lacks its last token": shown(
            lambda row, ids, left, right, decode: {"sequence": decode([*left, *ids, *right][1:-2])}
        ),
        "the filled text lacks the word": shown(
            lambda row, ids, left, right, decode: {"sequence": decode([*left, *right][1:-1])}
        ),
        "the filled text still has [MASK]": shown(
            lambda row, ids, left, right, decode: {"sequence": decode([*left, 4, *right][1:-1])}
        ),
        "a word of one piece has a list as its id, too": shown(lambda row, ids, *rest: {"id": ids}),
        "a word of several pieces has its first piece's id": shown(lambda row, ids, *rest: {"id": ids[0]}),
        "a word of several pieces is told by its first piece": shown(
            lambda row, ids, left, right, decode: {"token": decode(ids[:1])}
        ),
    },
    ("probing.fill_mask", "How many lists come out?"): {
        "every [MASK] gets the first one's answers": Around(
            lambda right: (
                lambda *given, **options: (
                    [found[0]] * len(found) if isinstance((found := right(*given, **options))[0], list) else found
                )
            )
        ),
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


def by_hand(padding=True, hide=True, eval=True, keep_mode=True, finish=lambda logits: logits.log_softmax(-1)):
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
        yield from finish(logits.double())

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
        "the answers are logits": by_hand(finish=lambda logits: logits),
        "the answers are in bits, not nats": asked(finish=lambda log_p: log_p / math.log(2)),
    },
}
KNOWN = FILL | ANSWERS
