"""XLM-RoBERTa's tokenizer (Conneau et al. 2020): a unigram model, whose pieces are numbered as fairseq numbers them.

The files: sentencepiece.bpe.model, which is a unigram model in spite of its name, or tokenizer.json, or both.
"""

import base64
import contextlib
import json
from dataclasses import asdict
from pathlib import Path

from minbert import tokenizer_files
from minbert.added import AddedToken
from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.jsonfile import quoted
from minbert.tokenizer_files import DECODER, WHOLE
from minbert.tokenizers import bpe_files, bpe_json, unigram_files
from minbert.tokenizers.framed import ROUND, ROUND_NAMES, FramedTokenizer, Framing
from minbert.tokenizers.unigram import Unigram
from minbert.tokenizers.unigram_files import NORMAL, SPACE, USER_DEFINED

MODEL = "sentencepiece.bpe.model"
XLM_ROBERTA = Framing("XLMRobertaTokenizer", ROUND_NAMES, **ROUND)
OWN = ("<unk>", "<s>", "</s>")  # the first pieces of the .model: 0, 1, 2
FIRST = ("<s>", "<pad>", "</s>", "<unk>")  # fairseq's first tokens: 0 to 3; then come the .model's pieces from 3
MASK = "<mask>"  # ... and this is the last
LEGAL = bpe_files.SETTINGS | {"add_prefix_space": (True, None), "sp_model_kwargs": ({}, None)}


class XLMRobertaTokenizer(FramedTokenizer):
    """XLM-RoBERTa's tokenizer: <s> text </s>, and <s> text </s></s> pair </s>.

    model  a Unigram, with the pieces in SentencePiece's order, as a .model has them, or in fairseq's, as a
           tokenizer.json has them

    The other arguments are FramedTokenizer's. A piece with "▁" begins with a space; its place in the text is that of
    the characters after the space. Special tokens written in a text are plain text, unless allow_special=True.
    """

    framing = XLM_ROBERTA
    mask_takes_space = True  # "la <mask>" has no "▁" before the token

    def __init__(self, model: Unigram, framing=None, max_length=None, names=None, added=()):
        self.model = model
        super().__init__(number(model.model), framing, max_length, names, added)
        shift = model.model.pieces[: len(OWN)] == list(OWN)
        self.ids = [id + 1 if shift else id for id in range(len(model))]  # of the model's pieces, in this vocabulary
        self.ids[model.unknown] = self.vocab[FIRST[3]]

    @classmethod
    def from_files(cls, path, **options):
        """From a .model, or from a tokenizer.json."""
        return cls(Unigram.read(path), **options)

    @classmethod
    def read(cls, directory):
        """What the files of a folder ask for, as arguments of this class."""
        directory = Path(directory)
        known = {"sp_model_kwargs", "add_prefix_space"}
        config, mapped, _ = bpe_files.read_settings(directory, [XLM_ROBERTA.title], known, LEGAL)
        if (kind := bpe_files.source(directory, "config.json").get("model_type")) == "camembert":
            raise UserError(f"{directory}: model_type is {quoted(kind)}, whose pieces have other numbers")
        path, whole = directory / MODEL, None
        found = unigram_files.read_model(path) if path.exists() else None
        if (directory / WHOLE).exists():
            other, whole = unigram_files.read_whole(directory / WHOLE)
            if found and (number(found), listed(found)) != (number(other), listed(other)):
                raise UserError(f"{path}: says otherwise than {directory / WHOLE}; delete the wrong file")
            found = found or other
        if found is None:
            raise UserError(f"{directory} holds no {MODEL} and no {WHOLE}")
        vocab = number(found)
        tokens = bpe_files.read_tokens(directory, config, mapped, whole, XLM_ROBERTA, vocab)
        if whole:
            more = dict.fromkeys(token.content for token in tokens["added"] if token.content not in vocab)
            ids = vocab | {content: len(vocab) + place for place, content in enumerate(more)}
            bpe_json.check_whole(whole, XLM_ROBERTA.template(tokens["names"]), tokens["names"], ids)
        return {"model": Unigram(found)} | tokens

    def save_pretrained(self, directory):
        """Write tokenizer.json and tokenizer_config.json, which Hugging Face reads too, and if the pieces came from a
        sentencepiece.bpe.model, that file as it was."""
        config = {"tokenizer_class": self.framing.title, "model_max_length": self.max_length, **self.names}
        control = [AddedToken(token, special=True) for token in dict.fromkeys(self.names.values())]
        if added := {self.vocab[token.content]: token for token in self.added.values() if token not in control}:
            config[DECODER] = {str(id): asdict(token) for id, token in sorted(added.items())}
        whole = json.dumps(self.whole(), ensure_ascii=False)
        files = {WHOLE: whole.encode(), tokenizer_files.CONFIG: (json.dumps(config, indent=2) + "\n").encode()}
        if self.model.model.data is not None:
            files[MODEL] = self.model.model.data
        with contextlib.ExitStack() as stack:
            for name, content in files.items():
                stack.enter_context(atomic_write(Path(directory, name))).write_bytes(content)
        tokenizer_files.remove_others(directory, files)

    def whole(self):
        """The content of a tokenizer.json."""
        scores = listed(self.model.model)[0]
        space = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True}
        first, last = self.template.begin[0], self.template.end[0]
        parts = {token: {"SpecialToken": {"id": token, "type_id": 0}} for token in (first, last)}
        text, pair = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
        single = [parts[first], text, parts[last]]
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                {"id": id} | asdict(token)
                for id, token in sorted((self.vocab[token.content], token) for token in self.added.values())
            ],
            "normalizer": {
                "type": "Precompiled",
                "precompiled_charsmap": base64.b64encode(self.model.model.charsmap).decode(),
            },
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, space]},
            "post_processor": {
                "type": "TemplateProcessing",
                "single": single,
                "pair": [*single, parts[last], pair, parts[last]],
                "special_tokens": {
                    token: {"id": token, "ids": [self.vocab[token]], "tokens": [token]} for token in (first, last)
                },
            },
            "decoder": space,
            "model": {
                "type": "Unigram",
                "unk_id": self.unk_token_id,
                "vocab": [[token, scores.get(token, 0.0)] for token in self.in_words],
                "byte_fallback": False,
            },
        }

    def forget(self):
        """Drop the caches."""
        self.model.forget()

    # Text -> pieces

    def segments(self, text):
        """Yields (word without "▁", [(piece, (start, end)), ...]): a piece that is no word of its own joins the one
        before."""
        for word, found in self.model.by_word(text):
            yield word, [(self.tokens[self.ids[id]], place) for id, _, place in found]

    def text_to_ids(self, text, keep_special=False):
        """The ids of `pieces`, found chunk by chunk: most chunks occur again."""
        ids, numbers = [], self.ids
        for start, end, token in self.finders[keep_special].cut(text):
            if token:
                ids.append(self.vocab[token.content])
            else:
                ids += [numbers[id] for id in self.model.ids(text[start:end])]
        return ids

    # Ids -> text

    def decode(self, ids, skip_special_tokens=False, clean_up=False):
        """Ids -> text. What the rules changed stays changed (clean_up is not used)."""
        return "".join(self.kept(ids, skip_special_tokens)).replace(SPACE, " ").removeprefix(" ")

    def show(self, id: int) -> str:
        """One token for people."""
        return self.tokens[id].replace(SPACE, " ")


