"""tokenizer.json of a BPE tokenizer: its parts are honoured, or refused by name. bpe_files.py reads the other files."""

from dataclasses import dataclass
from pathlib import Path

from minbert.added import AddedToken
from minbert.errors import UserError
from minbert.jsonfile import quoted, read_json
from minbert.tokenizer_json import MAX_BYTES, as_dict, check, only_one, read_added

BYTE_LEVEL = {  # parts of a tokenizer.json, with the only values that are supported; a missing one is None
    "normalizer": (None,),
    "pre_tokenizer.type": ("ByteLevel",),
    "pre_tokenizer.add_prefix_space": (False,),
    "pre_tokenizer.use_regex": (True, None),
    "decoder.type": ("ByteLevel",),
    "model.end_of_word_suffix": ("", None),
}
WORD_LEVEL = {
    "normalizer.type": ("BertNormalizer",),
    "normalizer.clean_text": (True,),
    "normalizer.handle_chinese_chars": (True,),
    "normalizer.strip_accents": (True, None),
    "normalizer.lowercase": (True,),
    "pre_tokenizer.type": ("BertPreTokenizer",),
    "decoder.type": ("BPEDecoder",),
    "decoder.suffix": ("</w>",),
    "model.end_of_word_suffix": ("</w>",),
}
ALWAYS = {
    "model.type": ("BPE", None),  # old files name no type
    "model.dropout": (None, 0.0),
    "model.continuing_subword_prefix": ("", None),
    "model.fuse_unk": (False, None),
    "model.byte_fallback": (False, None),
    "model.ignore_merges": (False, None),
    "truncation.direction": ("Right", None),
}


@dataclass
class Whole:
    """What a tokenizer.json says; added: {content: (id, AddedToken)}"""

    path: Path
    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    added: dict[str, tuple[int, AddedToken]]
    unk_token: str | None
    post_processor: dict
    padding: dict


def read_whole(path: Path, level: dict) -> Whole:
    """tokenizer.json. Raises UserError, naming the part, for one that computes something else.

    level  BYTE_LEVEL or WORD_LEVEL
    """
    values = read_json(path, limit=MAX_BYTES)
    values["normalizer"] = only_one(values.get("normalizer"), "normalizers") or None
    values["pre_tokenizer"] = only_one(values.get("pre_tokenizer"), "pretokenizers")
    model = as_dict(values.get("model"))
    for key, legal in (ALWAYS | level).items():
        name, _, setting = key.partition(".")
        part = values.get(name)
        check(path, key, as_dict(part).get(setting) if setting else part, *legal)
    merges = []
    for number, merge in enumerate(merged if isinstance(merged := model.get("merges"), list) else [None], start=1):
        pair = merge.split(" ") if isinstance(merge, str) else merge  # "a b" in old files, ["a", "b"] in new ones
        if not (isinstance(pair, list) and len(pair) == 2 and all(map(is_symbol, pair))):
            raise UserError(f"{path}: model.merges has {quoted(merge)} in place {number}, which is no pair of symbols")
        merges.append(tuple(pair))
    return Whole(
        path,
        vocab=model.get("vocab"),
        merges=merges,
        added=read_added(path, "added_tokens", values.get("added_tokens", [])),
        unk_token=model.get("unk_token"),
        post_processor=as_dict(values.get("post_processor")),
        padding=as_dict(values.get("padding")),
    )


def is_symbol(value):
    """Whether a merge can join it: text without spaces, since no word holds one."""
    return isinstance(value, str) and value != "" and " " not in value and "\n" not in value


def check_whole(whole, template, names, ids):
    """Raise UserError unless a tokenizer.json has these special tokens, and puts them where the template does."""
    check(whole.path, "model.unk_token", whole.unk_token, None, names["unk_token"])
    if pad := names.get("pad_token"):
        check(whole.path, "padding.pad_token", whole.padding.get("pad_token", pad), pad)
    post = whole.post_processor
    parts = as_list(post.get("processors")) if post.get("type") == "Sequence" else [post]
    parts = [part for part in map(as_dict, parts) if part.get("type") not in (None, "ByteLevel")]  # of offsets
    kind = parts[0].get("type") if len(parts) == 1 else "Sequence" if parts else None
    if kind == "RobertaProcessing" and template.begin:
        for key, (token, *_) in (("cls", template.begin), ("sep", template.end)):
            check(whole.path, f"post_processor.{key}", parts[0].get(key), [token, ids[token]])
    elif kind == "TemplateProcessing":
        single = [*template.begin, "A", *template.end]
        pair = [*template.begin, "A", *template.between, "B", *template.end]
        for key, expected in (("single", single), ("pair", pair)):
            entries = [as_dict(one) for entry in as_list(parts[0].get(key)) for one in as_dict(entry).values()]
            check(whole.path, f"post_processor.{key}", [entry.get("id") for entry in entries], expected)
            if template.begin:
                segments = [entry.get("type_id") for entry in entries]
                check(whole.path, f"post_processor.{key}.type_id", segments, [0] * len(entries))
        for token in {*template.begin, *template.between, *template.end}:
            entry = as_dict(as_dict(parts[0].get("special_tokens")).get(token))
            check(whole.path, f"post_processor.special_tokens.{token}", entry.get("ids"), [ids[token]])
    else:
        check(whole.path, "post_processor", kind, *(["RobertaProcessing"] if template.begin else [None]))


def as_list(value):
    return value if isinstance(value, list) else []
