"""The files of a tokenizer: each one in a model's folder is honoured, or refused by name.

vocab.txt or tokenizer.json holds the vocabulary, tokenizer_config.json the settings. special_tokens_map.json and
added_tokens.json are what older programs write beside them. If two files contradict each other, both are refused.
"""

import itertools
import json
import warnings
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from minbert import tokenizer_json
from minbert.added import NAMES, AddedToken
from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.jsonfile import plain_token, quoted, read_bytes, read_json
from minbert.tokenizer_json import WHITE, check, read_added, read_token

MAX_VOCAB = 2**24  # bytes of a vocab.txt; the largest published ones, of half a million tokens, have some 5 million
MAX_LENGTH = 1_000_000  # a larger model_max_length, 10**30 say, stands for "no limit"
VOCAB, CONFIG, MAP, ADDED, WHOLE = FILES = (
    *("vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "tokenizer.json"),
)
OTHER_KINDS = {  # files of tokenizers that are no WordPiece
    "BPE": ("merges.txt", "vocab.json", "bpe.codes", "tekken.json", "tiktoken.model"),
    "SentencePiece": (
        *("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model", "source.spm", "target.spm"),
    ),
}
ALL_FILES = (*FILES, *itertools.chain(*OTHER_KINDS.values()))
CLASSES = (  # Hugging Face's classes, with or without "Fast", that compute the same
    *("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MobileBertTokenizer", "ConvBertTokenizer"),
    *("SqueezeBertTokenizer", "RetriBertTokenizer", "LayoutLMTokenizer", "LxmertTokenizer"),
    *("DPRQuestionEncoderTokenizer", "DPRContextEncoderTokenizer"),
)
GENERAL = ("PreTrainedTokenizer", "TokenizersBackend")  # these compute what tokenizer.json says
ONLY = {  # settings that change the ids, with the only values that are supported
    "do_basic_tokenize": (True, None),
    "never_split": (None, []),
    "clean_text": (True, None),
    "wordpieces_prefix": ("##", None),
    "word_tokenizer_type": ("basic", None),
    "subword_tokenizer_type": ("wordpiece", None),
    "split_special_tokens": (False, None),
    "add_prefix_space": (False, None),
    "padding_side": ("right", None),
    "truncation_side": ("right", None),
    "pad_token_type_id": (0, None),
    "fast_tokenizer_files": (None, []),
    "init_inputs": (None, []),
    "auto_map": (None, {}),  # code of its own
    "do_lower_case": (True, False),
    "strip_accents": (True, False, None),
    "tokenize_chinese_chars": (True, False),
}
CASE = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}  # what holds if nothing is said
DECODER = "added_tokens_decoder"
LISTS = ("additional_special_tokens", "extra_special_tokens")
HONOURED = {*ONLY, *LISTS, "model_max_length", "max_len", "tokenizer_class", DECODER}
HARMLESS = {  # defaults of calls, ways to decode, notes of other programs
    *("name_or_path", "special_tokens_map_file", "tokenizer_file", "full_tokenizer_file", "vocab_file", "model_type"),
    *("backend", "is_local", "local_files_only", "use_fast", "from_slow", "device_map", "trust_remote_code", "verbose"),
    *("clean_up_tokenization_spaces", "chat_template", "processor_class", "model_input_names", "files_loaded"),
    *("max_length", "stride", "truncation_strategy", "pad_to_multiple_of", "add_bos_token", "add_eos_token"),
}


