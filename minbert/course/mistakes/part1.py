"""Known mistakes of part 1: words, pieces, special tokens, pairs, cutting, padding."""

import unicodedata

import torch

from minbert.course.mistakes import Around
from minbert.tokenizer import CJK, clean, lower, replace, set_apart, split, strip_accents

# WordPiece


def cut(
    self,
    word,
    prefix="##",
    begin="",
    shortest=False,
    either=False,
    bare=False,
    unknown=None,
    limit=200,
    least=1,
    stop=0,
    skip=0,
):
    """The pieces of a word. unknown  what to do with a place where nothing fits: a function of (pieces, letter)"""
    if len(word) > limit:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        here = prefix if start else begin
        ends = range(start + least, len(word) + 1 - stop)
        for end in ends if shortest else reversed(ends):
            forms = [here + word[start:end]] + ["##" * (not start) + word[start:end]] * either
            if found := [form for form in forms if form in self.vocab or (bare and word[start:end] in self.vocab)]:
                pieces.append(found[0])
                start = end + skip
                break
        else:
            if unknown is None:
                return ["[UNK]"]
            more = unknown(pieces, word[start])
            if more is None:
                return pieces
            pieces, start = pieces + more, start + 1
    return pieces


def cutter(**how):
    return lambda self, word: cut(self, word, **how)


def cut_from_the_end(self, word):
    pieces, end = [], len(word)
    while end and len(word) <= 200:
        start = next((at for at in range(end) if "##" * bool(at) + word[at:end] in self.vocab), None)
        if start is None:
            return ["[UNK]"]
        pieces.insert(0, "##" * bool(start) + word[start:end])
        end = start
    return ["[UNK]"] if len(word) > 200 else pieces


def with_backtracking(self, word, fewest=False):
    known = {len(word): []}
    for start in range(len(word) - 1, -1, -1):
        ends = [end for end in range(len(word), start, -1) if end in known]
        fits = [end for end in ends if "##" * bool(start) + word[start:end] in self.vocab]
        if fits:
            end = min(fits, key=lambda end: len(known[end])) if fewest else fits[0]
            known[start] = ["##" * bool(start) + word[start:end], *known[end]]
    return known.get(0, ["[UNK]"]) if len(word) <= 200 else ["[UNK]"]


def rest_unknown(self, word):
    if len(word) > 200:
        return ["[UNK]"]
    pieces = cut(self, word, unknown=lambda pieces, letter: None)
    return (
        pieces if sum(len(piece) - 2 * bool(at) for at, piece in enumerate(pieces)) == len(word) else [*pieces, "[UNK]"]
    )


WORDPIECE = {
    ("tokenizer.BertTokenizer.wordpiece", "What is a word of which a part is unknown?"): {
        "the shortest piece is taken, not the longest": cutter(shortest=True),
        "later pieces are looked up without ##": cutter(prefix=""),
        "the first piece may begin with ##": cutter(either=True),
        "only the rest of the word becomes [UNK], not the whole word": rest_unknown,
        "the pieces before a place that does not fit are the answer, without [UNK]": cutter(
            unknown=lambda pieces, letter: None
        ),
        "each letter that does not fit is an [UNK] of its own": cutter(unknown=lambda pieces, letter: ["[UNK]"]),
        "letters that do not fit are left out": cutter(unknown=lambda p, c: []),
        "the pieces are cut from the end of the word": cut_from_the_end,
        "a piece is given back when the rest does not fit": with_backtracking,
        "the fewest pieces are taken, not the longest first": lambda self, word: with_backtracking(
            self, word, fewest=True
        ),
        "the last character is ignored": lambda self, word: cut(self, word[:-1]),
        "the whole rest of a word is never tried as one piece": cutter(stop=1),
        "pieces of one letter are never tried": cutter(least=2),
        "the limit is 100 characters, not 200": cutter(limit=100),
        "a word of 200 characters is already too long": cutter(limit=199),
        "no word is too long": cutter(limit=10**6),
        "an unknown word has no pieces": lambda self, word: [] if cut(self, word) == ["[UNK]"] else cut(self, word),
        "an unknown word stays as it is": lambda self, word: (
            [word] if cut(self, word) == ["[UNK]"] else cut(self, word)
        ),
        "later pieces are returned without ##": lambda self, word: [
            piece.removeprefix("##") if at else piece for at, piece in enumerate(cut(self, word))
        ],
        "every piece is looked up with ##, the first one too": cutter(begin="##"),
        "a later piece may stand in the vocabulary without ##": cutter(bare=True),
        "a letter is skipped after each piece": cutter(skip=1),
        "the empty word is [UNK]": lambda self, word: cut(self, word) or ["[UNK]"],
        "the word is lower-cased once more": lambda self, word: cut(self, word.lower()),
    },
}

# Words


def clean_with(other):
    def clean_char(char):
        return other(char) if other(char) is not None else right_clean(char)

    return clean_char


def right_clean(char):
    if char in "\t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    if char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf"):
        return ""
    return f" {char} " if any(first <= ord(char) <= last for first, last in CJK) else char


def is_cjk(char):
    return any(first <= ord(char) <= last for first, last in CJK)


def words_with(lower_case=None, accents=None, strip_first=False):
    """words_with_offsets with a step that is always done (True), never (False), or as it should be (None)."""

    def words_with_offsets(self, text):
        for chars in split(clean(text)):
            steps = [(lower, self.lower_case if lower_case is None else lower_case)]
            steps.append((strip_accents, self.strip_accents if accents is None else accents))
            for step, wanted in steps:
                chars = step(chars) if wanted else chars
            for word in split(replace(chars, set_apart)):
                letters, positions = zip(*word)
                yield "".join(letters), positions

    return words_with_offsets


