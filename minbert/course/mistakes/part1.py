"""Known mistakes of part 1: words, pieces, special tokens, pairs, cutting, padding."""

import unicodedata

import torch

from minbert.course.mistakes import Around, Mistake
from minbert.tokenizer import CJK, clean, lower, replace, set_apart, split, strip_accents

# WordPiece


def cut(self, word, prefix="##", shortest=False, either=False, unknown=None, limit=200, least=1, stop=0):
    """The pieces of a word. unknown  what to do with a place where nothing fits: a function of (pieces, letter)"""
    if len(word) > limit:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        here = prefix if start else ""
        ends = range(start + least, len(word) + 1 - stop)
        for end in ends if shortest else reversed(ends):
            forms = [here + word[start:end]] + ["##" * (not start) + word[start:end]] * either
            if found := [form for form in forms if form in self.vocab]:
                pieces.append(found[0])
                start = end
                break
        else:
            if unknown is None:
                return ["[UNK]"]
            more = unknown(pieces, word[start])
            if more is None:
                return pieces
            pieces, start = pieces + more, start + 1
    return pieces


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
    pieces = cut(self, word, unknown=lambda pieces, letter: None)
    return (
        pieces if sum(len(piece) - 2 * bool(at) for at, piece in enumerate(pieces)) == len(word) else [*pieces, "[UNK]"]
    )


def wordpiece(name, hint, function=None, **how):
    return Mistake(
        name, hint, {"tokenizer.BertTokenizer.wordpiece": function or (lambda self, word: cut(self, word, **how))}
    )


WORDPIECE = (
    wordpiece("the shortest piece is taken, not the longest", "Which end do you try first?", shortest=True),
    wordpiece(
        "later pieces are looked up without ##", "How does the vocabulary write the inside of a word?", prefix=""
    ),
    wordpiece("the first piece may begin with ##", "May a piece with ## begin a word?", either=True),
    wordpiece(
        "only the rest of the word becomes [UNK], not the whole word",
        "What becomes of the pieces before?",
        rest_unknown,
    ),
    wordpiece(
        "the pieces before a place that does not fit are the answer, without [UNK]",
        "What is a word of which a part is unknown?",
        unknown=lambda pieces, letter: None,
    ),
    wordpiece(
        "each letter that does not fit is an [UNK] of its own",
        "What is a word of which a part is unknown?",
        unknown=lambda pieces, letter: ["[UNK]"],
    ),
    wordpiece(
        "letters that do not fit are left out", "What is a word of which a part is unknown?", unknown=lambda p, c: []
    ),
    wordpiece(
        "the pieces are cut from the end of the word", "At which end of the word do you begin?", cut_from_the_end
    ),
    wordpiece(
        "a piece is given back when the rest does not fit",
        "Greedy means: a choice is never taken back.",
        with_backtracking,
    ),
    wordpiece(
        "the fewest pieces are taken, not the longest first",
        "Which piece does the greedy rule take first?",
        lambda self, word: with_backtracking(self, word, fewest=True),
    ),
    wordpiece(
        "the last character is ignored",
        "Print the pieces of a word of two letters.",
        lambda self, word: cut(self, word[:-1]),
    ),
    wordpiece("the whole rest of a word is never tried as one piece", "Where does the search begin?", stop=1),
    wordpiece("pieces of one letter are never tried", "Where does the search end?", least=2),
    wordpiece("the limit is 100 characters, not 200", "How long may a word be?", limit=100),
    wordpiece("a word of 200 characters is already too long", "Is 200 itself allowed?", limit=199),
    wordpiece("no word is too long", "What is a word of more than 200 characters?", limit=10**6),
    wordpiece(
        "an unknown word has no pieces",
        "What stands for a word that cannot be cut?",
        lambda self, word: [] if cut(self, word) == ["[UNK]"] else cut(self, word),
    ),
    wordpiece(
        "an unknown word stays as it is",
        "What stands for a word that cannot be cut?",
        lambda self, word: [word] if cut(self, word) == ["[UNK]"] else cut(self, word),
    ),
    wordpiece(
        "later pieces are returned without ##",
        "How can decode tell pieces of one word from two words?",
        lambda self, word: [piece.removeprefix("##") if at else piece for at, piece in enumerate(cut(self, word))],
    ),
    wordpiece("the word is lower-cased once more", "Who lower-cases?", lambda self, word: cut(self, word.lower())),
)

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


def text(name, hint, place, function, **more):
    return Mistake(name, hint, {f"tokenizer.{place}": function}, **more)


