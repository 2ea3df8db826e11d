"""The files of BPE tokenizers: each is honoured or refused by name, in one line; what is saved reads back."""

import json

import pytest

from minbert import BertTokenizer, UserError, tokenizers
from minbert.added import AddedToken
from minbert.tokenizers import GPT2, ROBERTA, ByteBPETokenizer, GPTTokenizer, TweetTokenizer, bpe_files
from tests.tokenizers.small import (
    GPT2_VOCAB,
    MERGES,
    ROBERTA_VOCAB,
    WORD_MERGES,
    WORD_VOCAB,
    gpt,
    gpt2,
    roberta,
    special,
    whole,
    write_folder,
    write_json,
)
from tests.tokenizers.test_word_bpe import tweets

TEXTS = [
    "The film wasn't bad.",
    " the  film\n",
    "café 中 ☕!",
    "",
    "ha ha  ha\t2024 @jo",
    "a <s> <mask> b",
    "x <name> y",
]
NAME = AddedToken("<name>")


def refused(folder, message, read=tokenizers.from_pretrained):
    """The message is one line, names the folder and holds these words."""
    with pytest.raises(UserError) as error:
        read(folder)
    assert message in str(error.value) and "\n" not in str(error.value) and str(folder) in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "make",
    [
        gpt2,
        roberta,
        gpt,
        lambda **options: tweets(normalization=False, **options),
        lambda **options: roberta(max_length=77, names={"mask_token": "a"}, **options),
    ],
    ids=["gpt2", "roberta", "gpt", "tweets", "renamed"],
)
@pytest.mark.parametrize("added", [(), (NAME,)], ids=["plain", "added"])
def test_what_is_saved_reads_back(make, added, tmp_path):
    tokenizer = make(added=added)
    write_json(tmp_path / "tokenizer.json", {"old": 1})
    tokenizer.save_pretrained(tmp_path)
    assert not (tmp_path / "tokenizer.json").exists()
    again = tokenizers.from_pretrained(tmp_path)
    assert type(again) is type(tokenizer) and again.framing is tokenizer.framing
    assert (again.vocab, again.ranks, again.names) == (tokenizer.vocab, tokenizer.ranks, tokenizer.names)
    assert (again.added, again.max_length) == (tokenizer.added, tokenizer.max_length)
    for text in TEXTS:
        assert again(text, text) == tokenizer(text, text)
    again.save_pretrained(tmp_path / "second")
    for path in tmp_path.glob("*.*"):
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


@pytest.mark.parametrize("make", [gpt2, roberta, gpt], ids=["gpt2", "roberta", "gpt"])
def test_transformers_reads_what_is_saved_and_we_read_what_it_saves(make, tmp_path):
    hf = pytest.importorskip("transformers", reason="needs the extra reference")
    ours = make(added=[NAME])
    ours.save_pretrained(tmp_path)
    theirs = hf.AutoTokenizer.from_pretrained(tmp_path)
    texts = [text for text in TEXTS if "<s>" not in text]
    for text in texts:
        assert ours.encode(text) == theirs(text)["input_ids"]
    theirs.save_pretrained(tmp_path / "theirs")
    again = tokenizers.from_pretrained(tmp_path / "theirs")
    assert [again.encode(text) for text in TEXTS] == [ours.encode(text) for text in TEXTS]


@pytest.mark.parametrize("kind", ["pairs", "strings"])
def test_a_tokenizer_json_alone_is_enough(kind, tmp_path):
    values = whole()
    if kind == "strings":
        values["model"]["merges"] = [" ".join(pair) for pair in MERGES]
    write_json(tmp_path / "tokenizer.json", values)
    tokenizer = tokenizers.from_pretrained(tmp_path)
    assert tokenizer.framing is GPT2 and (tokenizer.vocab, tokenizer.ranks) == (GPT2_VOCAB, gpt2().ranks)
    write_folder(tmp_path)  # vocab.json and merges.txt beside it say the same
    assert tokenizers.from_pretrained(tmp_path).encode("film") == tokenizer.encode("film")
    write_folder(tmp_path, merges=MERGES[:-1])
    refused(tmp_path, "merges.txt: says otherwise than")