APART = "Which characters are words of their own?"
WORDS = {
    ("tokenizer.set_apart", APART): {
        "punctuation stays with its word": lambda char: char,
        "only ASCII punctuation is set apart": lambda char: (
            f" {char} " if "!" <= char <= "~" and (not char.isalnum()) else char
        ),
        "ASCII symbols such as $ and ^ stay with their word": lambda char: (
            f" {char} " if unicodedata.category(char)[0] == "P" else char
        ),
        "all symbols are set apart, not only ASCII ones": lambda char: (
            f" {char} " if unicodedata.category(char)[0] in "PS" else char
        ),
        "punctuation is dropped": lambda char: " " if set_apart(char) != char else char,
        "the apostrophe stays with its word": lambda char: "'" if char == "'" else set_apart(char),
        "the hyphen stays with its word": lambda char: "-" if char in "-—" else set_apart(char),
    },
    ("tokenizer.clean_char", "What becomes of a soft hyphen?"): {
        "CJK characters stay together": clean_with(lambda char: char if is_cjk(char) else None),
        "control characters become spaces": clean_with(lambda char: " " if right_clean(char) == "" else None),
        "control characters stay": clean_with(lambda char: char if right_clean(char) == "" else None),
        "tabs and line ends are dropped, not made spaces": clean_with(lambda char: "" if char in "\t\n\r" else None),
    },
    ("tokenizer.strip_mark", "What comes after NFD?"): {
        "accents are taken off their letters, but stay": lambda char: char,
    },
    ("tokenizer.BertTokenizer.words_with_offsets", "Which setting asks for lower case?"): {
        "an uncased tokenizer keeps accents": words_with(None, False),
        "an uncased tokenizer keeps capital letters": words_with(False),
        "a cased tokenizer lower-cases": words_with(True),
        "a cased tokenizer strips accents": words_with(None, True),
    },
    ("tokenizer.strip_accents", "In which form is an accent a character of its own?"): {
        "accents are not taken off their letters (NFC, not NFD)": lambda chars: replace(
            chars, lambda char: "" if unicodedata.category(char) == "Mn" else char
        ),
        "letters with accents are dropped as a whole": lambda chars: [
            one
            for one in chars
            if unicodedata.normalize("NFD", one[0]) == one[0] and (not unicodedata.combining(one[0]))
        ],
    },
}

# Special tokens, pairs, cutting, padding


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


def longer(row):
    return row[-1] if len(row[-1]) >= len(row[0]) else row[0]


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
ENCODING = {
    ("encoding.join", FRAME): {
        "[CLS] is missing": joined(lambda b, t, e: t + e, lambda b, t, m, p, e: t + m + p + e),
        "[CLS] is missing before a pair": joined(one, lambda b, t, m, p, e: t + m + p + e),
        "[CLS] is missing before a text alone": joined(lambda b, t, e: t + e, two),
        "the last [SEP] is missing": joined(lambda b, t, e: b + t, lambda b, t, m, p, e: b + t + m + p),
        "the last [SEP] is missing behind a pair": joined(one, lambda b, t, m, p, e: b + t + m + p),
        "the last [SEP] is missing behind a text alone": joined(lambda b, t, e: b + t, two),
        "there is no [SEP] between a text and its pair": joined(one, lambda b, t, m, p, e: b + t + p + e),
        "the pair begins with a [CLS] of its own": joined(one, lambda b, t, m, p, e: b + t + m + b + p + e),
        "two [SEP] stand between a text and its pair": joined(one, lambda b, t, m, p, e: b + t + m + m + p + e),
        "the pair comes first": joined(one, lambda b, t, m, p, e: b + p + m + t + e),
        "the pair is left out": joined(one, lambda b, t, m, p, e: b + t + e),
        "[CLS] and [SEP] are exchanged": joined(lambda b, t, e: e + t + b, lambda b, t, m, p, e: e + t + b + p + b),
    },
    ("encoding.shorten", LONG): {
        "of a pair, only the second text is cut": [shortened(lambda row: row[-1]), only(-1), only(-1, stop=True)],
        "of a pair, only the first text is cut": [shortened(lambda row: row[0]), only(0), only(0, stop=True)],
        "of a pair, the shorter text is cut first": shortened(
            lambda row: row[0] if len(row[-1]) >= len(row[0]) else row[-1]
        ),
        "of two texts of equal length, the first is cut": shortened(
            lambda row: row[-1] if len(row[-1]) > len(row[0]) else row[0]
        ),
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
        "texts are never cut": lambda row, room: False,
    },
    ("encoding.Tokenizer.__call__", SEGMENT): {
        "the end is cut off with its [SEP]": around(sep_cut_off, truncation=False),
        "the segments are all 0": each_row(lambda row, mask, ids: [0] * len(row)),
        "the segments are exchanged": each_row(
            lambda row, mask, ids: [1 - one if shown else 0 for one, shown in zip(row, mask)] if 1 in row else row
        ),
        "the [SEP] between counts as the pair's": each_row(middle_second),
        "the pair's first token counts as the first text's": each_row(late),
        "the last [SEP] counts as the first text's": each_row(last_first),
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
KNOWN = WORDPIECE | WORDS | ENCODING
