"""The files of a tokenizer: each is honoured or refused by name. What is honoured gives transformers' ids.

Each case is a folder as transformers writes it, with something changed.
"""

import copy
import json

import pytest

from minbert import BertTokenizer, UserError, fast
from minbert.added import NAMES

VOCAB = [
    *NAMES.values(),
    *(
        "the",
        "film",
        "was",
        "co",
        "##vid",
        "##s",
        "a",
        "paris",
        "Paris",
        "é",
        "e",
        "##e",
        "##é",
        "中",
        "中国",
        "国",
        "new",
    ),
    *(
        ".",
        ",",
        "!",
        "[",
        "]",
        "sep",
        "mask",
        "e1",
        "<",
        ">",
        "s",
        "/",
        "-",
        "19",
        "y",
        "##ork",
        "##y",
        "x",
        "[unused1]",
    ),
    *("😀", "##国", "ß", "##x", "unk", "##m", "fil", "york", "E", "c", "##19"),
]
NEXT = len(VOCAB)
TEXTS = [
    "The film was a covid film.",
    "Covid-19, COVID, covids and xcovid: covid!",
    "a  covid \t covid\n\ncovid",
    "  covid",
    "Paris paris PARIS é É e\u0301 E\u0301",
    "中国 film中国covid国 中",
    "😀covid😀 a😀",
    "[CLS] a [SEP] film[MASK]. [PAD][UNK]",
    "a [MASK] film   [MASK]",
    "<s> a </s> <mask> <pad> <unk>",
    "[E1] covid [E1]film [e1] [E1][E1] a[E1]a",
    "New York new york NEW  YORK newyork new yorks",
    "the\u200bfilm the\u00a0film the\u3000film \ufeffa",
    "covid_19 covid19 covid\u0301 \u0301covid covid\u200d",
    "",
    "   ",
    "[unused1] unused1 [UNUSED1]",
    "straße ß ﬁlm Ｆilm",
    "zzz covidzzz zzzcovid",
    "covidcovid covidcovids",
    "Éa éa e\u0301a",
]


def token(content, id=None, special=False, normalized=None, **flags):
    entry = {"content": content, "special": special, "normalized": not special if normalized is None else normalized}
    entry |= {flag: flags.get(flag, False) for flag in ("single_word", "lstrip", "rstrip")}
    return entry if id is None else {"id": id} | entry


CONTROL = [token(name, id, special=True) for id, name in enumerate(NAMES.values())]


def piece(name, segment):
    return {"Sequence" if name in "AB" else "SpecialToken": {"id": name, "type_id": segment}}


WHOLE = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": CONTROL,
    "normalizer": {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [piece("[CLS]", 0), piece("A", 0), piece("[SEP]", 0)],
        "pair": [piece("[CLS]", 0), piece("A", 0), piece("[SEP]", 0), piece("B", 1), piece("[SEP]", 1)],
        "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
        },
    },
    "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    "model": {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": {token: id for id, token in enumerate(VOCAB)},
    },
}
CONFIG = {  # as transformers 5 writes it
    "backend": "tokenizers",
    "is_local": True,
    "local_files_only": False,
    "do_lower_case": True,
    "strip_accents": None,
    "tokenize_chinese_chars": True,
    "model_max_length": 1000000000000000019884624838656,
    "tokenizer_class": "BertTokenizer",
    **NAMES,
}


def change(values, *keys_and_value):
    """A copy of nested dicts with one value changed; DROP removes the key."""
    values, (*keys, last, value) = copy.deepcopy(values), keys_and_value
    inner = values
    for key in keys:
        inner = inner[key]
    if value is DROP:
        del inner[last]
    else:
        inner[last] = value
    return values


DROP = object()


def new(*whole, **files):
    """Files as transformers 5 writes them: tokenizer.json, with a change, and tokenizer_config.json."""
    return {"tokenizer": change(WHOLE, *whole) if whole else WHOLE, "tokenizer_config": CONFIG} | files


def old(vocab=VOCAB, config=None, **files):
    """Files as older programs wrote them."""
    vocab = vocab if isinstance(vocab, bytes) else "".join(token + "\n" for token in vocab).encode()
    return {"vocab": vocab, "tokenizer_config": {"do_lower_case": True} | (config or {})} | files