def read(directory: Path, vocab: str = VOCAB, case_is_given: bool = False) -> dict:
    """What the files of a folder ask for, as arguments of BertTokenizer.

    vocab          the name of vocab.txt there
    case_is_given  the caller says whether capitals count, so the files may leave it open
    Raises UserError for a setting that BertTokenizer does not compute, for files that contradict each other, and for a
    token for which the model in the folder has no vector. Warns of settings that no one knows, and where capitals
    count although no setting says so.
    """
    paths = {name: path for name in FILES if (path := Path(directory, vocab if name == VOCAB else name)).exists()}
    for kind, names in OTHER_KINDS.items():
        for other in (path for name in names if (path := Path(directory, name)).exists()):
            raise UserError(f"{other}: is of a {kind} tokenizer, but BertTokenizer computes WordPiece only")
    config = Source(Path(directory, CONFIG))
    mapped = Source(Path(directory, MAP))
    model = Source(Path(directory, "config.json"))
    kind = check_settings(config, model)
    whole = tokenizer_json.read(paths[WHOLE]) if WHOLE in paths else None
    if whole is None and kind in GENERAL:
        raise UserError(f"{config.path}: tokenizer_class {kind} needs {WHOLE}, which is not there")
    if whole and VOCAB not in paths:
        source, tokens = whole.path, whole.tokens
    else:
        source, tokens = Path(directory, vocab), read_vocab(Path(directory, vocab))
        if whole:
            compare(source, tokens, whole)
    ids = {token: id for id, token in enumerate(tokens)}
    names, named = read_names(config, mapped)
    added = read_added_tokens(config, paths.get(ADDED), whole, names, named, ids)
    ids |= {content: id for content, (id, _) in added.items()}
    if missing := [token for token in names.values() if token not in ids]:
        raise UserError(f"{source}: lacks {', '.join(map(plain_token, missing))}; is it a BERT vocabulary?")
    if isinstance(model.get("vocab_size"), int) and len(ids) > model["vocab_size"]:
        sizes = f"{source.name} has {len(ids)} tokens, but the model has vectors for {model['vocab_size']}"
        raise UserError(f"{directory}: {sizes}")
    if whole:
        whole.check_names(names, ids)
        if lost := [token for token in names.values() if kind in GENERAL and token not in added]:
            raise UserError(
                f"{whole.path}: added_tokens lacks {', '.join(map(plain_token, lost))}, which its class needs there"
            )
    return {
        "vocab": tokens,
        **case_and_accents(config, whole, kind, source, tokens, names, case_is_given),
        "max_length": max_length(config),
        "names": names,
        "added": [token for _, token in added.values()],
    }


class Source(dict):
    """The JSON object in a file, empty if there is no such file; and where it is."""

    def __init__(self, path):
        super().__init__(read_json(path) if path.exists() else {})
        self.path = path


def check_settings(config, model):
    """The tokenizer's class. Raises UserError for a class or a setting that is not computed here."""
    where, stated = next(((s, s["tokenizer_class"]) for s in (config, model) if s.get("tokenizer_class")), (config, ""))
    kind = str(stated or CLASSES[0]).removesuffix("Fast")
    if kind not in (*CLASSES, *GENERAL):
        raise UserError(f"{where.path}: tokenizer_class is {quoted(stated)}, but minbert computes BertTokenizer only")
    for key, legal in ONLY.items():
        if key in config:
            check(config.path, key, config[key], *legal)
    unknown = [key for key in config if key not in HONOURED | HARMLESS and not key.endswith("_token")]
    if unknown:
        warn(f"{config.path}: {', '.join(unknown)}: minbert does not know this setting and does not use it")
    return kind


def read_vocab(path: Path) -> list[str]:
    """The tokens of a vocab.txt, one a line in the order of their ids. Raises UserError that names the wrong line.

    White space after a token is no part of it, as in Hugging Face's libraries.
    """
    data = read_bytes(path, MAX_VOCAB).removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{number}: not UTF-8") from None
    # Split at \n alone: a token can hold other characters at which str.splitlines would split.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    tokens, seen = [line.rstrip(WHITE) or line for line in lines], {}
    if len(set(tokens)) < len(tokens):
        for number, token in enumerate(tokens, start=1):
            if token in seen:
                raise UserError(f"{path}:{number}: {quoted(token)} is already on line {seen[token]}")
            seen[token] = number
    return tokens


def compare(path, tokens, whole):
    """Raise UserError unless tokenizer.json has the same vocabulary."""
    for id, (one, other) in enumerate(itertools.zip_longest(tokens, whole.tokens)):
        if one != other:
            ours, theirs = ("no token" if token is None else quoted(token) for token in (one, other))
            raise UserError(
                f"{path}: has {ours} with the id {id}, but {whole.path} has {theirs}; delete the wrong file"
            )


