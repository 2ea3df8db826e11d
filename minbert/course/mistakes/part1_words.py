"""Known mistakes of part 1: words and their pieces."""

import unicodedata

from minbert.tokenizer import set_apart

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
    fail=lambda word: ["[UNK]"],
    too_long=lambda word: ["[UNK]"],
    late=False,
    most=0,
    as_found=False,
):
    """The pieces of a word. unknown  what to do with a place where nothing fits: a function of (pieces, letter)"""
    if len(word) > limit:
        return too_long(word)
    pieces, start = [], 0
    while start < len(word):
        here = prefix if (start if not late else any(piece != "[UNK]" for piece in pieces)) else begin
        ends = range(start + least, min(len(word) - stop, start + self.longest + most) + 1)
        for end in ends if shortest else reversed(ends):
            forms = [here + word[start:end]] + ["##" * (not start) + word[start:end]] * either
            if found := [form for form in forms if form in self.vocab or (bare and word[start:end] in self.vocab)]:
                pieces.append(word[start:end] if as_found and found[0] not in self.vocab else found[0])
                start = end + (skip if skip is not None else len(here))
                break
        else:
            if unknown is None:
                return fail(word)
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


def whole_or_letters(self, word):
    if word in self.vocab:
        return [word]
    letters = ["##" * bool(at) + letter for at, letter in enumerate(word)]
    return letters if all(letter in self.vocab for letter in letters) and len(word) <= 200 else ["[UNK]"]


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
        "each letter that does not fit is an [UNK] of its own": [
            cutter(unknown=lambda pieces, letter: ["[UNK]"]),
            cutter(unknown=lambda pieces, letter: ["[UNK]"], late=True),
        ],
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
        "a word that is too long is cut to 200 characters": lambda self, word: cut(self, word[:200]),
        "a word that is too long has no pieces": cutter(too_long=lambda word: []),
        "no word is too long": cutter(limit=10**6),
        "an unknown word has no pieces": [
            lambda self, word: [] if cut(self, word) == ["[UNK]"] else cut(self, word),
            cutter(fail=lambda word: []),
        ],
        "an unknown word stays as it is": [
            lambda self, word: [word] if cut(self, word) == ["[UNK]"] else cut(self, word),
            cutter(fail=lambda word: [word]),
        ],
        "later pieces are returned without ##": lambda self, word: [
            piece.removeprefix("##") if at else piece for at, piece in enumerate(cut(self, word))
        ],
        "every piece is looked up with ##, the first one too": cutter(begin="##"),
        "a later piece may stand in the vocabulary without ##": [cutter(bare=True), cutter(bare=True, as_found=True)],
        "a word that the vocabulary does not hold is cut into letters": whole_or_letters,
        "the longest piece of the vocabulary is never tried": cutter(most=-1),
        "a letter is skipped after each piece": cutter(skip=1),
        "two letters are skipped after a later piece: ## is counted": cutter(skip=None),
        "the empty word is [UNK]": lambda self, word: cut(self, word) or ["[UNK]"],
        "the word is lower-cased once more": lambda self, word: cut(self, word.lower()),
    },
}

# Words


WORDS = {
    ("tokenizer.set_apart", "Which characters are words of their own?"): {
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
        "all but letters and digits is set apart": lambda char: (
            char if char.isalnum() or char.isspace() else f" {char} "
        ),
        "digits are set apart, too": [
            lambda char: f" {char} " if "!" <= char <= "~" and not char.isalpha() else set_apart(char),
            lambda char: f" {char} " if char.isdigit() else set_apart(char),
        ],
        "punctuation is set apart from what stands before it only": lambda char: set_apart(char).rstrip() or char,
        "punctuation is set apart from what follows it only": lambda char: set_apart(char).lstrip() or char,
        "the apostrophe stays with its word": lambda char: "'" if char == "'" else set_apart(char),
        "the hyphen stays with its word": lambda char: "-" if char in "-—" else set_apart(char),
    },
}
KNOWN = WORDPIECE | WORDS