POST = {"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 2], "trim_offsets": True}


def template(single, pair, segment=0):
    def entry(name):
        return {"Sequence" if name in "AB" else "SpecialToken": {"id": name, "type_id": segment * (name == "B")}}

    tokens = {token: {"id": token, "ids": [ROBERTA_VOCAB[token]], "tokens": [token]} for token in ("<s>", "</s>")}
    ways = {key: list(map(entry, way.split())) for key, way in (("single", single), ("pair", pair))}
    return {"type": "TemplateProcessing", "special_tokens": tokens, **ways}


FRAME = "<s> A </s>", "<s> A </s> </s> B </s>"


@pytest.mark.parametrize("post", [POST, template(*FRAME), {"type": "Sequence", "processors": [POST]}])
def test_robertas_tokenizer_json(post, tmp_path):
    write_json(tmp_path / "tokenizer.json", whole(ROBERTA_VOCAB, MERGES, added_tokens=special(), post_processor=post))
    tokenizer = tokenizers.from_pretrained(tmp_path)
    assert tokenizer.framing is ROBERTA
    assert [tokenizer.encode(text, text) for text in TEXTS] == [roberta().encode(text, text) for text in TEXTS]


def test_trim_offsets_of_a_file_is_honoured(tmp_path):
    def place(folder):
        return tokenizers.from_pretrained(folder)("a film", return_offsets_mapping=True).offset_mapping[2]

    for trims, start in ((True, 2), (False, 1)):
        post = POST | {"trim_offsets": trims}
        parts = {"added_tokens": special(), "post_processor": post}
        write_json(tmp_path / f"{trims}" / "tokenizer.json", whole(ROBERTA_VOCAB, MERGES, **parts))
        assert place(tmp_path / f"{trims}")[0] == start
        write_folder(tmp_path / "settings", ROBERTA_VOCAB, trim_offsets=trims)
        assert place(tmp_path / "settings")[0] == start


LLAMA = {"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel", "use_regex": False}]}


@pytest.mark.parametrize(
    "parts, message",
    [
        ({"normalizer": {"type": "NFC"}}, "normalizer is {'type': 'NFC'}, but only None"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "pre_tokenizer.type is 'Metaspace', but only 'ByteLevel'"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "pre_tokenizer.add_prefix_space is True"),
        ({"pre_tokenizer": LLAMA}, "pre_tokenizer.type is 'Sequence'"),
        ({"decoder": None}, "decoder.type is None"),
        ({"post_processor": POST}, "post_processor is 'RobertaProcessing', but only None"),
        ({"post_processor": template("<s> A", "<s> A B")}, "post_processor.single is ['<s>', 'A'], but only ['A']"),
        ({"added_tokens": [{"content": "x"}]}, "in which there is no id"),
        ({"truncation": {"direction": "Left"}}, "truncation.direction is 'Left'"),
        ({"model": {"dropout": 0.1}}, "model.dropout is 0.1"),
        ({"model": {"byte_fallback": True}}, "model.byte_fallback is True"),
        ({"model": {"ignore_merges": True}}, "model.ignore_merges is True"),
        ({"model": {"unk_token": "a"}}, "model.unk_token is 'a'"),
        ({"model": {"vocab": [["a", -1.0]]}}, "the vocabulary is no table"),
        ({"model": {"merges": None}}, "model.merges has None"),
        ({"model": {"merges": ["a b c"]}}, "model.merges has 'a b c' in place 1"),
        ({"model": {"merges": [["a", ""]]}}, "model.merges has ['a', ''] in place 1"),
        ({"model": {"merges": []}}, "cut off?"),
        ({"model": {"type": "WordLevel"}}, "model.type is 'WordLevel'"),
    ],
)
def test_a_part_of_tokenizer_json_that_computes_something_else_is_refused_by_name(parts, message, tmp_path):
    values = whole()
    parts = parts | {"model": values["model"] | parts["model"]} if "model" in parts else parts
    write_json(tmp_path / "tokenizer.json", values | parts)
    refused(tmp_path, message)


