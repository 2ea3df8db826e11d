"""BPE on the characters of words: the tokenizers of GPT-1 (Radford et al. 2018) and of BERTweet (Nguyen et al. 2020).

Here the last symbol of a word carries a mark, </w>, and a piece that the vocabulary lacks is unknown.
"""

import itertools
import re

from minbert import tokenizer, tokenizer_files
from minbert.cache import Cache
from minbert.errors import UserError
from minbert.tokenizer_json import check
from minbert.tokenizers import bpe_files, bpe_json, tweets
from minbert.tokenizers.bpe import BPETokenizer
from minbert.tokenizers.framed import ROUND, ROUND_NAMES, Framing

LAST = "</w>"  # of the last symbol of a word
UNKNOWN = "<unk>"
GPT = Framing("OpenAIGPTTokenizer", {"unk_token": UNKNOWN})
BERTWEET = Framing("BertweetTokenizer", ROUND_NAMES, **ROUND, max_length=128)
FIRST = ("<s>", "<pad>", "</s>", "<unk>")  # the tokens 0 to 3 of BERTweet; its vocabulary file begins with 4
MASK = "<mask>"  # ... and its last one
SET_APART = re.compile(r"""(-+|~+|!+|"+|;+|\?+|\++|,+|\)+|\(+|\\+|/+|\*+|\[+|\]+|\}+|\{+|\|+|_+)""")
ORIGINAL = {
    "\u2014": "-",
    "\u2013": "-",
    "\u2015": "-",
    "\u2026": "...",
    "\u00b4": "'",
}  # three dashes, dots, an accent


class WordBPETokenizer(BPETokenizer):
    """What GPT-1's and BERTweet's tokenizers share: the first symbols of a word are its characters."""

    def letters(self, word):
        return [*word[:-1], word[-1] + LAST]

    def spread(self, word, positions):
        """A word's pieces with their places: [(piece, (start, end) in the text or None), ...]

        positions  where in the text each character of the word comes from; None if that is not known
        """
        found, done = [], 0
        symbols = self.word_symbols[word]
        for number, symbol in enumerate(symbols):
            last = number == len(symbols) - 1
            size = len(symbol) - len(LAST) * last
            at = positions and positions[done : done + size]  # not always in order: NFD sorts marks
            found.append((self.piece(symbol, last), at and (min(at), max(at) + 1)))
            done += size
        return found

    def check_offsets(self, options):
        """Raise UserError if a call asks for the places of tokens in a text that was rewritten first."""
        if options.get("return_offsets_mapping"):
            raise UserError(f"{self.framing.title} has no offsets here: the text is rewritten before it is cut")


class GPTTokenizer(WordBPETokenizer):
    """GPT-1's tokenizer. Adds no special tokens; "<unk>" is the only one there is.

    words  text -> words in lower case. None: BERT's rules (clean, CJK characters apart, lower-case, strip accents,
           split at punctuation), as transformers does. `original_words` is what the model learnt from: with it "don't"
           is "do n't" and the end of a line is a token

    The other arguments are BPETokenizer's.
    """

    framing = GPT
    lower_case = True

    def __init__(self, vocab, merges, words=None, framing=None, max_length=None, names=None, added=()):
        super().__init__(vocab, merges, framing, max_length, names, added)
        if self.unk_token_id is None:
            raise UserError(f"the vocabulary lacks {self.unk_token}; is it GPT-1's?")
        bpe_files.check_merges(merges, vocab)
        self.words_of = words
        self.chunk_pieces = Cache(self.cut_chunk)  # what stands between spaces -> its words and their pieces

    @classmethod
    def from_files(cls, vocab, merges, **options):
        """From vocab.json and merges.txt."""
        with bpe_files.where(vocab):
            return cls(**(bpe_files.read_files(vocab, merges, framing_of_gpt) | options))

    @classmethod
    def read(cls, directory):
        """What the files of a folder ask for, as arguments of this class."""
        return bpe_files.read(directory, framing_of_gpt, bpe_json.WORD_LEVEL, [GPT.title])

    def save_pretrained(self, directory):
        """Write vocab.json, merges.txt and tokenizer_config.json, in a form that Hugging Face reads too."""
        bpe_files.write(directory, self, {})

    def forget(self):
        super().forget()
        self.chunk_pieces.clear()

    def __call__(self, texts, pairs=None, **options):
        """As encoding.Tokenizer. Offsets are known only where words=None."""
        if self.words_of:
            self.check_offsets(options)
        return super().__call__(texts, pairs, **options)

    def segments(self, text):
        """Yields (word, [(piece, (start, end) in the text, or None if words= was given), ...])."""
        if self.words_of:
            yield from ((word, self.spread(word, None)) for word in self.words_of(text) if word)
            return
        for chunk in tokenizer.BETWEEN_SPACES.finditer(text):
            for word, pieces in self.chunk_pieces[chunk[0]]:
                start = chunk.start()
                yield word, [(piece, (start + first, start + last)) for piece, (first, last) in pieces]

    def cut_chunk(self, chunk):
        """A text without spaces -> [(word, pieces), ...]"""
        found = []
        for run in tokenizer.split(tokenizer.clean(zip(chunk, itertools.count()))):
            bare = tokenizer.strip_accents(tokenizer.lower(run))
            for word in tokenizer.split(tokenizer.replace(bare, tokenizer.set_apart)):
                letters, positions = zip(*word)
                word = "".join(letters)
                found.append((word, self.spread(word, positions)))
        return found

    def text_to_ids(self, text, keep_special=False):
        """The ids of `pieces`."""
        if self.words_of or keep_special or self.finders[False].tokens:
            return super().text_to_ids(text, keep_special)
        chunks = map(self.chunk_pieces.__getitem__, tokenizer.BETWEEN_SPACES.findall(text))
        return [self.vocab[piece] for words in chunks for _, pieces in words for piece, _ in pieces]

    def piece(self, symbol, last):
        return symbol if symbol in self.in_words else self.unk_token

    def decode(self, ids, skip_special_tokens=False, clean_up=False):
        """Ids -> text. Case and accents are lost, and punctuation stands apart (clean_up is not used)."""
        return "".join(self.kept(ids, skip_special_tokens)).replace(LAST, " ").strip(" ")

    def show(self, id: int) -> str:
        """One token for people."""
        return self.tokens[id].replace(LAST, " ")