APART = "Which characters are words of their own?"
WORDS = (
    text("punctuation stays with its word", APART, "set_apart", lambda char: char),
    text(
        "only ASCII punctuation is set apart",
        "Print the words of \u201cquoted\u201d.",
        "set_apart",
        lambda char: f" {char} " if "!" <= char <= "~" and not char.isalnum() else char,
    ),
    text(
        "ASCII symbols such as $ and ^ stay with their word",
        APART,
        "set_apart",
        lambda char: f" {char} " if unicodedata.category(char)[0] == "P" else char,
    ),
    text(
        "all symbols are set apart, not only ASCII ones",
        APART,
        "set_apart",
        lambda char: f" {char} " if unicodedata.category(char)[0] in "PS" else char,
    ),
    text("punctuation is dropped", APART, "set_apart", lambda char: " " if set_apart(char) != char else char),
    text(
        "the apostrophe stays with its word", APART, "set_apart", lambda char: "'" if char == "'" else set_apart(char)
    ),
    text(
        "the hyphen stays with its word", APART, "set_apart", lambda char: "-" if char in "-\u2014" else set_apart(char)
    ),
    text("CJK characters stay together", APART, "clean_char", clean_with(lambda char: char if is_cjk(char) else None)),
    text(
        "control characters become spaces",
        "What becomes of a soft hyphen?",
        "clean_char",
        clean_with(lambda char: " " if right_clean(char) == "" else None),
    ),
    text(
        "control characters stay",
        "What becomes of a soft hyphen?",
        "clean_char",
        clean_with(lambda char: char if right_clean(char) == "" else None),
    ),
    text(
        "tabs and line ends are dropped, not made spaces",
        "Is a tab a control character or white space?",
        "clean_char",
        clean_with(lambda char: "" if char in "\t\n\r" else None),
    ),
    text(
        "an uncased tokenizer keeps accents",
        "What comes after NFD?",
        "BertTokenizer.words_with_offsets",
        words_with(None, False),
    ),
    text(
        "an uncased tokenizer keeps capital letters",
        "Which setting asks for lower case?",
        "BertTokenizer.words_with_offsets",
        words_with(False),
    ),
    text(
        "a cased tokenizer lower-cases",
        "Which setting asks for lower case?",
        "BertTokenizer.words_with_offsets",
        words_with(True),
    ),
    text(
        "a cased tokenizer strips accents",
        "Which setting asks for accents to go?",
        "BertTokenizer.words_with_offsets",
        words_with(None, True),
    ),
    text(
        "accents are not taken off their letters (NFC, not NFD)",
        "In which form is an accent a character of its own?",
        "strip_accents",
        lambda chars: replace(chars, lambda char: "" if unicodedata.category(char) == "Mn" else char),
    ),
    text(
        "letters with accents are dropped as a whole",
        "What is left of \u00e9?",
        "strip_accents",
        lambda chars: [
            one for one in chars if unicodedata.normalize("NFD", one[0]) == one[0] and not unicodedata.combining(one[0])
        ],
    ),
)

# Special tokens, pairs, cutting, padding


def encode(name, hint, place, function):
    return Mistake(name, hint, {f"encoding.{place}": function})


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
            encoding = right(self, texts, pairs, **(options | fixed))
            if encoding:
                change(self, encoding, options | {"paired": pairs is not None})
            if return_tensors == "pt":
                for key, value in encoding.items():
                    encoding[key] = torch.tensor(value)
            return encoding

        return __call__

    return Around(make)


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


def text_first(segments, mask, ids):
    """0 for [CLS] only"""
    return [0, *mask[1:]] if 1 in segments else segments