def number(model: unigram_files.Model) -> dict[str, int]:
    """{token: id} in fairseq's order. Raises UserError for pieces that are not XLM-RoBERTa's."""
    where = f"{model.path}: " if model.path else ""
    if model.pieces[: len(OWN)] == list(OWN):
        tokens = [*FIRST, *model.pieces[len(OWN) :], MASK]
    elif model.pieces[: len(FIRST)] == list(FIRST):
        tokens = model.pieces
    else:
        begin = quoted(" ".join(model.pieces[:4]))
        raise UserError(f"{where}the pieces begin with {begin}, but XLM-RoBERTa's with {' '.join(OWN)}")
    if model.byte_fallback or not model.escape_spaces:
        raise UserError(f"{where}has pieces for bytes, or spaces in pieces: it is not XLM-RoBERTa's")
    ids = {token: id for id, token in enumerate(tokens)}
    types = dict(zip(model.pieces, model.types))
    for token in (*FIRST, MASK):
        if token not in ids or ids[token] != tokens.index(token) or types.get(token) in (NORMAL, USER_DEFINED):
            raise UserError(f"{where}{token} is missing, or an ordinary piece: it is not XLM-RoBERTa's")
    return ids


def listed(model):
    """{piece: score} of the pieces for texts, and the rules."""
    rows = zip(model.pieces, model.types, model.scores)
    return {piece: score for piece, type, score in rows if type in (NORMAL, USER_DEFINED)}, model.rules()
