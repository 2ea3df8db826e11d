"""Text -> tokens -> ids: the WordPiece tokenizer that BERT was trained with, for every string there is.

The reference is tokenization.py of google-research/bert (Devlin et al. 2019, section 3 and appendix A.2): clean the
text, set CJK characters apart, lower-case and strip accents, split at punctuation, then cut each word into the longest
pieces that the vocabulary holds. Hugging Face's Rust tokenizer differs from it in a few ways; tests/test_tokenizer.py
lists them. Categories of characters come from Python's unicodedata, so a newer Python knows newer characters.
"""

import itertools
import json
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import regex
import torch

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.jsonfile import quoted, read_bytes, read_json

LARGEST = 2**24  # bytes of a vocab.txt; the largest published ones, of half a million tokens, have some 5 million
MAX_WORD = 200  # a longer word becomes [UNK], as in the original (Hugging Face's Rust tokenizer: 100)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CJK = (  # the original's ranges, both ends included
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


class Table(dict):
    """A table for str.translate that asks its rule once for each character, the first time the character occurs."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def __missing__(self, code):
        self[code] = self.rule(chr(code))
        return self[code]


def clean(char):
    """Drop control characters, make every white space a space, and set a CJK character apart."""
    if char in "\t\n\r" or unicodedata.category(char) == "Zs":
        return " "
    if char in "\0\ufffd" or unicodedata.category(char) in ("Cc", "Cf"):
        return ""
    if any(first <= ord(char) <= last for first, last in CJK):
        return f" {char} "
    return char


def strip_accent(char):
    """Drop the combining marks that NFD has taken off their letters."""
    return "" if unicodedata.category(char) == "Mn" else char


def split_off(char):
    """Set punctuation apart; every ASCII character that is neither letter, digit nor space counts, '$' and '^' too."""
    ascii_symbol = "!" <= char <= "~" and not char.isalnum()
    return f" {char} " if ascii_symbol or unicodedata.category(char)[0] == "P" else char


def unaccent(char):
    """Take a character apart (NFD) and drop its combining marks: 'é' -> 'e'."""
    return "".join(map(strip_accent, unicodedata.normalize("NFD", char)))


CLEAN, STRIP_ACCENT, UNACCENT, SPLIT_OFF = Table(clean), Table(strip_accent), Table(unaccent), Table(split_off)


def clean_up(text):
    """text.translate(CLEAN); most texts need none."""
    return text if text.isascii() and text.isprintable() else text.translate(CLEAN)


class Cache(dict):
    """A piece of text -> its ids; the rule is asked the first time. Of a long text few pieces are new.

    Bounded: long pieces are not kept, and all are forgotten when there are too many.
    """

    MOST, LONGEST = 2**17, 50

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def __missing__(self, piece):
        ids = self.rule(piece)
        if len(piece) <= self.LONGEST:
            if len(self) >= self.MOST:
                self.clear()
            self[piece] = ids
        return ids


class Pieces(dict):
    """Pieces of words -> their ids, and how long the longest is that begins with these two characters."""

    def __init__(self, ids):
        super().__init__(ids)
        self.reach = {}
        for piece in self:
            start = piece[:2]
            if len(piece) > self.reach.get(start, 1):
                self.reach[start] = len(piece)


class Encoding(dict):
    """What a tokenizer returns: a dict that also gives its entries as attributes and moves its tensors."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to(self, device):
        """The same, with every tensor on this device."""
        return Encoding({name: value.to(device) if torch.is_tensor(value) else value for name, value in self.items()})