def write(folder, files):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    for name, content in files.items():
        if name == "vocab":
            (folder / "vocab.txt").write_bytes(content)
        elif content is not None:
            data = content if isinstance(content, str) else json.dumps(content)
            (folder / (name if "." in name else name + ".json")).write_text(data, encoding="utf-8")
    return folder


def added(*tokens, **more):
    """Files of transformers 5 with these tokens added to tokenizer.json."""
    return new("added_tokens", [*CONTROL, *tokens], **more)


def decoder(*tokens, **config):
    """Files of transformers 4 with these tokens, each with its id, in added_tokens_decoder."""
    entries = {str(entry["id"]): {key: entry[key] for key in entry if key != "id"} for entry in tokens}
    return old(config={"added_tokens_decoder": entries} | config)


def cased(**changes):
    return {"tokenizer": change(WHOLE, "normalizer", WHOLE["normalizer"] | changes), "tokenizer_config": CONFIG}


ANGLES = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
ANGLED = [*ANGLES.values(), *VOCAB[5:]]
UNCASED = [entry for entry in VOCAB if entry == entry.lower() or entry in NAMES.values()]
FLAGS = ("single_word", "lstrip", "rstrip", "special", "normalized")
GENERAL = CONFIG | {"tokenizer_class": "PreTrainedTokenizerFast"}