def read_names(config, mapped, defaults=NAMES):
    """The special tokens' names {"cls_token": token}, and all tokens that are named: {content: AddedToken}

    defaults  the names that hold where no file gives any
    """
    names, named = {}, dict(found for _, found in named_in(config))
    lists = DECODER in config or any(config.get(key) for key in LISTS)  # then special_tokens_map.json only repeats them
    for source in (config, mapped):
        for key, (content, token) in named_in(source):
            if key not in LISTS and names.setdefault(key, content) != content:
                raise UserError(f"{source.path}: {key} is {quoted(content)}, but in {config.path} {quoted(names[key])}")
            if source is mapped and content not in named and content not in defaults.values() and lists:
                raise UserError(f"{source.path}: {key} is {quoted(content)}, but {config.path} does not name it")
            if source is mapped and DECODER not in config:  # beside that, Hugging Face's library does not read it
                flags = named[content] if content in named and key in LISTS else token
                named[content] = replace(flags, special=flags.special or token.special)
    return {key: names.get(key, defaults[key]) for key in defaults}, named


def named_in(source):
    """Yields (key, (content, AddedToken)) for each token that a file of settings names.

    special  whether Hugging Face's library takes it for a special one when it reads added_tokens.json
    """
    for key, value in source.items():
        if key in LISTS:
            values = list(value.values()) if isinstance(value, dict) else value or []
            if not isinstance(values, list):
                raise UserError(f"{source.path}: {key} is {quoted(value)}, but must be a list of tokens")
        elif key in NAMES or (key.endswith("_token") and isinstance(value, (str, dict))):
            values = [value]
        else:
            continue
        for value in values:
            mapped = source.path.name == MAP
            default = {"special": True} if mapped or isinstance(value, str) else {}
            token = read_token(source.path, key, value, **default)
            known = key != LISTS[0] if mapped else isinstance(value, str)
            yield key, (token.content, replace(token, special=known))


def read_added_tokens(config, path, whole, names, named, ids):
    """The tokens to find whole, of all files: {content: (id, AddedToken)}, in the order of their ids.

    path  of added_tokens.json, or None
    ids   {token: id} of the vocabulary
    """
    control = {token: (ids.get(token), AddedToken(token, special=True)) for token in names.values()}
    listed = read_decoder(config) if DECODER in config else {}
    if whole:
        for content in listed | whole.added if DECODER in config else ():
            one, other = (side.get(content, control.get(content)) for side in (listed, whole.added))
            if one != other:
                raise UserError(f"{whole.path}: added_tokens has {quoted(content)} otherwise than {config.path}")
        listed = listed | whole.added
    complete = bool(whole) or DECODER in config  # then added_tokens.json only repeats it
    for content, id in read_json(path).items() if path else ():
        token = read_token(path, "its content", content, special=content in named and named[content].special)
        known = listed.get(content) if complete else (id, token)
        if type(id) is not int or known is None or known[0] != id:
            raise UserError(f"{path}: gives {quoted(content)} the id {quoted(id)}, but no other file does")
        listed = {content: (id, replace(token, special=content in control or content in named))} | listed
    for content, token in named.items():
        if content not in listed and content in ids:
            listed[content] = ids[content], replace(token, special=True)
        elif content not in listed and content not in control:
            raise UserError(f"{config.path.parent}: no file gives an id to {quoted(content)}, which {CONFIG} names")
    free = len(ids)
    listed = dict(sorted(listed.items(), key=lambda item: item[1][0]))
    for content, (id, _) in listed.items():
        if id != ids.get(content, free):
            raise UserError(
                f"{config.path.parent}: the added token {quoted(content)} has the id {id}, "
                f"but after the vocabulary it should have {ids.get(content, free)}"
            )
        free += content not in ids
    return listed