class BertTokenizer:
    """WordPiece with a given vocabulary.

    vocab          the tokens in the order of their ids, or a dict {token: id}; must hold [UNK]
    lower_case     True for uncased models: lower-case, then strip accents
    strip_accents  None: as lower_case
    max_length     what truncation=True cuts to
    """

    def __init__(self, vocab, lower_case=True, strip_accents=None, max_length=512):
        tokens = sorted(vocab, key=vocab.get) if isinstance(vocab, dict) else list(vocab)
        self.vocab = dict(vocab) if isinstance(vocab, dict) else {token: id for id, token in enumerate(tokens)}
        self.tokens = {id: token for token, id in self.vocab.items()}
        if len(self.vocab) != len(tokens):
            twice = next(token for id, token in enumerate(tokens) if self.vocab[token] != id)
            raise UserError(f"the vocabulary holds {twice!r} more than once")
        if "[UNK]" not in self.vocab:
            raise UserError("the vocabulary has no [UNK]; is it a WordPiece vocabulary?")
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.max_length = max_length
        self.special = [token for token in SPECIAL if token in self.vocab]
        self.find_special = regex.compile("(" + "|".join(map(regex.escape, self.special)) + ")")
        self.longest = max(map(len, self.vocab))
        self.begin = Pieces({token: id for token, id in self.vocab.items() if not token.startswith("##")})
        self.inside = Pieces({token[2:]: id for token, id in self.vocab.items() if token.startswith("##")})
        self.word_ids = Cache(self.wordpiece_ids)
        self.chunk_ids = Cache(self.words_ids)
        for token in SPECIAL:  # self.pad_token = "[PAD]", self.pad_token_id = 0, ...
            name = token.strip("[]").lower() + "_token"
            setattr(self, name, token)
            setattr(self, name + "_id", self.vocab.get(token))

    @classmethod
    def from_pretrained(cls, name, **options):
        """Read vocab.txt and tokenizer_config.json from a directory, or from where weights.hub finds a name.

        Without tokenizer_config.json a vocabulary with capital letters is taken for a cased one.
        """
        from minbert.weights import hub  # the tokenizer itself needs no hub

        directory = hub.find(name, tokenizer_only=True)
        tokens = read_vocab(directory / "vocab.txt")
        return cls(tokens, **(read_settings(directory / "tokenizer_config.json", tokens) | options))

    def save_pretrained(self, directory):
        """Write vocab.txt and tokenizer_config.json, whole or not at all, in a form that Hugging Face reads too."""
        lines = "".join(self.tokens[id] + "\n" for id in range(len(self.tokens)))
        settings = {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": self.lower_case,
            "strip_accents": self.strip_accents,
            "model_max_length": self.max_length,
        }
        with atomic_write(Path(directory, "tokenizer_config.json")) as config:
            config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
            with atomic_write(Path(directory, "vocab.txt")) as vocab:
                vocab.write_bytes(lines.encode())

    def __len__(self):
        return len(self.vocab)

    # Text -> words -> pieces

    def words(self, text):
        """'Hello, wörld!' -> ['hello', ',', 'world', '!']"""
        text = clean_up(text)
        if self.lower_case:
            text = text.lower()  # the whole text at once: a sigma is final or not by what stands around it
        if self.strip_accents and not text.isascii():
            plain = text.translate(UNACCENT)
            if any(map(unicodedata.combining, plain)):  # marks that stay: NFD may put them in another order
                plain = "".join(char for char, _ in decompose([(char, 0) for char in text])).translate(STRIP_ACCENT)
            text = plain
        return text.translate(SPLIT_OFF).split()

    def wordpiece(self, word):
        """'unaffable' -> ['un', '##aff', '##able']: again and again the longest piece that the vocabulary holds.

        A word that cannot be cut so, or of more than 200 characters, is [UNK] as a whole.
        """
        if len(word) > MAX_WORD:
            return ["[UNK]"]
        pieces, start, prefix = [], 0, ""
        while start < len(word):
            for end in range(min(len(word), start + self.longest), start, -1):
                piece = prefix + word[start:end]
                if piece in self.vocab:
                    break
            else:
                return ["[UNK]"]
            pieces.append(piece)
            start, prefix = end, "##"
        return pieces

    def wordpiece_ids(self, word):
        """The ids of wordpiece(word), looking up less: no piece longer than those with the same beginning."""
        if len(word) > MAX_WORD:
            return [self.unk_token_id]
        ids, start, pieces = [], 0, self.begin
        while start < len(word):
            for end in range(min(len(word), start + pieces.reach.get(word[start : start + 2], 1)), start, -1):
                id = pieces.get(word[start:end])
                if id is not None:
                    break
            else:
                return [self.unk_token_id]
            ids.append(id)
            start, pieces = end, self.inside
        return ids

    def words_ids(self, text):
        """The ids of a text's pieces, word by word."""
        if text.isascii() and text.isalnum():  # one word, which only lower-casing changes
            return self.word_ids[text.lower() if self.lower_case else text]
        return [id for word in self.words(text) for id in self.word_ids[word]]

    def text_ids(self, text):
        """The ids of a text's pieces, from those of what stands between its spaces: no rule looks across a space."""
        return list(itertools.chain.from_iterable(map(self.chunk_ids.__getitem__, clean_up(text).split())))

    def tokenize(self, text, keep_special=True):
        """A text's pieces. Control tokens written in the text, such as [SEP], stay whole unless keep_special=False."""
        parts = self.find_special.split(text) if keep_special else [text]
        pieces = []
        for part in parts:
            if keep_special and part in self.special:
                pieces.append(part)
            else:
                pieces += [piece for word in self.words(part) for piece in self.wordpiece(word)]
        return pieces

    # Offsets: the same way, one character at a time

    def words_with_offsets(self, text):
        """The words of a text, each with the position in the text that each of its characters came from.

        Returns [(word, [position, ...]), ...]. Follows `words` step by step; the tests hold the two equal.
        """
        chars = [(c, at) for at, char in enumerate(text) for c in char.translate(CLEAN)]
        if self.lower_case:
            positions = [at for char, at in chars for _ in char.lower()]  # one character can become two
            chars = list(zip("".join(char for char, _ in chars).lower(), positions, strict=True))
        if self.strip_accents:
            chars = [(char, at) for char, at in decompose(chars) if char.translate(STRIP_ACCENT)]
        words = []
        chars = [(c, at) for char, at in chars for c in char.translate(SPLIT_OFF)]
        for is_space, run in itertools.groupby(chars, key=lambda item: item[0].isspace()):
            if not is_space:
                word, positions = zip(*run)
                words.append(("".join(word), list(positions)))
        return words

    def tokenize_with_offsets(self, text, keep_special=False):
        """A text's pieces and where each stands in it: [(piece, (start, end)), ...], in characters, end exclusive."""
        found, base = [], 0
        for part in self.find_special.split(text) if keep_special else [text]:
            if keep_special and part in self.special:
                found.append((part, (base, base + len(part))))
            else:
                for word, at in self.words_with_offsets(part):
                    done = 0
                    for piece in self.wordpiece(word):
                        size = len(word) if piece == "[UNK]" else len(piece) - 2 * bool(done)
                        span = at[done : done + size]  # not always in order: NFD sorts marks
                        found.append((piece, (base + min(span), base + max(span) + 1)))
                        done += size
            base += len(part)
        return found

    # Pieces <-> ids

    def convert_tokens_to_ids(self, tokens):
        """A token's id, or a list's ids; what the vocabulary lacks gets the id of [UNK]."""
        if isinstance(tokens, str):
            return self.vocab.get(tokens, self.unk_token_id)
        return [self.vocab.get(token, self.unk_token_id) for token in tokens]

    def convert_ids_to_tokens(self, ids):
        """An id's token, or a sequence's tokens. Raises KeyError for an id outside the vocabulary."""
        if isinstance(ids, int):
            return self.tokens[ids]
        return [self.tokens[int(id)] for id in ids]

    def decode(self, ids, skip_special_tokens=False, clean_up=True):
        """Text again, as well as WordPiece allows: case, accents and spaces are gone, [UNK] stays [UNK].

        clean_up closes the gap before . , ? ! and in don't, it's and the like, as Hugging Face does.
        """
        tokens = self.convert_ids_to_tokens([ids] if isinstance(ids, int) else ids)
        if skip_special_tokens:
            tokens = [token for token in tokens if token not in self.special]
        text = " ".join(tokens).replace(" ##", "")
        if clean_up:
            for gap in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
                text = text.replace(gap, gap.strip())
        return text

    # Texts -> what the model reads

    def __call__(
        self,
        texts,
        pairs=None,
        *,
        padding=False,
        truncation=False,
        max_length=None,
        return_tensors=None,
        add_special_tokens=True,
        return_offsets_mapping=False,
        allow_special=False,
    ):
        """Encode a text or a list of texts as [CLS] text [SEP], with their pairs as [CLS] text [SEP] pair [SEP].

        padding        False; True or "longest": to the longest here; "max_length": to max_length
        truncation     False; True or "longest_first": cut to max_length tokens, special ones included, and of a pair
                       the longer text first
        max_length     None: the model's (512 for BERT)
        return_tensors None: lists of int; "pt": tensors int64 [B, T]
        allow_special  False: "[SEP]" in a text is five characters of text. True: it is the control token
        returns        Encoding of input_ids, token_type_ids (0 first text, 1 second), attention_mask (1 token,
                       0 padding) and, with return_offsets_mapping, offset_mapping: (start, end) of each token in
                       its text in characters, (0, 0) for special tokens and padding

        Warns once, with the number of texts that were cut. Raises UserError for what is not text, and for texts of
        different lengths that should become one tensor.
        """
        check_choice("padding", padding, (False, True, "longest", "max_length"))
        check_choice("truncation", truncation, (False, True, "longest_first"))
        check_choice("return_tensors", return_tensors, (None, "pt"))
        limit = self.max_length if max_length is None else max_length
        rows, spans = as_rows(texts, pairs), []
        if return_offsets_mapping:
            pieces = [[self.tokenize_with_offsets(text, allow_special) for text in row] for row in rows]
            rows = [[[self.vocab[piece] for piece, _ in part] for part in row] for row in pieces]
            spans = [[[span for _, span in part] for part in row] for row in pieces]
        elif allow_special:
            rows = [[self.convert_tokens_to_ids(self.tokenize(text)) for text in row] for row in rows]
        else:
            rows = [[self.text_ids(text) for text in row] for row in rows]

        first, last = ([self.cls_token_id], [self.sep_token_id]) if add_special_tokens else ([], [])
        if None in first + last:
            raise UserError("the vocabulary has no [CLS] or no [SEP]: pass add_special_tokens=False")
        if truncation:
            specials = len(first) + len(last) * max(map(len, rows), default=0)
            if limit < specials:
                raise UserError(f"max_length is {limit}, but the special tokens alone are {specials}")
            cut = sum([shorten(row, limit - specials) for row in rows])
            for row in spans:
                shorten(row, limit - specials)
            if cut:
                warnings.warn(f"{cut} of {len(rows)} texts were longer than {limit} tokens and were cut", stacklevel=2)

        input_ids = [[*first, *row[0], *last] for row in rows]
        segments = [[0] * len(ids) for ids in input_ids]
        if rows and len(rows[0]) == 2:
            input_ids = [[*ids, *row[1], *last] for ids, row in zip(input_ids, rows)]
            segments = [zeros + [1] * (len(ids) - len(zeros)) for zeros, ids in zip(segments, input_ids)]
        encoding = {"input_ids": input_ids, "token_type_ids": segments}
        encoding["attention_mask"] = [[1] * len(ids) for ids in input_ids]
        if return_offsets_mapping:
            nowhere = [(0, 0)] * len(first)
            encoding["offset_mapping"] = [sum([part + nowhere for part in row], nowhere) for row in spans]
        if padding:
            width = limit if padding == "max_length" else max(map(len, input_ids), default=0)
            if self.pad_token_id is None:
                raise UserError("the vocabulary has no [PAD] to pad with")
            fillers = {"input_ids": self.pad_token_id, "offset_mapping": (0, 0)}
            for name, values in encoding.items():
                encoding[name] = [row + [fillers.get(name, 0)] * (width - len(row)) for row in values]
        encoding = Encoding(encoding if rows else {})
        if return_tensors == "pt":
            try:
                return Encoding({name: torch.tensor(values, dtype=torch.int64) for name, values in encoding.items()})
            except ValueError:
                raise UserError("texts of different lengths make no tensor: pass padding=True") from None
        return Encoding({name: values[0] for name, values in encoding.items()}) if isinstance(texts, str) else encoding

    def encode(self, text, pair=None, **options):
        """The ids alone."""
        return self(text, pair, **options)["input_ids"]