def framing_of_gpt(vocab, title=None):
    return GPT


def original_words(text: str) -> list[str]:
    """GPT-1's own words, from ftfy and spaCy: pass it as GPTTokenizer(words=original_words). "\\n" is a word.

    Raises UserError if one of the two packages is not installed.
    """
    fix_text, nlp = original_tools()
    text = fix_text(text)
    for old, new in ORIGINAL.items():
        text = text.replace(old, new)
    text = re.sub(r"\s*\n\s*", " \n ", SET_APART.sub(r" \1 ", text))
    text = re.sub(r"[^\S\n]+", " ", text).strip()
    return ["\n" if token.text == "\n " else token.text.lower() for token in nlp(text)]


def original_tools(found=[]):  # noqa: B006 (remembers what it made)
    """ftfy's fix_text, and spaCy's rules for English without a model."""
    if not found:
        try:
            import ftfy
            import spacy
        except ImportError as error:
            raise UserError(f"{error.name} is missing: GPT-1's own words need it, pip install ftfy spacy") from None
        found += [ftfy.fix_text, spacy.blank("en").tokenizer]
    return found


class TweetTokenizer(WordBPETokenizer):
    """BERTweet's tokenizer: <s> text </s>, and <s> text </s></s> pair </s>. Pieces but the last of a word end in @@.

    normalization  True: mentions become @USER, links HTTPURL, emojis :names:, as the model learnt (tweets.py). False:
                   the text is normalised already

    The other arguments are BPETokenizer's.
    """

    framing = BERTWEET

    def __init__(self, vocab, merges, normalization=True, framing=None, max_length=None, names=None, added=()):
        super().__init__(vocab, merges, framing, max_length, names, added)
        if self.unk_token_id is None:
            raise UserError(f"the vocabulary lacks {self.unk_token}; is it BERTweet's?")
        self.normalization = normalization

    @classmethod
    def from_files(cls, vocab, codes, **options):
        """From vocab.txt and bpe.codes."""
        tokens, merges = read_tweet_files(vocab, codes)
        with bpe_files.where(vocab):
            return cls(number(tokens), merges, **options)

    @classmethod
    def read(cls, directory):
        """What the files of a folder ask for, as arguments of this class."""
        config, mapped, _ = bpe_files.read_settings(directory, [BERTWEET.title], known={"normalization"})
        tokens, merges = read_tweet_files(directory / bpe_files.COUNTS, directory / bpe_files.CODES)
        vocab = number(tokens)
        if "normalization" not in config:
            advice = 'write "normalization": true into it if tweets should be normalised, as for the published models'
            tokenizer_files.warn(f"{config.path}: has no normalization, so the text is taken as it is; {advice}")
        check(config.path, "normalization", config.get("normalization", False), True, False)
        return {
            "vocab": vocab,
            "merges": merges,
            "normalization": config.get("normalization", False),
        } | bpe_files.read_tokens(directory, config, mapped, None, BERTWEET, vocab)

    def save_pretrained(self, directory):
        """Write vocab.txt, bpe.codes and tokenizer_config.json, in a form that Hugging Face reads too."""
        bpe_files.write(directory, self, {"normalization": self.normalization}, counts=True)

    def __call__(self, texts, pairs=None, **options):
        """As encoding.Tokenizer. Offsets are known only where normalization is False."""
        if self.normalization:
            self.check_offsets(options)
        return super().__call__(texts, pairs, **options)

    def segments(self, text):
        """Yields (word, [(piece, (start, end) in the text, or None if the text is normalised), ...])."""
        text = tweets.normalize(text) if self.normalization else text
        for match in re.finditer(r"\S+\n?", text):
            yield match[0], self.spread(match[0], None if self.normalization else range(*match.span()))

    def piece(self, symbol, last):
        piece = symbol.removesuffix(LAST) if last else symbol + "@@"
        return piece if piece in self.in_words else self.unk_token

    def decode(self, ids, skip_special_tokens=False, clean_up=False):
        """Ids -> text, normalised (clean_up is not used)."""
        return " ".join(self.kept(ids, skip_special_tokens)).replace("@@ ", "").strip()

    def show(self, id: int) -> str:
        """One token for people."""
        return self.tokens[id]


def read_tweet_files(vocab, codes):
    """vocab.txt and bpe.codes -> tokens in the order of their ids, merges. Raises UserError if merges are missing."""
    tokens, merges = bpe_files.read_counts(vocab), bpe_files.read_codes(codes)
    symbols = [token.removesuffix("@@") if token.endswith("@@") and token != "@@" else token + LAST for token in tokens]
    bpe_files.check_complete(codes, symbols, merges, allowed=0.1)
    return [*FIRST, *tokens, MASK], merges


def number(tokens):
    """Tokens in the order of their ids -> {token: id}. Raises UserError for one that is there twice."""
    ids = {token: id for id, token in enumerate(tokens)}
    if len(ids) < len(tokens):
        twice = next(token for id, token in enumerate(tokens) if ids[token] != id)
        raise UserError(f"the vocabulary lists {twice!r}, which has its place at its beginning or end")
    return ids
