"""The files of a BPE tokenizer: each one in a model's folder is honoured, or refused by name.

GPT-2, RoBERTa, GPT-1   vocab.json and merges.txt, or tokenizer.json alone
BERTweet                vocab.txt ("token count", a token a line) and bpe.codes ("left right count")

tokenizer_config.json holds the settings; special_tokens_map.json and added_tokens.json are as for BERT
(minbert/tokenizer_files.py).
"""

import contextlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

from minbert import tokenizer_files
from minbert.added import AddedToken
from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.jsonfile import plain_token, quoted, read_bytes, read_json
from minbert.tokenizer_files import ADDED, CONFIG, DECODER, GENERAL, HARMLESS, LISTS, MAP, ONLY, WHOLE, Source
from minbert.tokenizer_json import check
from minbert.tokenizers.bpe_json import check_whole, read_whole

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
VOCAB, MERGES, CODES, COUNTS = "vocab.json", "merges.txt", "bpe.codes", "vocab.txt"
MAX_FILE = 2**24  # bytes of a vocabulary or of merges; the largest published ones have some 5 million
SETTINGS = {  # that change the ids, with the only values that are supported
    **{key: ONLY[key] for key in ("split_special_tokens", "add_prefix_space", "truncation_side", "pad_token_type_id")},
    **{key: ONLY[key] for key in ("fast_tokenizer_files", "init_inputs", "auto_map")},
    **{"add_bos_token": (False, None), "add_eos_token": (False, None), "errors": ("replace", None)},
}
KNOWN = {
    *(*HARMLESS, *SETTINGS, *LISTS, DECODER),
    *("model_max_length", "max_len", "tokenizer_class", "trim_offsets", "padding_side"),
}


@contextlib.contextmanager
def where(path):
    """Say of a UserError which file or folder it is about."""
    try:
        yield
    except UserError as error:
        if str(path) in str(error):
            raise
        raise UserError(f"{path}: {error}") from None


def find(name) -> Path:
    """The directory of a tokenizer: a folder, or where weights.hub finds a name."""
    from minbert.weights import hub  # a folder needs no hub

    return Path(name) if os.path.isdir(name) else hub.find(name, tokenizer_only=True)


# Files


def read_vocab(path: str | Path) -> dict[str, int]:
    """vocab.json, {token: id}. Raises UserError for a token that is there twice."""

    def unique(pairs):
        values = dict(pairs)
        if len(values) < len(pairs):
            ids = {}
            for token, id in pairs:
                if ids.setdefault(token, id) != id:
                    raise UserError(f"{path}: gives {quoted(token)} two ids, {quoted(ids[token])} and {quoted(id)}")
        return values

    return read_json(Path(path), limit=MAX_FILE, hook=unique)


def read_lines(path):
    """The lines of a text file. They end at \\n alone: tokens hold other characters at which str.splitlines splits."""
    data = read_bytes(Path(path), MAX_FILE).removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n")
    for number, line in enumerate(data.split(b"\n") if data else (), start=1):
        try:
            yield number, line.removesuffix(b"\r").decode()
        except UnicodeDecodeError:
            raise UserError(f"{path}:{number}: not UTF-8") from None


def read_merges(path: Path) -> list[tuple[str, str]]:
    """merges.txt, "left right" on each line. #version may stand on the first; a later # is the symbol of a merge."""
    merges = []
    for number, line in read_lines(path):
        if number == 1 and line.startswith("#version"):
            continue
        pair = tuple(line.split(" "))
        if len(pair) != 2 or "" in pair:
            raise UserError(f"{path}:{number}: {quoted(line)} is no pair of symbols; is the file cut off?")
        merges.append(pair)
    return merges


def read_codes(path: Path) -> list[tuple[str, str]]:
    """bpe.codes of fastBPE, "left right count" on each line; transformers leaves out the count."""
    merges = []
    for number, line in read_lines(path):
        left, right, count = (line + " 1").split(" ")[:3] if line.count(" ") in (1, 2) else ("", "", "")
        if not (left and right and count.isdecimal()):
            raise UserError(f"{path}:{number}: {quoted(line)} is no pair of symbols with a count; is the file cut off?")
        merges.append((left, right))
    return merges


def read_counts(path: Path) -> list[str]:
    """The tokens of a vocab.txt with "token count" on each line."""
    tokens = {}
    for number, line in read_lines(path):
        token, _, count = line.strip().rpartition(" ")
        if not token or not count.isdecimal():
            raise UserError(f"{path}:{number}: {quoted(line)} is no token with a count; is the file cut off?")
        if token in tokens:
            raise UserError(f"{path}:{number}: {quoted(token)} is already on line {tokens[token]}")
        tokens[token] = number
    if not tokens:
        raise UserError(f"{path}: has no tokens")
    return list(tokens)