def check_choice(name, value, legal):
    """Raise UserError unless an argument has one of the values it may have."""
    if value not in legal:
        raise UserError(f"{name} is {value!r}, but can be: {', '.join(map(repr, legal))}")


def as_rows(texts, pairs):
    """One text or many, with pairs or without -> [(text,), ...] or [(text, pair), ...]"""
    columns = [[part] if isinstance(part, str) else part for part in (texts, pairs)]
    if columns[1] is None:
        columns.pop()
    for column in columns:
        if not isinstance(column, Iterable):
            raise UserError(
                f"texts should be a string or a list of strings, not a {type(column).__name__}: {column!r:.60}"
            )
    columns = [list(column) for column in columns]
    if len({len(column) for column in columns}) > 1:
        raise UserError(f"{len(columns[0])} texts, but {len(columns[1])} pairs")
    for column in columns:
        for number, text in enumerate(column):
            if not isinstance(text, str):
                raise UserError(f"text {number} is a {type(text).__name__}, not a string: {text!r:.60}")
    return list(zip(*columns))


def shorten(row: Sequence[list], room):
    """Cut the lists in place until they hold room items in all, always the longer one; True if anything was cut.

    The last item of the longer list goes first, of two equal ones the second's (google-research/bert,
    run_classifier.py).
    """
    excess = sum(map(len, row)) - room
    if len(row) == 1:
        del row[0][room:]
    else:
        for _ in range(excess):
            longest = row[1] if len(row[1]) >= len(row[0]) else row[0]
            longest.pop()
    return excess > 0


