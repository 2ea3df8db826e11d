"""tokenizer.json, in which Hugging Face's tokenizers library keeps a whole tokenizer: the parts that BERT's has.

A part that would compute something else than minbert/tokenizer.py is refused by its name.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from minbert.added import NAMES, AddedToken
from minbert.errors import UserError
from minbert.jsonfile import quoted, read_json

MAX_BYTES = (
    2**25
)  # of a tokenizer.json; half a million tokens take some 15 million. JSON can take 23 times as much memory
WORD_LIMITS = (100, 200)  # max_input_chars_per_word; in minbert it is always 200, as in the original
FLAGS = ("special", "single_word", "lstrip", "rstrip", "normalized")
WHITE = "".join(char for char in map(chr, range(0x3001)) if char.isspace() and char not in "\x1c\x1d\x1e\x1f")

SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: JSON can write one, and UTF-8 cannot hold it


@dataclass
class Whole:
    """What a tokenizer.json says.

    tokens    in the order of their ids
    settings  as tokenizer_config.json calls them
    added     {content: (id, AddedToken)}
    """

    path: Path
    tokens: list[str]
    settings: dict
    added: dict[str, tuple[int, AddedToken]]
    unk_token: str
    post_processor: dict
    padding: dict

    def check_names(self, names: dict[str, str], ids: dict[str, int]) -> None:
        """Raise UserError unless the special tokens have these names and ids, and stand where BERT's stand."""
        check(self.path, "model.unk_token", self.unk_token, names["unk_token"])
        pad = names["pad_token"]
        for key, expected in (("pad_token", pad), ("pad_id", ids[pad]), ("pad_type_id", 0), ("direction", "Right")):
            check(self.path, f"padding.{key}", self.padding.get(key, expected), expected)
        cls, sep = names["cls_token"], names["sep_token"]
        post, kind = self.post_processor, self.post_processor.get("type")
        if kind == "BertProcessing":
            check(self.path, "post_processor.cls", post.get("cls"), [cls, ids[cls]])
            check(self.path, "post_processor.sep", post.get("sep"), [sep, ids[sep]])
        elif kind == "TemplateProcessing":
            single = [special(cls, 0), sequence("A", 0), special(sep, 0)]
            pair = [*single, sequence("B", 1), special(sep, 1)]
            for key, expected in (("single", single), ("pair", pair)):
                if post.get(key) != expected:
                    shown = f"{cls} text {sep}" + f" pair {sep}" * (key == "pair")
                    raise UserError(f"{self.path}: post_processor.{key} is not {shown}, the only one that is supported")
            tokens = as_dict(post.get("special_tokens"))
            for token in (cls, sep):
                expected = {"id": token, "ids": [ids[token]], "tokens": [token]}
                check(self.path, f"post_processor.special_tokens.{token}", tokens.get(token), expected)
        else:
            check(self.path, "post_processor", kind, "TemplateProcessing")


def special(token, segment):
    return {"SpecialToken": {"id": token, "type_id": segment}}


def sequence(name, segment):
    return {"Sequence": {"id": name, "type_id": segment}}


