"""Small vocabularies, learnt in the tests: the mechanics of a tokenizer need no published one."""

import collections
import gzip
import itertools
import json

from minbert.tokenizers import GPT2, ByteBPETokenizer, GPTTokenizer
from minbert.tokenizers.byte_bpe import END, LETTERS, ROBERTA, WORD, to_letters
from minbert.tokenizers.framed import ROUND_NAMES

TEXT = "The film wasn't bad. The cast is a joy, and they're unhappily funny: ha ha ha! It's a café film in 2024. " * 2


def learn(words, count):
    """The pairs that are joined, one after the other, in words given as lists of symbols."""
    words, merges = collections.Counter(map(tuple, words)), []
    for _ in range(count):
        pairs = collections.Counter()
        for word, times in words.items():
            for pair in itertools.pairwise(word):
                pairs[pair] += times
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = collections.Counter({joined(word, best): times for word, times in words.items()})
    return merges


def joined(word, pair):
    new, at = [], 0
    while at < len(word):
        two = word[at : at + 2] == pair
        new.append("".join(pair) if two else word[at])
        at += 1 + two
    return tuple(new)


def number(tokens):
    return {token: id for id, token in enumerate(dict.fromkeys(tokens))}


MERGES = learn([list(to_letters(word)) for word in WORD.findall(TEXT)], 60)
TOKENS = [*LETTERS.values(), *map("".join, MERGES)]
GPT2_VOCAB = number([*TOKENS, END])
ROBERTA_VOCAB = number(["<s>", "<pad>", "</s>", "<unk>", *TOKENS, "<mask>"])
WORDS = ["the", "film", "was", "bad", "not", "good", "films", "goods"] * 2
WORD_MERGES = learn([[*word[:-1], word[-1] + "</w>"] for word in WORDS], 40)
WORD_SYMBOLS = [*"abcdefghijklmnopqrstuvwxyz'", *(f"{char}</w>" for char in "abcdefghijklmnopqrstuvwxyz.,!'\n")]
WORD_VOCAB = number([*WORD_SYMBOLS, *map("".join, WORD_MERGES), "<unk>"])
TWEET_WORDS = ["@USER", "the", "film", "HTTPURL", "was", "so", "bad"]
CODES = learn([[*word[:-1], word[-1] + "</w>"] for word in [*TWEET_WORDS, "!", "!"]], 30)
TWEET_TOKENS = [*TWEET_WORDS, "f@@", "i@@", "l@@", "m", "b@@", "a@@", "d", "!", "s@@"]


def gpt2(**options):
    return ByteBPETokenizer(GPT2_VOCAB, MERGES, **{"framing": GPT2} | options)


def roberta(**options):
    return ByteBPETokenizer(ROBERTA_VOCAB, MERGES, **{"framing": ROBERTA} | options)


def gpt(**options):
    return GPTTokenizer(WORD_VOCAB, WORD_MERGES, **options)


def write_json(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def write_folder(folder, vocab=GPT2_VOCAB, merges=MERGES, **settings):
    """vocab.json, merges.txt and tokenizer_config.json"""
    write_json(folder / "vocab.json", vocab)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_bytes(("\n".join(lines) + "\n").encode())
    write_json(folder / "tokenizer_config.json", settings)
    return folder


def whole(vocab=GPT2_VOCAB, merges=MERGES, **parts):
    """A tokenizer.json of GPT-2's kind; parts replace its own."""
    return {
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": {"type": "ByteLevel", "trim_offsets": False},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "dropout": None, "vocab": vocab, "merges": [list(pair) for pair in merges]},
    } | parts


def special(names=ROUND_NAMES, vocab=ROBERTA_VOCAB):
    """added_tokens of a tokenizer.json"""
    tokens = sorted(set(names.values()), key=vocab.get)
    flags = {"single_word": False, "rstrip": False, "normalized": False, "special": True}
    return [{"id": vocab[token], "content": token, "lstrip": token == "<mask>", **flags} for token in tokens]


def rows(path):
    """The objects of a .jsonl.gz"""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