# What the files hold


def check_vocab(vocab):
    """Raise UserError unless each token has one id, and the ids count from 0 without a gap."""
    if not isinstance(vocab, dict) or not vocab or not all(type(id) is int for id in vocab.values()):
        raise UserError("the vocabulary is no table of tokens and ids")
    owner = {}
    for token, id in vocab.items():
        if any("\ud800" <= char <= "\udfff" for char in token):
            raise UserError(f"the vocabulary has {quoted(token)}, half a character, which no text holds")
        if owner.setdefault(id, token) != token:
            raise UserError(f"the vocabulary gives {quoted(owner[id])} and {quoted(token)} the same id, {id}")
    if missing := [id for id in range(len(vocab)) if id not in owner]:
        counted = f"the vocabulary has {len(vocab)} tokens, but none with the id {missing[0]}"
        raise UserError(f"{counted}; ids must count from 0 without a gap")


def check_merges(merges, vocab):
    """Raise UserError for a merge of symbols, or to a symbol, that the vocabulary lacks."""
    for number, pair in enumerate(merges, start=1):
        for symbol in (*pair, "".join(pair)):
            if symbol not in vocab:
                raise UserError(f"merge {number} joins {quoted(pair)}, but the vocabulary lacks {quoted(symbol)}")


def check_complete(path, vocab, merges, others=(), allowed=0.01):
    """Raise UserError if no merge makes many of the tokens: then a part of the merges is missing.

    allowed  the share of the tokens that nothing need make
    """
    made = {left + right for left, right in merges} | set(others)
    lost = [token for token in vocab if len(token.removesuffix("</w>")) > 1 and token not in made]
    if len(lost) > max(10, allowed * len(vocab)):
        count = f"no merge makes {len(lost)} of {len(vocab)} tokens, such as {quoted(lost[0])}"
        raise UserError(f"{path}: {count}; is the list of merges cut off?")


# A folder


def source(directory, name):
    """A file of settings, without those that are null."""
    found = Source(Path(directory, name))
    for key in [key for key, value in found.items() if value is None]:
        del found[key]
    return found


def title_of(directory: str | Path) -> str | None:
    """What the files of a folder call the tokenizer, without "Fast"; None if they do not say, or say it in general."""
    for found in (source(directory, CONFIG), source(directory, "config.json")):
        if title := found.get("tokenizer_class"):
            title = str(title).removesuffix("Fast")
            return None if title in GENERAL else title
    return None


def read_settings(directory, titles, known=frozenset(), settings=SETTINGS):
    """tokenizer_config.json, special_tokens_map.json, and the title. Raises UserError for what is not computed here."""
    config, mapped = source(directory, CONFIG), source(directory, MAP)
    title = title_of(directory)
    if title not in (None, *titles):
        raise UserError(f"{directory}: tokenizer_class is {quoted(title)}, but this one can be {' or '.join(titles)}")
    for key, legal in settings.items():
        if key in config:
            check(config.path, key, config[key], *legal)
    unknown = [key for key in config if key not in KNOWN | known and not key.endswith("_token")]
    if unknown:
        tokenizer_files.warn(f"{config.path}: minbert does not know {', '.join(unknown)} and does not use it")
    if config.get("padding_side", "right") != "right":
        side = quoted(config["padding_side"])
        tokenizer_files.warn(f"{config.path}: padding_side is {side}, but here padding stands at the end")
    return config, mapped, title