def read(path: Path) -> Whole:
    """Raises UserError for anything but a BERT's tokenizer."""
    values = read_json(path, limit=MAX_BYTES)
    model = as_dict(values.get("model"))
    check(path, "model.type", model.get("type", "WordPiece"), "WordPiece")  # old files name no type
    check(path, "model.continuing_subword_prefix", model.get("continuing_subword_prefix"), "##")
    check(path, "model.max_input_chars_per_word", model.get("max_input_chars_per_word", 100), *WORD_LIMITS)
    normalizer = only_one(values.get("normalizer"), "normalizers")
    check(path, "normalizer", normalizer.get("type"), "BertNormalizer")
    for name, legal in (("clean_text", (True,)), ("strip_accents", (True, False, None))):
        check(path, f"normalizer.{name}", normalizer.get(name), *legal)
    for name in ("lowercase", "handle_chinese_chars"):
        check(path, f"normalizer.{name}", normalizer.get(name), True, False)
    check(path, "pre_tokenizer", only_one(values.get("pre_tokenizer"), "pretokenizers").get("type"), "BertPreTokenizer")
    decoder = as_dict(values.get("decoder") or {"type": "WordPiece"})
    check(path, "decoder", decoder.get("type"), "WordPiece")
    check(path, "decoder.prefix", decoder.get("prefix", "##"), "##")
    check(path, "truncation.direction", as_dict(values.get("truncation")).get("direction", "Right"), "Right")
    return Whole(
        path,
        tokens=read_tokens(path, model.get("vocab")),
        settings={
            "do_lower_case": normalizer["lowercase"],
            "strip_accents": normalizer.get("strip_accents"),
            "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        },
        added=read_added(path, "added_tokens", values.get("added_tokens", [])),
        unk_token=model.get("unk_token", NAMES["unk_token"]),
        post_processor=only_one(values.get("post_processor"), "processors"),
        padding=as_dict(values.get("padding")),
    )


def read_tokens(path, vocab):
    """{token: id} -> the tokens in the order of their ids."""
    if not isinstance(vocab, dict) or not all(type(id) is int for id in vocab.values()):
        raise UserError(f"{path}: model.vocab is no table of tokens and ids")
    tokens = sorted(vocab, key=vocab.get)
    for id, token in enumerate(tokens):
        if vocab[token] != id:
            raise UserError(f"{path}: gives {quoted(token)} the id {vocab[token]}; ids must count from 0 without a gap")
        odd = not token.isascii() and SURROGATE.search(token)
        if odd or "\n" in token or token.rstrip(WHITE) not in ("", token):
            raise UserError(f"{path}: {quoted(token)} is no token; it could not be a line of a vocab.txt")
    return tokens


def read_added(path: Path, key: str, entries) -> dict[str, tuple[int, AddedToken]]:
    """Entries {"id": id, "content": token, flags} -> {content: (id, AddedToken)}"""
    found = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        id = as_dict(entry).get("id")
        if type(id) is not int:
            raise UserError(f"{path}: {key} has {quoted(entry)}, in which there is no id")
        token = read_token(path, key, entry)
        if token.content in found:
            raise UserError(f"{path}: {key} has {quoted(token.content)} more than once")
        if any(id <= other for other, _ in found.values()):
            raise UserError(f"{path}: {key} has {quoted(token.content)} after a token with a greater id")
        found[token.content] = id, token
    return found


def read_token(path: Path, key: str, entry: dict | str, **default) -> AddedToken:
    """{"content": token, flags}, or the token alone. As in Hugging Face's libraries, special tokens are by default not
    normalized, and others are.

    default  flags that the entry may leave out
    """
    values = {"special": False} | default | (entry if isinstance(entry, dict) else {"content": entry})
    values = {"normalized": not values["special"]} | values
    content, flags = values.get("content"), {name: values.get(name, False) for name in FLAGS}
    if not isinstance(content, str) or not content or any(type(flag) is not bool for flag in flags.values()):
        raise UserError(f"{path}: {key} is {quoted(entry)}, but must be a token, with flags that are true or false")
    return AddedToken(content, **flags)


def check(path: Path, key: str, value, *legal) -> None:
    """Raise UserError, naming the file and the setting, unless a value is one of the legal ones."""
    if value not in legal:
        supported = " or ".join(map(quoted, legal))
        raise UserError(f"{path}: {key} is {quoted(value)}, but only {supported} is supported")


def only_one(part, name):
    """A part, or the one part of a sequence of one."""
    part = as_dict(part)
    inner = part.get(name)
    return as_dict(inner[0]) if part.get("type") == "Sequence" and isinstance(inner, list) and len(inner) == 1 else part


def as_dict(value):
    return value if isinstance(value, dict) else {}