def read_decoder(config):
    """added_tokens_decoder in tokenizer_config.json, {"id": {"content": token, flags}}, as `read_added` returns it."""
    entries = []
    for id, entry in config[DECODER].items() if isinstance(config[DECODER], dict) else [(None, None)]:
        if not isinstance(entry, dict) or not str(id).isdecimal():
            raise UserError(f"{config.path}: {DECODER} must give each id a token with its flags")
        entries.append(entry | {"id": int(id)})
    return read_added(config.path, DECODER, sorted(entries, key=lambda entry: entry["id"]))


def case_and_accents(config, whole, kind, source, tokens, names, case_is_given):
    """What becomes of capitals, accents and CJK characters, as arguments of BertTokenizer. tokenizer_config.json and
    tokenizer.json may not contradict each other; what neither says, the vocabulary tells."""
    stated = {key: config[key] for key in CASE if key in config}
    if whole:
        found = whole.settings
        if effect(found | stated) != effect(found):
            raise UserError(f"{config.path}: {in_words(stated)}, but {whole.path} has {in_words(found)}")
        if kind not in GENERAL and effect(CASE | stated) != effect(found) and not case_is_given:
            silent = {key: value for key, value in found.items() if key not in stated and value != CASE[key]}
            warn(f"{whole.path}: has {in_words(silent)}, which {CONFIG} does not say: {WHOLE} is followed")
    else:
        found = CASE | stated
        letters = set("".join(token for token in tokens if token[0:1] != "[" and token not in names.values()))
        if "do_lower_case" not in stated and any(letter.isupper() and letter < "\u0530" for letter in letters):
            found["do_lower_case"] = False
            if not case_is_given:
                advice = f'write "do_lower_case" into {CONFIG}, true or false'
                warn(f"{source}: has capital letters, so capitals count; no file says it: {advice}")
    return {
        "lower_case": found["do_lower_case"],
        "strip_accents": found["strip_accents"],
        "cjk_apart": found["tokenize_chinese_chars"],
    }


def warn(message):
    """A warning that points at the caller of from_pretrained."""
    warnings.warn(message, stacklevel=5)


@contextmanager
def quietly():
    """A context without these warnings, for a folder that has been read before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def effect(settings):
    """Settings with what strip_accents null means."""
    lower, strip = settings["do_lower_case"], settings["strip_accents"]
    return lower, lower if strip is None else strip, settings["tokenize_chinese_chars"]


def in_words(settings):
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in settings.items())


def max_length(config, default=512):
    """model_max_length, or the default if there is none."""
    key = "model_max_length" if "model_max_length" in config else "max_len"
    length = config.get(key)
    if length is None or (isinstance(length, (int, float)) and length > MAX_LENGTH):
        return default
    if type(length) is not int or length < 3:
        raise UserError(f"{config.path}: {key} is {quoted(length)}, but must be a whole number from 3")
    return length


def write(directory: str | Path, tokenizer) -> None:
    """Write vocab.txt and tokenizer_config.json, both or neither; remove what other files said of the tokenizer."""
    names = {name: getattr(tokenizer, name) for name in NAMES}
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": tokenizer.lower_case,
        "strip_accents": tokenizer.strip_accents,
        "model_max_length": tokenizer.max_length,
    }
    settings |= {} if tokenizer.cjk_apart else {"tokenize_chinese_chars": False}
    settings |= {name: token for name, token in names.items() if token != NAMES[name]}
    known = [AddedToken(token, special=True) for token in names.values() if token in tokenizer.in_words]
    added = {tokenizer.vocab[token.content]: token for token in tokenizer.added.values() if token not in known}
    if added:
        settings[DECODER] = {str(id): asdict(token) for id, token in added.items()}
    with atomic_write(Path(directory, CONFIG)) as config:
        config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        with atomic_write(Path(directory, VOCAB)) as vocab:
            tokens = (tokenizer.tokens[id] for id in range(len(tokenizer.in_words)))
            vocab.write_bytes("".join(token + "\n" for token in tokens).encode())
    remove_others(directory, (VOCAB, CONFIG))


def remove_others(directory: str | Path, files) -> None:
    """Remove the files of tokenizers in a folder, but these: what they say would contradict them."""
    for name in set(ALL_FILES) - set(files):
        Path(directory, name).unlink(missing_ok=True)