HONOURED = {
    "as transformers 5 writes it": new(),
    "as transformers 4 writes it": new(vocab=old()["vocab"], special_tokens_map=NAMES),
    "tokenizer.json alone": {"tokenizer": WHOLE},
    "vocab.txt alone": {"vocab": old(UNCASED)["vocab"]},
    "cased": cased(lowercase=False) | {"tokenizer_config": CONFIG | {"do_lower_case": False}},
    "cased, old": old(config={"do_lower_case": False}),
    "accents kept": cased(strip_accents=False) | {"tokenizer_config": CONFIG | {"strip_accents": False}},
    "accents kept, old": old(config={"strip_accents": False}),
    "accents stripped of a cased text, old": old(config={"do_lower_case": False, "strip_accents": True}),
    "Chinese off": cased(handle_chinese_chars=False) | {"tokenizer_config": CONFIG | {"tokenize_chinese_chars": False}},
    "Chinese off, old": old(config={"tokenize_chinese_chars": False}),
    "a general class believes tokenizer.json": cased(lowercase=False, strip_accents=True)
    | {"tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast"} | NAMES},
    "a sequence of one normalizer": new("normalizer", {"type": "Sequence", "normalizers": [WHOLE["normalizer"]]}),
    "BertProcessing": new("post_processor", {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}),
    "no decoder": new("decoder", None),
    "no type of model": new("model", "type", DROP),
    "padding and truncation": new(
        "padding",
        {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
        | {"pad_type_id": 0, "pad_token": "[PAD]"},
        tokenizer_config=CONFIG,
    ),
    **{
        f"a class that is the same, {name}": old(config={"tokenizer_class": name})
        for name in ("BertTokenizerFast", "ElectraTokenizer", "DistilBertTokenizerFast", "MobileBertTokenizer")
    },
    **{f"an added token, {flag}": added(token("covid", NEXT, **{flag: True})) for flag in FLAGS},
    **{
        f"an added token of a general class, {flag}": added(
            token("covid", NEXT, **{flag: True}), tokenizer_config=GENERAL
        )
        for flag in FLAGS
    },
    **{
        f"an added token in added_tokens_decoder, {flag}": decoder(token("covid", NEXT, **{flag: True}))
        for flag in FLAGS
    },
    "an added token of capitals": added(token("COVID", NEXT)),
    "an added token of capitals, as written": added(token("COVID", NEXT, normalized=False)),
    "an added token of capitals in a cased text": cased(lowercase=False)
    | {
        "tokenizer_config": CONFIG | {"do_lower_case": False},
        "tokenizer": change(
            change(WHOLE, "normalizer", "lowercase", False), "added_tokens", [*CONTROL, token("Covid", NEXT)]
        ),
    },
    "added tokens within each other": added(
        *(token(name, NEXT + n) for n, name in enumerate(["covid", "cov", "covid-19", "19,"]))
    ),
    "added tokens within each other, whole words": added(
        token("covid-19", NEXT, single_word=True), token("covid", NEXT + 1, single_word=True, normalized=False)
    ),
    "an added token with a space": added(token("New York", NEXT)),
    "an added token with a space, as written": added(token("New York", NEXT, normalized=False)),
    "an added token with accents": added(token("É", NEXT), token("éa", NEXT + 1, normalized=False)),
    "an added token in Chinese": added(token("中国", 19), token("国 ", NEXT)),
    "an added token in Chinese, as written": added(token("中国", 19, normalized=False)),
    "an added emoji": added(token("😀", 5 + VOCAB[5:].index("😀"))),
    "an added word of the vocabulary": added(token("film", 6)),
    "an added control token": added(token("[E1]", NEXT, special=True), token("<s>", NEXT + 1, special=True)),
    "an added control token, stripping": added(
        token("[E1]", NEXT, special=True, lstrip=True, rstrip=True, single_word=True)
    ),
    "[MASK] with the space before it": added()
    | {"tokenizer": change(WHOLE, "added_tokens", [*CONTROL[:4], token("[MASK]", 4, special=True, lstrip=True)])},
    "added_tokens.json": old(added_tokens={"covid": NEXT, "New York": NEXT + 1}),
    "added_tokens.json with a control token": old(
        added_tokens={"[E1]": NEXT}, special_tokens_map=NAMES | {"additional_special_tokens": ["[E1]"]}
    ),
    "added_tokens.json in disorder": old(added_tokens={"xcovid": NEXT + 1, "covid": NEXT}),
    "added_tokens.json beside tokenizer.json": added(token("covid", NEXT), added_tokens={"covid": NEXT}),
    "everything": added(
        token("covid", NEXT),
        added_tokens={"covid": NEXT},
        vocab=old()["vocab"],
        special_tokens_map=NAMES,
        tokenizer_config=CONFIG | decoder(*CONTROL, token("covid", NEXT))["tokenizer_config"],
    ),
    "a control token of the vocabulary": old(config={"additional_special_tokens": ["[unused1]"]}),
    "a control token of the vocabulary, new": new(tokenizer_config=CONFIG | {"extra_special_tokens": ["[unused1]"]}),
    "a control token with a name of its own": old(
        config={"image_token": "[unused1]", "extra_special_tokens": {"x_token": "中国"}}
    ),
    "a control token with flags": old(
        special_tokens_map=NAMES | {"mask_token": token("[MASK]", special=True, lstrip=True)}
    ),
    "other names": old(ANGLED, config=ANGLES),
    "other names in special_tokens_map.json": old(ANGLED, special_tokens_map=ANGLES),
    "other names for two": old([*VOCAB[:4], "<mask>", *VOCAB[5:]], config={"mask_token": "<mask>"}),
    "another name in added_tokens_decoder": decoder(token("<s>", NEXT, special=True), cls_token="<s>"),
    "CRLF": old("\r\n".join(VOCAB).encode()),
    "no newline at the end": old("\n".join(VOCAB).encode()),
    "white space after tokens": old("".join(entry + " \t\u3000\n" for entry in VOCAB).encode()),
    "white space before a token": old([*VOCAB[:5], " the", *VOCAB[6:]]),
    "white space in a token": old([*VOCAB, "new york", "a\u2029b"]),
    "an empty line": old([*VOCAB[:-3], "", *VOCAB[-3:]]),
    "a line ##": old([*VOCAB, "##"]),
    "white space alone": old([*VOCAB, "\u2028", "##\u00e5"]),
    "settings that change nothing": old(
        config={
            "never_split": None,
            "do_basic_tokenize": True,
            "padding_side": "right",
            "name_or_path": "x",
            "model_input_names": ["input_ids"],
            "max_len": 512,
        }
    ),
    "nothing said of capitals": {"vocab": old(UNCASED)["vocab"], "tokenizer_config": {"model_max_length": 512}},
}


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="compares with transformers, which is not installed")


def same_ids(ours, theirs):
    """Raise AssertionError unless both make the same ids and spans of every text; the plain one and its twin."""
    twin = fast.swap_in(copy.copy(ours))
    assert len(ours) == len(theirs)
    for text in TEXTS:
        expected = theirs(text, return_offsets_mapping=True)
        found = ours(text, allow_special=True, return_offsets_mapping=True)
        assert found.input_ids == expected["input_ids"], ascii(text)
        tokens = ours.convert_ids_to_tokens(found.input_ids)
        pairs = zip(tokens[1:-1], found.offset_mapping[1:-1], expected["offset_mapping"][1:-1])
        assert all(one == other for token, one, other in pairs if token in ours.added), ascii(text)
        for keep_special in (True, False):
            ids = ours.text_to_ids(text, keep_special)
            assert twin.text_to_ids(text, keep_special) == ids, ascii(text)
            assert ours.convert_tokens_to_ids(ours.tokenize(text, keep_special)) == ids, ascii(text)
        assert twin.words(text) == ours.words(text), ascii(text)