@pytest.mark.parametrize(
    "post, message",
    [
        (POST | {"cls": ["<s>", 2]}, "post_processor.cls is ['<s>', 2]"),
        (template("<s> A </s>", "<s> A </s> B </s>"), "post_processor.pair is ['<s>', 'A', '</s>', 'B', '</s>']"),
        (template(*FRAME, segment=1), "post_processor.pair.type_id"),
        (None, "post_processor is None, but only 'RobertaProcessing'"),
        ({"type": "Sequence", "processors": [POST, POST]}, "post_processor is 'Sequence'"),
    ],
)
def test_special_tokens_in_other_places_than_robertas_are_refused(post, message, tmp_path):
    write_json(tmp_path / "tokenizer.json", whole(ROBERTA_VOCAB, MERGES, added_tokens=special(), post_processor=post))
    refused(tmp_path, message)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"add_prefix_space": True}, "add_prefix_space is True"),
        ({"add_bos_token": True}, "add_bos_token is True"),
        ({"errors": "strict"}, "errors is 'strict'"),
        ({"tokenizer_class": "LlamaTokenizer"}, "tokenizer_class is 'LlamaTokenizer'"),
        (
            {"tokenizer_class": "RobertaTokenizer"},
            "the vocabulary lacks <s>, <pad>, </s>, <unk>, <mask>; is it Roberta",
        ),
        ({"pad_token": "<pad>"}, "the vocabulary lacks <pad>"),
        ({"model_max_length": "long"}, "model_max_length is 'long'"),
    ],
)
def test_a_setting_that_is_not_computed_is_refused_by_name(settings, message, tmp_path):
    refused(write_folder(tmp_path, **settings), message)


def test_settings_are_honoured_and_unknown_ones_named(tmp_path):
    write_folder(tmp_path, pad_token="!", model_max_length=99, tokenizer_class="GPT2TokenizerFast", bos_token=None)
    tokenizer = tokenizers.from_pretrained(tmp_path)
    assert (tokenizer.pad_token, tokenizer.max_length, tokenizer.bos_token) == ("!", 99, "<|endoftext|>")
    assert tokenizers.from_pretrained(tmp_path, max_length=7).max_length == 7
    write_folder(tmp_path, wings=2)
    with pytest.warns(UserWarning, match="minbert does not know wings"):
        tokenizers.from_pretrained(tmp_path)
    write_folder(tmp_path, padding_side="left")
    with pytest.warns(UserWarning, match="padding_side is 'left'"):
        tokenizers.from_pretrained(tmp_path)
    write_folder(tmp_path)
    write_json(tmp_path / "config.json", {"vocab_size": 300})
    refused(tmp_path, "but the model has vectors for 300")


def cut(name, keep):
    def change(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])

    return change


def put(name, content):
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.fault("texts: the files of a tokenizer cut off or damaged")
@pytest.mark.parametrize(
    "change, message",
    [
        (cut("vocab.json", 500), "vocab.json: not valid JSON"),
        (cut("vocab.json", 0), "vocab.json: not valid JSON"),
        (cut("merges.txt", 0), "cut off?"),
        (cut("merges.txt", 42), "no merge makes"),
        (cut("merges.txt", -3), "is no pair of symbols; is the file cut off?"),
        (put("merges.txt", b"#version: 0.2\na b c\n"), "merges.txt:2: 'a b c' is no pair of symbols"),
        (put("merges.txt", b"#version: 0.2\n\xff b\n"), "merges.txt:2: not UTF-8"),
        (put("vocab.json", b"[]"), "vocab.json: holds a list"),
        (put("vocab.json", b'{"a": 0, "b": 1, "a": 2}'), "vocab.json: gives 'a' two ids, 0 and 2"),
        (put("vocab.json", b'{"a": 0, "b": 0}'), "gives 'a' and 'b' the same id"),
        (put("vocab.json", b'{"a": {"a": 1}}'), "no table of tokens and ids"),
        (lambda folder: (folder / "vocab.json").unlink(), "vocab.json: cannot be read"),
        (lambda folder: (folder / "merges.txt").unlink(), "merges.txt: cannot be read"),
        (lambda folder: (folder / "tokenizer_config.json").write_text("{"), "tokenizer_config.json: not valid JSON"),
    ],
)
def test_damaged_files_are_refused_in_one_line(change, message, tmp_path):
    change(write_folder(tmp_path))
    refused(tmp_path, message)


