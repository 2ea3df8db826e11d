"""Known mistakes of part 1: special tokens, pairs, cutting."""

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


FRAME, LONG = "Write the tokens of a pair on paper.", "Which tokens go, and how many?"


KNOWN = {
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
}