def decompose(chars):
    """NFD of [(character, position), ...]; in linear time, which unicodedata.normalize is not for endless marks."""
    return canonical_order([(c, at) for char, at in chars for c in unicodedata.normalize("NFD", char)])


def canonical_order(chars):
    """Sort each run of combining characters by class, as NFD does; chars is [(character, position), ...]."""
    ordered = []
    for _, run in itertools.groupby(chars, key=lambda item: unicodedata.combining(item[0]) > 0):
        ordered += sorted(run, key=lambda item: unicodedata.combining(item[0]))
    return ordered


def read_vocab(path):
    """The tokens of a vocab.txt, one a line in the order of their ids. Raises UserError naming the line at fault."""
    data, tokens, seen = read_bytes(path, LARGEST), [], {}
    # Split at \n alone: tokens can hold characters that str.splitlines takes for the end of a line.
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").split(b"\n"), start=1):
        try:
            token = line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            raise UserError(f"{path}:{number}: not UTF-8") from None
        if token in seen:
            raise UserError(f"{path}:{number}: {quoted(token)} stands on line {seen[token]} already")
        seen[token] = number
        tokens.append(token)
    missing = [token for token in SPECIAL if token not in seen]
    if missing:
        raise UserError(f"{path}: lacks {', '.join(missing)}; is it a BERT vocabulary?")
    return tokens


def read_settings(path, tokens):
    """Options for BertTokenizer from tokenizer_config.json; where there is none, from the looks of the vocabulary."""
    if not path.exists():
        return {"lower_case": not any(token != token.lower() for token in tokens if token[0:1] != "[")}
    stored = read_json(path)
    if stored.get("tokenize_chinese_chars") is False:
        raise UserError(f"{path}: tokenize_chinese_chars false is not supported")
    options = {"lower_case": stored.get("do_lower_case", True), "strip_accents": stored.get("strip_accents")}
    if options["lower_case"] not in (True, False) or options["strip_accents"] not in (True, False, None):
        raise UserError(f"{path}: do_lower_case and strip_accents can be true or false")
    length = stored.get("model_max_length")
    if isinstance(length, int) and 3 <= length <= 1_000_000:  # some checkpoints store 10**30 for "no limit"
        options["max_length"] = length
    return options