@pytest.mark.parametrize("name", HONOURED)
def test_what_is_honoured_gives_the_ids_of_transformers(tmp_path, transformers, name):
    folder = write(tmp_path / "read", HONOURED[name])
    ours = BertTokenizer.from_pretrained(folder)
    same_ids(ours, transformers.AutoTokenizer.from_pretrained(folder))
    written = write(tmp_path / "written", {})
    ours.save_pretrained(written)
    again = BertTokenizer.from_pretrained(written)
    assert (again.vocab, again.added, again.max_length) == (ours.vocab, ours.added, ours.max_length)
    same_ids(ours, transformers.AutoTokenizer.from_pretrained(written))


REFUSED = {  # name: files, what the message names
    **{
        f"a model of another kind, {kind}": (
            new("model", {"type": kind, "vocab": {}}),
            rf"json: model.type is '{kind}'",
        )
        for kind in ("BPE", "Unigram", "WordLevel")
    },
    "another prefix of pieces": (new("model", "continuing_subword_prefix", "@@"), "continuing_subword_prefix is '@@'"),
    "another limit of a word": (new("model", "max_input_chars_per_word", 20), "max_input_chars_per_word is 20"),
    "another unk_token": (new("model", "unk_token", "the"), r"model.unk_token is 'the', but only '\[UNK\]'"),
    "a vocabulary with a gap": (new("model", "vocab", "the", 99), "'film' the id 6; ids must count from 0"),
    "a vocabulary that is a list": (new("model", "vocab", [["a", 0]]), "model.vocab is no table"),
    "an id that is no number": (new("model", "vocab", "the", "5"), "model.vocab is no table"),
    "a token of two lines": (new("model", "vocab", {**WHOLE["model"]["vocab"], "a\nb": NEXT}), r"'a\\nb' is no token"),
    "no normalizer": (new("normalizer", None), "normalizer is None"),
    "another normalizer": (new("normalizer", {"type": "Lowercase"}), "normalizer is 'Lowercase'"),
    "a sequence of normalizers": (
        new("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}),
        "normalizer is 'Sequence'",
    ),
    "control characters kept": (new("normalizer", "clean_text", False), "normalizer.clean_text is False"),
    "a normalizer with a text as a flag": (new("normalizer", "lowercase", "yes"), "normalizer.lowercase is 'yes'"),
    "another splitter": (new("pre_tokenizer", {"type": "Whitespace"}), "pre_tokenizer is 'Whitespace'"),
    "no splitter": (new("pre_tokenizer", None), "pre_tokenizer is None"),
    "no post_processor": (new("post_processor", None), "post_processor is None"),
    "another post_processor": (new("post_processor", {"type": "RobertaProcessing"}), "is 'RobertaProcessing'"),
    "another template": (new("post_processor", "single", [piece("A", 0), piece("[SEP]", 0)]), r"single is not \[CLS\]"),
    "another segment of a pair": (new("post_processor", "pair", 3, piece("B", 0)), "post_processor.pair is not"),
    "another id in the template": (
        new("post_processor", "special_tokens", "[CLS]", "ids", [7]),
        r"post_processor.special_tokens.\[CLS\]",
    ),
    "another decoder": (new("decoder", {"type": "ByteLevel"}), "decoder is 'ByteLevel'"),
    "padding on the left": (new("padding", {"direction": "Left"}), "padding.direction is 'Left'"),
    "padding with another id": (new("padding", {"direction": "Right", "pad_id": 1}), "padding.pad_id is 1"),
    "cutting on the left": (
        new("truncation", {"direction": "Left", "max_length": 8}),
        "truncation.direction is 'Left'",
    ),
    "files that differ in case": (
        new("normalizer", "lowercase", False),
        "tokenizer_config.json: do_lower_case true, .*, but .*tokenizer.json has do_lower_case false",
    ),
    "files that differ in accents": (
        new("normalizer", "strip_accents", False),
        "tokenizer.json has .*strip_accents false",
    ),
    "files that differ in Chinese": (new("normalizer", "handle_chinese_chars", False), "tokenize_chinese_chars false"),
    "files that differ in a token": (
        new(vocab=old([*VOCAB[:5], "thee", *VOCAB[6:]])["vocab"]),
        "vocab.txt: has 'thee' with the id 5, but .*tokenizer.json has 'the'",
    ),
    "files that differ in length": (new(vocab=old(VOCAB[:-1])["vocab"]), "vocab.txt: has no token with the id"),
    "files that differ in an added token": (
        added(token("covid", NEXT), tokenizer_config=decoder(*CONTROL)["tokenizer_config"]),
        "tokenizer.json: added_tokens has 'covid' otherwise than .*tokenizer_config.json",
    ),
    "files that differ in a flag": (
        added(token("covid", NEXT), tokenizer_config=decoder(token("covid", NEXT, lstrip=True))["tokenizer_config"]),
        "added_tokens has 'covid' otherwise",
    ),
    "an added token that only added_tokens.json has": (
        new(added_tokens={"covid": NEXT}),
        "added_tokens.json: gives 'covid'",
    ),
    "files that differ in a name": (
        old(special_tokens_map=NAMES | {"cls_token": "the"}, config={"cls_token": "[CLS]"}),
        "special_tokens_map.json: cls_token is 'the'",
    ),
    "a token that only special_tokens_map.json names": (
        decoder(*CONTROL) | {"special_tokens_map": NAMES | {"additional_special_tokens": ["[unused1]"]}},
        "special_tokens_map.json: additional_special_tokens is .*unused1",
    ),
    "an added token with a gap before it": (old(added_tokens={"covid": NEXT + 5}), f"id {NEXT + 5}, but .* {NEXT}"),
    "an added token with another's id": (old(added_tokens={"covid": 5}), "the added token 'covid' has the id 5"),
    "an added token with another id than in the vocabulary": (old(added_tokens={"film": NEXT}), "'film' has the id"),
    "an added token without an id": (new("added_tokens", [token("covid")]), "there is no id"),
    "an added token without a name": (new("added_tokens", [token("", NEXT)]), "must be a token"),
    "an added token twice": (added(token("covid", NEXT), token("covid", NEXT + 1)), "'covid' more than once"),
    "an added token with a text as a flag": (decoder(token("covid", NEXT, lstrip="no")), "must be a token"),
    "an added token that cannot be found": (added(token("\u200b", NEXT)), "can be found nowhere"),
    "added tokens that are one when lower-cased": (
        added(token("Covid", NEXT), token("COVID", NEXT + 1)),
        "the added token 'COVID' is found where 'Covid' is",
    ),
    "added_tokens_decoder that is a list": (
        old(config={"added_tokens_decoder": ["covid"]}),
        "added_tokens_decoder must",
    ),
    "added_tokens.json with a text as id": (old(added_tokens={"covid": str(NEXT)}), "gives 'covid' the id"),
    "a named token without an id": (
        old(config={"additional_special_tokens": ["[E9]"]}),
        r"no file gives an id to '\[E9\]'",
    ),
    "names that the vocabulary lacks": (old(config=ANGLES), "vocab.txt: lacks <pad>, <unk>, <s>, </s>, <mask>"),
    "no name": (old(config={"mask_token": None}), "mask_token is None"),
    "no [UNK] in the vocabulary": (decoder(token("<unk>", NEXT, special=True), unk_token="<unk>"), "no <unk>"),
    "tokens beyond the model's vectors": (
        old(added_tokens={"covid": NEXT}) | {"config.json": {"model_type": "bert", "vocab_size": NEXT}},
        f": vocab.txt has {NEXT + 1} tokens, but the model has vectors for {NEXT}",
    ),
    **{
        f"a class of another kind, {name}": (old(config={"tokenizer_class": name}), f"tokenizer_class is '{name}'")
        for name in ("RobertaTokenizerFast", "BertJapaneseTokenizer", "MPNetTokenizer", "BertweetTokenizer", "Own")
    },
    "a class of another kind in config.json": (
        {"vocab": old(UNCASED)["vocab"], "config.json": {"tokenizer_class": "BertJapaneseTokenizer"}},
        "config.json: tokenizer_class is 'BertJapaneseTokenizer'",
    ),
    "a general class without tokenizer.json": (
        old(config={"tokenizer_class": "PreTrainedTokenizerFast"}),
        "tokenizer_class PreTrainedTokenizer needs tokenizer.json",
    ),
    **{
        f"{key} {value}": (old(config={key: value}), f"tokenizer_config.json: {key} is ")
        for key, value in {
            "do_basic_tokenize": False,
            "never_split": ["covid"],
            "padding_side": "left",
            "truncation_side": "left",
            "split_special_tokens": True,
            "pad_token_type_id": 1,
            "word_tokenizer_type": "mecab",
            "auto_map": {"AutoTokenizer": ["own.Own", None]},
            "do_lower_case": "false",
            "strip_accents": "yes",
            "tokenize_chinese_chars": None,
            "model_max_length": "128",
            "additional_special_tokens": "covid",
            "cls_token": 7,
        }.items()
    },
    "a length of 0": (old(config={"model_max_length": 0}), "model_max_length is 0"),
    "a file of a BPE tokenizer": (old() | {"merges.txt": "a b"}, "merges.txt: is of a BPE tokenizer"),
    "a file of a SentencePiece tokenizer": (old() | {"spiece.model": "x"}, "spiece.model: is of a SentencePiece"),
    "a tokenizer.json that is cut off": ({"tokenizer": '{"model": {'}, "tokenizer.json: not valid JSON"),
    "a tokenizer.json that is something else": ({"tokenizer": []}, "tokenizer.json: holds a list"),
    "an empty tokenizer.json": ({"tokenizer": {}}, "tokenizer.json: model.continuing_subword_prefix is None"),
    "an added_tokens.json that is something else": (old(added_tokens=["covid"]), "added_tokens.json: holds a list"),
    "a line twice, but for white space": (old([*VOCAB, "film "]), "'film' is already on line 7"),
    "two empty lines": (old([*VOCAB, "", "x y", ""]), "'' is already on line"),
    **{f"no {name}": (old([entry for entry in VOCAB if entry != name]), f"lacks \\{name}") for name in NAMES.values()},
}


@pytest.mark.fault("weights: a tokenizer of another kind, or files that contradict each other")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_computed_is_refused_by_its_name(tmp_path, name):
    files, message = REFUSED[name]
    with pytest.raises(UserError, match=message) as error:
        BertTokenizer.from_pretrained(write(tmp_path, files))
    assert "\n" not in str(error.value)


SAID = {  # name: files, what the warning names, what lower_case is
    "capitals in the vocabulary": ({"vocab": old()["vocab"]}, "vocab.txt: has capital letters", False),
    "capitals in the vocabulary, and settings": (
        {"vocab": old()["vocab"], "tokenizer_config": {"model_max_length": 512}},
        "vocab.txt: has capital letters, so capitals count; no file says it: write",
        False,
    ),
    "capitals in tokenizer.json": (
        {"tokenizer": change(WHOLE, "normalizer", "lowercase", False)},
        "tokenizer.json: has do_lower_case false, which tokenizer_config.json does not say: tokenizer.json is foll",
        False,
    ),
    "a setting that nobody knows": (old(config={"do_lowercase": False}), "do_lowercase: minbert does not know", True),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_guessed_or_not_used_is_said(tmp_path, name):
    files, message, lower_case = SAID[name]
    with pytest.warns(UserWarning, match=message) as caught:
        tokenizer = BertTokenizer.from_pretrained(write(tmp_path, files))
    assert tokenizer.lower_case is lower_case
    assert [warning.filename for warning in caught] == [__file__]


def test_saving_removes_what_other_files_said(tmp_path):
    folder = write(tmp_path, HONOURED["everything"])
    tokenizer = BertTokenizer.from_pretrained(folder)
    BertTokenizer(VOCAB, lower_case=False).save_pretrained(folder)
    read = BertTokenizer.from_pretrained(folder)
    assert (read.lower_case, len(read), len(tokenizer)) == (False, NEXT, NEXT + 1)


def test_the_published_cases(shared):
    """Each was read in silence as something else, or not at all."""
    read = BertTokenizer.from_pretrained
    assert read(shared("cases/added-tokens/model"))("a covid")["input_ids"] == [2, 14, 16, 3]
    with pytest.warns(UserWarning, match="has capital letters, so capitals count"):
        assert read(shared("cases/cased-vocabulary-silent-settings/model")).tokenize("Paris") == ["Paris"]
    assert len(read(shared("cases/tokenizer-json-only/model"))) > 5