@pytest.mark.fault("texts: a vocabulary of ten million tokens")
def test_a_vocabulary_that_is_far_too_long_is_refused_before_it_is_read(tmp_path):
    write_folder(tmp_path)
    with open(tmp_path / "vocab.json", "wb") as file:
        file.truncate(200_000_000)  # what 10^7 entries take; the file has no bytes of its own
    refused(tmp_path, "vocab.json: has 200,000,000 bytes, but vocab.json may have up to")


def test_merges_may_begin_with_a_number_sign_and_end_in_another_way(tmp_path):
    path = tmp_path / "merges.txt"
    path.write_bytes("#version: 0.2\r\n# #\r\n\x85 \xa0\r\n".encode())
    assert bpe_files.read_merges(path) == [("#", "#"), ("\x85", "\xa0")]
    path.write_bytes(b"# a\nb c")
    assert bpe_files.read_merges(path) == [("#", "a"), ("b", "c")]


def test_gpt1_in_all_its_files(tmp_path):
    write_folder(tmp_path / "model_type", WORD_VOCAB, WORD_MERGES)
    write_json(tmp_path / "model_type" / "config.json", {"model_type": "openai-gpt"})
    write_folder(tmp_path / "class", WORD_VOCAB, WORD_MERGES, tokenizer_class="OpenAIGPTTokenizer")
    values = whole(WORD_VOCAB, WORD_MERGES, pre_tokenizer={"type": "BertPreTokenizer"})
    values["normalizer"] = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}
    values["normalizer"] |= {"strip_accents": None, "lowercase": True}
    values["decoder"] = {"type": "BPEDecoder", "suffix": "</w>"}
    values["model"] |= {"end_of_word_suffix": "</w>", "unk_token": "<unk>"}
    write_json(tmp_path / "whole" / "tokenizer.json", values)
    for folder in ("model_type", "class", "whole"):
        tokenizer = tokenizers.from_pretrained(tmp_path / folder)
        assert type(tokenizer) is GPTTokenizer
        assert [tokenizer.encode(text) for text in TEXTS] == [gpt().encode(text) for text in TEXTS]
    values["normalizer"]["lowercase"] = False
    write_json(tmp_path / "whole" / "tokenizer.json", values)
    refused(tmp_path / "whole", "normalizer.lowercase is False")
    write_folder(tmp_path / "byte", WORD_VOCAB, WORD_MERGES)
    refused(tmp_path / "byte", "the vocabulary lacks <|endoftext|>; is it GPT2Tokenizer's?")
    refused(tmp_path / "class", "tokenizer_class is 'OpenAIGPTTokenizer'", ByteBPETokenizer.from_pretrained)


