"""Marian's tokenizer, as in the opus-mt models: a unigram model for each language, and one vocabulary for both.

The files: source.spm and target.spm, whose pieces vocab.json numbers in an order of its own.
"""

import contextlib
import json
import re
import warnings
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

from minbert import tokenizer_files
from minbert.added import AddedToken
from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.jsonfile import quoted, read_json
from minbert.tokenizer_files import DECODER
from minbert.tokenizers import bpe_files
from minbert.tokenizers.bpe_files import VOCAB
from minbert.tokenizers.framed import FramedTokenizer, Framing
from minbert.tokenizers.unigram import Unigram
from minbert.tokenizers.unigram_files import SPACE

SOURCE, TARGET = "source.spm", "target.spm"
NAMES = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
MARIAN = Framing("MarianTokenizer", NAMES, end=("eos_token",))
LANGUAGE = re.compile(r">>[^\s<>]+<<")  # a token in front of a text: into which language it is to be translated
OWN = {"source_lang", "target_lang"}  # what other software is told of the languages; nothing here reads it
LEGAL = bpe_files.SETTINGS | {"sp_model_kwargs": ({}, None), "separate_vocabs": (False, None)}
LEGAL |= {"target_vocab_file": (None,)}


class MarianTokenizer(FramedTokenizer):
    """Marian's tokenizer: text </s>. It encodes texts of the source language, and decodes those of the target language.

    source, target  the Unigram of each language
    vocab           {token: id} of both; a piece that it lacks is <unk>
    languages       {"source_lang": "en", "target_lang": "es"}, or a part of it: written to the files as it is

    The other arguments are FramedTokenizer's. In front of a text, ">>fr<<" is one token if the model has several target
    languages; a warning says if it does not know this one. Special tokens in a text are plain text, unless
    allow_special=True.
    """

    framing = MARIAN

    def __init__(
        self, source: Unigram, target: Unigram, vocab, framing=None, max_length=None, names=None, added=(), languages=()
    ):
        super().__init__(vocab, framing, max_length, names, added)
        lost = [self.names[key] for key in NAMES if self.names[key] not in self.vocab]
        if lost:
            raise UserError(f"the vocabulary lacks {', '.join(lost)}; is it Marian's?")
        for model in (source, target):
            if model.model.byte_fallback or not model.model.escape_spaces:
                raise UserError(f"{model.model.path}: has pieces for bytes, or spaces in pieces: it is not Marian's")
        self.source, self.target, self.languages = source, target, dict(languages)
        self.codes = [token for token in self.vocab if LANGUAGE.fullmatch(token)]

    @classmethod
    def read(cls, directory):
        """What the files of a folder ask for, as arguments of this class."""
        directory = Path(directory)
        config, mapped, _ = bpe_files.read_settings(directory, [MARIAN.title], {*LEGAL, *OWN}, LEGAL)
        if missing := [name for name in (SOURCE, TARGET, VOCAB) if not (directory / name).exists()]:
            raise UserError(f"{directory}: Marian's tokenizer needs {', '.join(missing)}, which is not there")
        vocab = bpe_files.read_vocab(directory / VOCAB)
        bpe_files.check_vocab(vocab)
        models = {"source": Unigram.read(directory / SOURCE), "target": Unigram.read(directory / TARGET)}
        tokens = bpe_files.read_tokens(directory, config, mapped, None, MARIAN, vocab)
        model = directory / "config.json"
        for key, token in (("eos_token", "eos_token_id"), ("pad_token", "pad_token_id")):
            id, name = (read_json(model) if model.exists() else {}).get(token), tokens["names"][key]
            if id is not None and id != vocab.get(name):
                raise UserError(
                    f"{directory / VOCAB}: {name} is {vocab.get(name)}, but in {model} {token} is {quoted(id)}"
                )
        return {**models, "vocab": vocab, "languages": {key: config[key] for key in OWN & config.keys()}} | tokens

    def save_pretrained(self, directory):
        """Write source.spm and target.spm, vocab.json and tokenizer_config.json, which Hugging Face reads too."""
        if any(model.model.data is None for model in (self.source, self.target)):
            raise UserError(f"{directory}: not written: the models were not read from files of SentencePiece")
        config = {"tokenizer_class": self.framing.title, "model_max_length": self.max_length, **self.names}
        control = [AddedToken(token, special=True) for token in self.names.values()]
        if added := {self.vocab[token.content]: token for token in self.added.values() if token not in control}:
            config[DECODER] = {str(id): asdict(token) for id, token in sorted(added.items())}
        files = {SOURCE: self.source.model.data, TARGET: self.target.model.data}
        files[VOCAB] = (json.dumps(self.in_words, ensure_ascii=False, indent=0) + "\n").encode()
        files[tokenizer_files.CONFIG] = (json.dumps(config | self.languages, indent=2) + "\n").encode()
        with contextlib.ExitStack() as stack:
            for name, content in files.items():
                stack.enter_context(atomic_write(Path(directory, name))).write_bytes(content)
        tokenizer_files.remove_others(directory, files)

    @cached_property
    def of_target(self) -> "MarianTokenizer":
        """The same for texts of the target language, as training needs them: tokenizer.of_target(texts)"""
        added = [token for token in self.added.values() if token.content not in self.names.values()]
        options = {"names": self.names, "added": added, "languages": self.languages}
        return MarianTokenizer(self.target, self.source, self.in_words, self.framing, self.max_length, **options)

    def forget(self):
        """Drop the caches."""
        self.source.forget()
        self.target.forget()

    # Text -> pieces

    def language(self, text: str) -> str:
        """The token in front of a text that says into which language, or "". Warns if the model does not know it."""
        if not (found := LANGUAGE.match(text)):
            return ""
        if found[0] not in self.vocab:
            known = f"it knows {', '.join(self.codes)}" if self.codes else "it has one target language"
            warnings.warn(
                f"the model has no token {found[0]}, which is read as {self.unk_token}: {known}", stacklevel=2
            )
        return found[0]

    def segments(self, text):
        """As in XLMRobertaTokenizer; a language token is a word."""
        if code := self.language(text):
            yield code, [(self.known(code), (0, len(code)))]
        begin = len(code)
        for word, found in self.source.by_word(text[begin:]):
            yield word, [(self.known(piece), (begin + start, begin + end)) for _, piece, (start, end) in found]

    def known(self, piece: str) -> str:
        """A piece as a token of the vocabulary"""
        return piece if piece in self.in_words else self.unk_token

    @cached_property
    def ids(self) -> list[int]:
        """The id of each piece of the source model in the vocabulary"""
        return [self.vocab[self.known(piece)] for piece in self.source.model.pieces]

    def text_to_ids(self, text, keep_special=False):
        """The ids of `pieces`, found chunk by chunk: most chunks occur again."""
        ids = []
        for start, end, token in self.finders[keep_special].cut(text):
            if token:
                ids.append(self.vocab[token.content])
                continue
            part = text[start:end]
            found = [] if self.language(part) else self.source.ids(part)
            if self.source.unknown in found or not found:  # what a model does not know may be a piece of the other
                ids += [self.vocab[piece] for _, pieces in self.segments(part) for piece, _ in pieces]
            else:
                ids += [self.ids[id] for id in found]
        return ids

    # Ids -> text

    def decode(self, ids, skip_special_tokens=False, clean_up=False):
        """Ids -> text of the target language (clean_up is not used)."""
        return "".join(self.kept(ids, skip_special_tokens)).replace(SPACE, " ").strip(" ")

    def show(self, id: int) -> str:
        """One token for people."""
        return self.tokens[id].replace(SPACE, " ")
