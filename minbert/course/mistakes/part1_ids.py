"""Known mistakes of part 1: special tokens, pairs, cutting, padding."""

import torch

from minbert.course.mistakes import Around
from minbert.encoding import Template
from minbert.encoding import shorten as right_shorten


def joined(alone, together):
    """A wrong `join`. alone, together  functions that make one list"""

    def join(rows, begin, between, end):
        begin, between, end = list(begin), list(between), list(end)
        if len(rows[0]) == 2:
            return [together(begin, list(row[0]), between, list(row[1]), end) for row in rows]
        return [alone(begin, list(row[0]), end) for row in rows]

    return join


def one(begin, text, end):
    return begin + text + end


def two(begin, text, between, pair, end):
    return begin + text + between + pair + end


def shortened(pick, at=-1, room=lambda row, room: room):
    """A wrong `shorten`. pick  which list of a row loses an item; at  which item"""

    def shorten(row, space):
        excess = sum(map(len, row)) - room(row, space)
        for _ in range(excess):
            (pick(row) or next(part for part in reversed(row) if part)).pop(at)
        return excess > 0

    return shorten


def only(at, stop=False):
    """Only one text of a pair is cut: until it is empty, or until pop fails."""

    def shorten(row, room):
        excess = sum(map(len, row)) - room
        for _ in range(excess):
            if row[at] or not stop:
                row[at].pop()
        return excess > 0

    return shorten


def shorter(tie):
    """The shorter text is cut, even if it is empty; of equal ones, the first or the second."""

    def shorten(row, room):
        excess = sum(map(len, row)) - room
        for _ in range(excess):
            (row[0] if len(row[0]) < len(row[-1]) + (tie == 0) else row[-1]).pop()
        return excess > 0

    return shorten


def each_alone(row, room):
    longest = max(map(len, row))
    for part in row:
        del part[room:]
    return longest > room


def longer(row):
    return row[-1] if len(row[-1]) >= len(row[0]) else row[0]


def all_of_the_longer(row, room):
    excess = max(0, sum(map(len, row)) - room)
    del longer(row)[max(0, len(longer(row)) - excess) :]
    return excess > 0