JOIN, SHORTEN, CALL = "join", "shorten", "Tokenizer.__call__"
FRAME, LONG, SEGMENT = "Write the tokens of a pair on paper.", "Which tokens go, and how many?", "Whose token is this?"
PAD = "What is under the padding?"
ENCODING = (
    encode("[CLS] is missing", FRAME, JOIN, joined(lambda b, t, e: t + e, lambda b, t, m, p, e: t + m + p + e)),
    encode(
        "the last [SEP] is missing", FRAME, JOIN, joined(lambda b, t, e: b + t, lambda b, t, m, p, e: b + t + m + p)
    ),
    encode(
        "there is no [SEP] between a text and its pair", FRAME, JOIN, joined(one, lambda b, t, m, p, e: b + t + p + e)
    ),
    encode(
        "the pair begins with a [CLS] of its own", FRAME, JOIN, joined(one, lambda b, t, m, p, e: b + t + m + b + p + e)
    ),
    encode(
        "two [SEP] stand between a text and its pair",
        FRAME,
        JOIN,
        joined(one, lambda b, t, m, p, e: b + t + m + m + p + e),
    ),
    encode("the pair comes first", FRAME, JOIN, joined(one, lambda b, t, m, p, e: b + p + m + t + e)),
    encode("the pair is left out", FRAME, JOIN, joined(one, lambda b, t, m, p, e: b + t + e)),
    encode(
        "[CLS] and [SEP] are exchanged",
        FRAME,
        JOIN,
        joined(lambda b, t, e: e + t + b, lambda b, t, m, p, e: e + t + b + p + b),
    ),
    encode("of a pair, only the second text is cut", LONG, SHORTEN, shortened(lambda row: row[-1])),
    encode("of a pair, only the first text is cut", LONG, SHORTEN, shortened(lambda row: row[0])),
    encode(
        "of a pair, the shorter text is cut first",
        LONG,
        SHORTEN,
        shortened(lambda row: row[0] if len(row[-1]) >= len(row[0]) else row[-1]),
    ),
    encode(
        "of two texts of equal length, the first is cut",
        LONG,
        SHORTEN,
        shortened(lambda row: row[-1] if len(row[-1]) > len(row[0]) else row[0]),
    ),
    encode("both texts of a pair are cut to half the room", LONG, SHORTEN, halves),
    encode("both texts of a pair are cut in proportion", LONG, SHORTEN, shares),
    encode("texts are cut at their front", LONG, SHORTEN, shortened(longer, at=0)),
    encode(
        "the special tokens are not counted when a text is cut",
        "How many tokens come out?",
        SHORTEN,
        shortened(longer, room=lambda row, room: room + 1 + len(row)),
    ),
    encode(
        "of a pair, two special tokens are counted, not three",
        "How many tokens come out?",
        SHORTEN,
        shortened(longer, room=lambda row, room: room - 1 + len(row)),
    ),
    encode(
        "three special tokens are counted for a text alone, too",
        "How many tokens come out?",
        SHORTEN,
        shortened(longer, room=lambda row, room: room - 2 + len(row)),
    ),
    encode(
        "one token too few is kept",
        "How many tokens come out?",
        SHORTEN,
        shortened(longer, room=lambda row, room: room - 1),
    ),
    encode(
        "one token too many is kept",
        "How many tokens come out?",
        SHORTEN,
        shortened(longer, room=lambda row, room: room + 1),
    ),
    encode("texts are never cut", "Is truncation heard?", SHORTEN, lambda row, room: False),
    encode("the end is cut off with its [SEP]", LONG, CALL, around(sep_cut_off, truncation=False)),
    encode("the segments are all 0", SEGMENT, CALL, each_row(lambda row, mask, ids: [0] * len(row))),
    encode(
        "the segments are exchanged",
        SEGMENT,
        CALL,
        each_row(
            lambda row, mask, ids: [1 - one if shown else 0 for one, shown in zip(row, mask)] if 1 in row else row
        ),
    ),
    encode("the [SEP] between counts as the pair's", SEGMENT, CALL, each_row(middle_second)),
    encode("the last [SEP] counts as the first text's", SEGMENT, CALL, each_row(last_first)),
    encode(
        "padding has segment 1",
        SEGMENT,
        CALL,
        each_row(lambda row, mask, ids: [one if shown else int(1 in row) for one, shown in zip(row, mask)]),
    ),
    encode("the segments of a pair are 1 from the first text on", SEGMENT, CALL, each_row(text_first)),
    encode(
        "the attention mask is 1 at padding",
        PAD,
        CALL,
        each_row(lambda row, mask, ids: [1] * len(row), "attention_mask"),
    ),
    encode(
        "the attention mask is upside down",
        PAD,
        CALL,
        each_row(lambda row, mask, ids: [1 - one for one in mask], "attention_mask"),
    ),
    encode(
        "the attention mask hides [CLS] and [SEP]",
        PAD,
        CALL,
        each_row(
            lambda row, mask, ids: [int(one and id not in (2, 3)) for one, id in zip(mask, ids)], "attention_mask"
        ),
    ),
    encode("padding comes first", "On which side does BERT pad?", CALL, around(left)),
    encode(
        "padding is done with the id of [UNK]",
        PAD,
        CALL,
        each_row(lambda row, mask, ids: [id if shown else 1 for id, shown in zip(ids, mask)], "input_ids"),
    ),
    Mistake(
        "a [SEP] in a text becomes the control token",
        "Is the text trusted?",
        {
            "encoding.Tokenizer.__call__": Around(
                lambda right: lambda self, *texts, **options: right(self, *texts, **(options | {"allow_special": True}))
            )
        },
    ),
    Mistake(
        "control tokens in a text are never kept",
        "What does allow_special ask for?",
        {
            "encoding.Tokenizer.__call__": Around(
                lambda right: (
                    lambda self, *texts, **options: right(self, *texts, **(options | {"allow_special": False}))
                )
            )
        },
    ),
)
MISTAKES = WORDPIECE + WORDS + ENCODING