def test_bertweets_files(tmp_path):
    tweets(normalization=True).save_pretrained(tmp_path)
    assert tokenizers.from_pretrained(tmp_path).normalization is True
    assert tokenizers.from_pretrained(tmp_path, normalization=False).normalization is False
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    write_json(tmp_path / "tokenizer_config.json", config | {"normalization": "yes"})
    refused(tmp_path, "normalization is 'yes'")
    del config["normalization"]
    write_json(tmp_path / "tokenizer_config.json", config)
    with pytest.warns(UserWarning, match="has no normalization"):
        assert tokenizers.from_pretrained(tmp_path).normalization is False
    (tmp_path / "tokenizer_config.json").write_text('{"normalization": false}')
    codes = (tmp_path / "bpe.codes").read_text().splitlines()
    (tmp_path / "bpe.codes").write_text("\n".join(line.rpartition(" ")[0] for line in codes))  # transformers' way
    assert list(tokenizers.from_pretrained(tmp_path).ranks) == list(tweets().ranks)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("bpe.codes", b"a b x\n", "bpe.codes:1: 'a b x' is no pair of symbols with a count"),
        ("bpe.codes", b"a\n", "bpe.codes:1: 'a' is no pair"),
        ("bpe.codes", b"a b 1\na b 1\n", "merge 1, ('a', 'b'), is the same as merge 2"),
        ("vocab.txt", b"\n", "vocab.txt: has no tokens"),
        ("vocab.txt", b"", "vocab.txt: has no tokens"),
        ("vocab.txt", b"the\n", "vocab.txt:1: 'the' is no token with a count"),
        ("vocab.txt", b"the 3\nthe 2\n", "vocab.txt:2: 'the' is already on line 1"),
        ("vocab.txt", b"<s> 3\n", "lists '<s>'"),
        ("vocab.txt", b"\xff 3\n", "vocab.txt:1: not UTF-8"),
    ],
)
def test_damaged_files_of_bertweet_are_refused_in_one_line(name, content, message, tmp_path):
    tweets(normalization=False).save_pretrained(tmp_path)
    (tmp_path / name).write_bytes(content)
    refused(tmp_path, message)
    with pytest.raises(UserError):
        TweetTokenizer.from_files(tmp_path / "vocab.txt", tmp_path / "bpe.codes")


def test_bertweets_merges_that_are_cut_off_are_refused(tmp_path):
    tweets(normalization=False).save_pretrained(tmp_path)
    words = [f"{letter}{letter}" for letter in "abcdefghijklm"]
    (tmp_path / "vocab.txt").write_text("".join(f"{word} 1\n{word[0]}@@ 1\n" for word in words))
    merges = [f"{word[0]} {word[0]}</w> 1\n" for word in words]
    (tmp_path / "bpe.codes").write_text("".join(merges))
    assert len(tokenizers.from_pretrained(tmp_path)) == 5 + 26
    (tmp_path / "bpe.codes").write_text("".join(merges[:2]))
    refused(tmp_path, "bpe.codes: no merge makes 11 of 26 tokens, such as 'cc</w>'; is the list of merges cut off?")


@pytest.mark.parametrize("name", ["x" * 10_000, "a\nb", ""])
def test_a_special_token_with_an_odd_name_is_named_in_one_line(name, tmp_path, tokenizer):
    said = repr(name)[:50] if name else "pad_token is ''"
    write_folder(tmp_path / "gpt2", pad_token=name)
    refused(tmp_path / "gpt2", said)
    tokenizer.save_pretrained(tmp_path / "bert")
    write_json(tmp_path / "bert" / "tokenizer_config.json", {"pad_token": name})
    refused(tmp_path / "bert", said, BertTokenizer.from_pretrained)


def test_the_class_goes_by_the_files(tmp_path, tokenizer):
    refused(tmp_path, "holds no vocab.txt, no vocab.json with merges.txt, no bpe.codes, no tokenizer.json")
    tokenizer.save_pretrained(tmp_path / "bert")
    assert type(tokenizers.from_pretrained(tmp_path / "bert")) is BertTokenizer
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "spiece.model").write_bytes(b"x")
    refused(tmp_path / "t5", "is of a SentencePiece tokenizer, but minbert reads sentencepiece.bpe.model only")
    write_json(tmp_path / "words" / "tokenizer.json", {"model": {"type": "WordLevel"}})
    refused(tmp_path / "words", "model.type is 'WordLevel', but only 'BPE', 'Unigram' or 'WordPiece' is supported")
    write_json(tmp_path / "gpt2" / "tokenizer.json", whole())
    refused(write_folder(tmp_path / "gpt2"), "is of a BPE tokenizer", BertTokenizer.from_pretrained)