def halves(row, room):
    excess = sum(map(len, row)) > room
    if excess:
        for part, share in zip(row, (room // len(row), room - room // len(row))):
            del part[share if len(row) > 1 else room :]
    return excess


def shares(row, room):
    total = sum(map(len, row))
    if total > room:
        first = room if len(row) == 1 else round(len(row[0]) * room / total)
        for part, size in zip(row, (first, room - first)):
            del part[size:]
    return total > room


def around(change, **fixed):
    """`__call__` with another result. change  (tokenizer, encoding of lists, options) -> nothing, in place"""

    def make(right):
        def __call__(self, texts, pairs=None, *, return_tensors=None, **options):
            alone = isinstance(texts, str)
            rows = [[one] if alone and one is not None else one for one in (texts, pairs)]
            encoding = right(self, *rows, **(options | fixed))
            if encoding:
                change(self, encoding, options)
            if alone:
                return type(encoding)({key: value[0] for key, value in encoding.items()})
            if return_tensors == "pt":
                for key, value in encoding.items():
                    encoding[key] = torch.tensor(value)
            return encoding

        return __call__

    return Around(make)


def asked(change):
    """`__call__` with other options. change  options -> those that are others"""
    return Around(
        lambda right: lambda self, texts, pairs=None, **given: right(self, texts, pairs, **(given | change(given)))
    )


def each_row(rule, name="token_type_ids"):
    """rule  (row of values, its mask, its ids) -> another row"""

    def change(self, encoding, options):
        rows = zip(encoding[name], encoding["attention_mask"], encoding["input_ids"])
        encoding[name] = [rule(row, mask, ids) for row, mask, ids in rows]

    return around(change)


def left(self, encoding, options):
    for name, rows in encoding.items():
        counts = [sum(row) for row in encoding["attention_mask"]] if name != "attention_mask" else map(sum, rows)
        encoding[name] = [row[count:] + row[:count] for row, count in zip(rows, counts)]


def sep_cut_off(self, encoding, options):
    limit = options.get("max_length") or self.max_length
    width = max(min(len(row), limit) for row in encoding["input_ids"])
    for name, rows in encoding.items():
        size = limit if options.get("padding") == "max_length" else width if options.get("padding") else None
        rows = [row[:limit] if options.get("truncation") else row for row in rows]
        encoding[name] = rows if size is None else [row[:size] + [0] * (size - len(row)) for row in rows]


def middle_second(segments, mask, ids):
    at = segments.index(1) if 1 in segments else None
    return [*segments[: at - 1], 1, *segments[at:]] if at else segments


def last_first(segments, mask, ids):
    end = sum(mask) - 1
    return [*segments[:end], 0, *segments[end + 1 :]]


def late(segments, mask, ids):
    at = segments.index(1) if 1 in segments else None
    return [*segments[:at], 0, *segments[at + 1 :]] if at else segments


def text_first(segments, mask, ids):
    """0 for [CLS] only"""
    return [0, *mask[1:]] if 1 in segments else segments


JOIN, SHORTEN, CALL = "join", "shorten", "Tokenizer.__call__"
FRAME, LONG, SEGMENT = "Write the tokens of a pair on paper.", "Which tokens go, and how many?", "Whose token is this?"
PAD = "What is under the padding?"


def template(begin=("[CLS]",), between=("[SEP]",), end=("[SEP]",), pair_segment=1):
    return lambda *right, **names: Template(begin, between, end, pair_segment)


KNOWN = {
    ("tokenizer.Template", FRAME): {
        "[CLS] is missing": template(begin=()),
        "the last [SEP] is missing": template(end=()),
        "there is no [SEP] between a text and its pair": template(between=()),
        "[SEP] stands at the front, not [CLS]": template(begin=("[SEP]",)),
        "[CLS] stands between a text and its pair, not [SEP]": template(between=("[CLS]",)),
        "[CLS] stands at the end, not [SEP]": template(end=("[CLS]",)),
        "the segments are all 0": template(pair_segment=0),
    },
    ("encoding.join", FRAME): {
        "[CLS] is missing": joined(lambda b, t, e: t + e, lambda b, t, m, p, e: t + m + p + e),
        "[CLS] is missing before a pair": joined(one, lambda b, t, m, p, e: t + m + p + e),
        "[CLS] is missing before a text alone": joined(lambda b, t, e: t + e, two),
        "the last [SEP] is missing": joined(lambda b, t, e: b + t, lambda b, t, m, p, e: b + t + m + p),
        "the last [SEP] is missing behind a pair": joined(one, lambda b, t, m, p, e: b + t + m + p),
        "the last [SEP] is missing behind a text alone": joined(lambda b, t, e: b + t, two),
        "there is no [SEP] between a text and its pair": joined(one, lambda b, t, m, p, e: b + t + p + e),
        "the pair begins with a [CLS] of its own": [
            joined(one, lambda b, t, m, p, e: b + t + m + b + p + e),
            joined(one, lambda b, t, m, p, e: b + t + e + b + p + e),
        ],
        "two [SEP] stand between a text and its pair": [
            joined(one, lambda b, t, m, p, e: b + t + m + m + p + e),
            joined(one, lambda b, t, m, p, e: b + t + e + m + p + e),
        ],
        "`end` stands between a text and its pair, not `between`": joined(one, lambda b, t, m, p, e: b + t + e + p + e),
        "`between` stands at the end of a pair, not `end`": joined(one, lambda b, t, m, p, e: b + t + m + p + m),
        "the pair comes first": joined(one, lambda b, t, m, p, e: b + p + m + t + e),
        "the pair is left out": joined(one, lambda b, t, m, p, e: b + t + e),
        "[CLS] and [SEP] are exchanged": joined(lambda b, t, e: e + t + b, lambda b, t, m, p, e: e + t + b + p + b),
    },
    ("encoding.shorten", LONG): {
        "of a pair, only the second text is cut": [shortened(lambda row: row[-1]), only(-1), only(-1, stop=True)],
        "of a pair, only the first text is cut": [shortened(lambda row: row[0]), only(0), only(0, stop=True)],
        "of a pair, the shorter text is cut first": [
            shortened(lambda row: row[0] if len(row[-1]) >= len(row[0]) else row[-1]),
            shortened(lambda row: row[-1] if len(row[-1]) <= len(row[0]) else row[0]),
            shorter(0),
            shorter(1),
        ],
        "of two texts of equal length, the first is cut": shortened(
            lambda row: row[-1] if len(row[-1]) > len(row[0]) else row[0]
        ),
        "all that is too much is cut from the text that was longer": all_of_the_longer,
        "both texts of a pair are cut to half the room": halves,
        "both texts of a pair are cut in proportion": shares,
        "texts are cut at their front": shortened(longer, at=0),
        "the special tokens are not counted when a text is cut": shortened(
            longer, room=lambda row, room: room + 1 + len(row)
        ),
        "of a pair, two special tokens are counted, not three": shortened(
            longer, room=lambda row, room: room - 1 + len(row)
        ),
        "three special tokens are counted for a text alone, too": shortened(
            longer, room=lambda row, room: room - 2 + len(row)
        ),
        "one token too few is kept": shortened(longer, room=lambda row, room: room - 1),
        "one token too many is kept": shortened(longer, room=lambda row, room: room + 1),
        "each text of a pair is cut by itself": each_alone,
        "texts are never cut": lambda row, room: False,
        "shorten returns nothing": lambda row, room: (right_shorten(row, room), None)[1],
        "shorten returns the number of items that it cut, not True": lambda row, room: (
            max(0, sum(map(len, row)) - room) + 0 * right_shorten(row, room)
        ),
        "shorten always returns True": lambda row, room: right_shorten(row, room) or True,
        "shorten returns True if nothing was cut": lambda row, room: not right_shorten(row, room),
    },
    ("encoding.Tokenizer.__call__", SEGMENT): {
        "the end is cut off with its [SEP]": around(sep_cut_off, truncation=False),
        "the segments are exchanged": each_row(
            lambda row, mask, ids: [1 - one if shown else 0 for one, shown in zip(row, mask)] if 1 in row else row
        ),
        "the [SEP] between counts as the pair's": each_row(middle_second),
        "the pair's first token counts as the first text's": each_row(late),
        "the last [SEP] counts as the first text's": each_row(last_first),
        "the segments of a pair are all 1": each_row(lambda row, mask, ids: [*mask] if 1 in row else row),
        "padding has segment 1": each_row(
            lambda row, mask, ids: [one if shown else int(1 in row) for one, shown in zip(row, mask)]
        ),
        "the segments of a pair are 1 from the first text on": each_row(text_first),
        "the attention mask is 1 at padding": each_row(lambda row, mask, ids: [1] * len(row), "attention_mask"),
        "the attention mask is upside down": each_row(
            lambda row, mask, ids: [1 - one for one in mask], "attention_mask"
        ),
        "the attention mask hides [CLS] and [SEP]": each_row(
            lambda row, mask, ids: [int(one and id not in (2, 3)) for one, id in zip(mask, ids)], "attention_mask"
        ),
        "the attention mask is 0 everywhere": each_row(lambda row, mask, ids: [0] * len(row), "attention_mask"),
        "padding=True pads to max_length": asked(
            lambda given: {"padding": "max_length"} if given.get("padding") else {}
        ),
        "padding='max_length' pads to the longest text": asked(
            lambda given: {"padding": True} if given.get("padding") else {}
        ),
        "texts are cut without being asked": asked(lambda given: {"truncation": True}),
        "add_special_tokens is ignored": asked(lambda given: {"add_special_tokens": True}),
        "add_special_tokens is upside down": asked(
            lambda given: {"add_special_tokens": not given.get("add_special_tokens", True)}
        ),
        "padding is done with the id of [SEP]": each_row(
            lambda row, mask, ids: [id if shown else 3 for id, shown in zip(ids, mask)], "input_ids"
        ),
        "padding comes first": around(left),
        "padding is done with the id of [UNK]": each_row(
            lambda row, mask, ids: [id if shown else 1 for id, shown in zip(ids, mask)], "input_ids"
        ),
    },
    ("encoding.Tokenizer.__call__", "Is the text trusted?"): {
        "a [SEP] in a text becomes the control token": asked(lambda given: {"allow_special": True}),
        "control tokens in a text are never kept": asked(lambda given: {"allow_special": False}),
    },
}