def read(directory: Path, framing_of, level: dict, titles) -> dict:
    """What the files of a folder ask for, as arguments of the tokenizer.

    framing_of  (vocabulary, title or None) -> Framing
    level       bpe_json.BYTE_LEVEL or WORD_LEVEL
    titles      the classes that compute the same, as Hugging Face calls them
    """
    directory = Path(directory)
    config, mapped, title = read_settings(directory, titles)
    whole = read_whole(directory / WHOLE, level) if (directory / WHOLE).exists() else None
    if (directory / VOCAB).exists() or (directory / MERGES).exists():
        vocab, merges = read_vocab(directory / VOCAB), read_merges(directory / MERGES)
        if whole and (vocab, merges) != (whole.vocab, whole.merges):
            name = VOCAB if vocab != whole.vocab else MERGES
            raise UserError(f"{directory / name}: says otherwise than {whole.path}; delete the wrong file")
    elif whole:
        vocab, merges = whole.vocab, whole.merges
    else:
        raise UserError(f"{directory} holds no {VOCAB} with {MERGES}, and no {WHOLE}")
    check_vocab(vocab)
    framing = framing_of(vocab, title)
    trims = whole.post_processor.get("trim_offsets") if whole else config.get("trim_offsets")
    if isinstance(trims, bool) and framing.template(framing.names).begin and trims != framing.trim_offsets:
        framing = replace(framing, trim_offsets=trims)  # transformers' GPT-2 never trims
    found = read_tokens(directory, config, mapped, whole, framing, vocab)
    added = [token.content for token in found["added"]]
    if whole:
        more = dict.fromkeys(content for content in added if content not in vocab)
        ids = vocab | {content: len(vocab) + place for place, content in enumerate(more)}
        check_whole(whole, framing.template(found["names"]), found["names"], ids)
    check_complete(directory, vocab, merges, [*found["names"].values(), *added])
    return {"vocab": vocab, "merges": merges, "framing": framing} | found


def read_tokens(directory, config, mapped, whole, framing, vocab):
    """The names of the special tokens, the added tokens and max_length, as arguments of the tokenizer."""
    stated = {key: content for file in (mapped, config) for key, (content, _) in tokenizer_files.named_in(file)}
    optional = {key: stated[key] for key in NAMES if key in stated}
    names, named = tokenizer_files.read_names(config, mapped, framing.names | optional)
    added = directory / ADDED
    tokens = tokenizer_files.read_added_tokens(config, added if added.exists() else None, whole, names, named, vocab)
    lost = [token for token in names.values() if token not in vocab and token not in tokens]
    if lost:
        names = ", ".join(map(plain_token, dict.fromkeys(lost)))
        raise UserError(f"{directory}: the vocabulary lacks {names}; is it {framing.title}'s?")
    size = source(directory, "config.json").get("vocab_size")
    total = len(vocab) + sum(content not in vocab for content in tokens)
    if isinstance(size, int) and total > size:
        raise UserError(f"{directory}: has {total} tokens, but the model has vectors for {size}")
    length = tokenizer_files.max_length(config, framing.max_length)
    return {"names": names, "added": [token for _, token in tokens.values()], "max_length": length}


def read_files(vocab, merges, framing_of) -> dict:
    """vocab.json and merges.txt alone, as arguments of the tokenizer."""
    tokens, pairs = read_vocab(vocab), read_merges(merges)
    check_vocab(tokens)
    framing = framing_of(tokens)
    check_complete(merges, tokens, pairs, framing.names.values())
    return {"vocab": tokens, "merges": pairs, "framing": framing}


def write(directory: str | Path, tokenizer, settings: dict, counts: bool = False) -> None:
    """Write the vocabulary, the merges and tokenizer_config.json, all or none; remove what other files said.

    settings  more entries of tokenizer_config.json
    counts    as BERTweet's files
    """
    names, ids = tokenizer.names, sorted(tokenizer.in_words.values())
    config = {"tokenizer_class": tokenizer.framing.title, "model_max_length": tokenizer.max_length} | settings | names
    plain = [AddedToken(token, special=True) for token in names.values() if token in tokenizer.in_words]
    plain += [replace(token, lstrip=True) for token in plain if token.content == tokenizer.mask_token]
    if added := {tokenizer.vocab[token.content]: token for token in tokenizer.added.values() if token not in plain}:
        config[DECODER] = {str(id): asdict(token) for id, token in sorted(added.items())}
    tokens, pairs = [tokenizer.tokens[id] for id in ids], list(tokenizer.ranks)
    if counts:  # how often a token occurred is not known: what falls from line to line will do
        listed = [token for token in tokens if token not in names.values()]
        files = {
            COUNTS: "".join(f"{token} {len(listed) - n}\n" for n, token in enumerate(listed)),
            CODES: "".join(f"{left} {right} {len(pairs) - n}\n" for n, (left, right) in enumerate(pairs)),
        }
    else:
        files = {
            VOCAB: json.dumps({token: id for id, token in zip(ids, tokens)}, ensure_ascii=False) + "\n",
            MERGES: "".join(["#version: 0.2\n", *(f"{left} {right}\n" for left, right in pairs)]),
        }
    files[CONFIG] = json.dumps(config, indent=2) + "\n"
    with contextlib.ExitStack() as stack:
        for name, content in files.items():
            stack.enter_context(atomic_write(Path(directory, name))).write_bytes(content.encode())
    tokenizer_files.remove_others(directory, files)
