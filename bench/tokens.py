"""The benches of tokenizers, and of what is written token by token."""

import itertools
import tempfile
from pathlib import Path

import torch

from bench import learnt, texts
from bench.measure import System, peer, race, rows, save
from minbert.wording import counted

TOKENS = 16_000  # of a vocabulary that is learnt
LONG = 11_000  # characters of a long text


def tokenizing(work, folder, path, peers, runs):
    """Rows of a race of tokenizers, each with the number of texts that get other ids than ours.

    peers  {package: (name of its function, numbers of threads)}
    """
    options, contest = {"folder": str(folder), "path": path}, {}
    for package, (function, numbers) in peers.items():
        for threads in numbers:
            system = peer(package, "tokenizing.tokenize", peer=function, threads=threads, **options)
            contest[f"{package}, {counted(threads, 'thread')}"] = system
    contest |= {
        "minbert, cold": System("tokenize", warm=False, **options),
        "minbert, warm": System("tokenize", **options),
    }
    wanted = race(contest, runs)["minbert, warm"].warm["checks"]
    lines = rows(work, contest, "bytes")
    for line, system in zip(lines, contest.values()):
        if system:
            line |= {"texts": len(wanted), "others": sum(map(int.__ne__, system.warm["checks"], wanted))}
    contest["minbert, cold"].must_equal(wanted, "checks")
    return lines


def every():
    """One thread, and all."""
    return sorted({1, torch.get_num_threads()})


def tokenize(folder, data, runs):
    """WordPiece: bytes of text in a second."""
    lines, path = [], Path(folder, "texts.jsonl")
    for kind, some in texts.to_tokenize(data).items():
        peers = {"tokenizers": ("tokenizers", every()), "flash_tokenizer": ("flash_tokenizer", every())}
        peers["blingfire"] = ("blingfire", [1])
        lines += tokenizing(f"tokenize, {kind}", Path(folder, "pooler"), texts.write(path, some), peers, runs)
    save("tokenize", lines)


def bpe(folder, data, runs):
    """A byte-level BPE that is learnt from the texts."""
    some = texts.to_tokenize(data)["reviews"]
    with tempfile.TemporaryDirectory() as place:
        learnt.learn_bpe(place, some, TOKENS)
        peers = {"tokenizers": ("tokenizers_bpe", every()), "tiktoken": ("tiktoken_bpe", every())}
        lines = tokenizing("byte-level BPE", place, texts.write(Path(place, "texts.jsonl"), some), peers, runs)
    save("bpe", lines, tokens=TOKENS)


def unigram(folder, data, runs):
    """A unigram model that is learnt from the reviews."""
    found, lines = texts.to_tokenize(data), []
    whole = " ".join(found["reviews"])
    found = {kind: found[kind] for kind in ("reviews", "tweets")}
    found["long texts"] = [whole[at : at + LONG] for at in range(0, len(whole), LONG)]
    peers = {"sentencepiece": ("sentencepiece_unigram", [1]), "tokenizers": ("tokenizers_unigram", [1])}
    with tempfile.TemporaryDirectory() as place:
        learnt.learn_unigram(place, found["reviews"], TOKENS)
        for kind, some in found.items():
            path = texts.write(Path(place, "texts.jsonl"), some)
            lines += tokenizing(f"unigram, {kind}", place, path, peers, runs)
    save("unigram", lines, tokens=TOKENS)


def generate(folder, data, runs):
    """What a GPT-2 of random weights writes in a second, after a prompt of 16 tokens."""
    lines = []
    for layers, size in ((6, 384), (12, 768)):
        for threads, batch_size in itertools.product(every(), (1, 8)):
            work = f"generate, {layers} layers of {size}, batch {batch_size}, {counted(threads, 'thread')}"
            with tempfile.TemporaryDirectory() as place:
                learnt.new_gpt(place, layers, size)
                options = {"folder": place, "batch_size": batch_size, "threads": threads}
                lines += writing(work, System("writing.generate", **options), System("write", **options), runs)
    save("generate", lines)


def search(folder, data, runs):
    """What a Marian of random weights writes in a second, with 4 beams: its best results."""
    lines = []
    for (layers, size), batch_size in itertools.product(((3, 256), (6, 512)), (1, 8)):
        work = f"beam search, {layers} layers of {size}, batch {batch_size}, 1 thread"
        with tempfile.TemporaryDirectory() as place:
            learnt.new_marian(place, layers, size)
            options = {"folder": place, "batch_size": batch_size, "threads": 1}
            lines += writing(work, System("writing.search", **options), System("search", **options), runs)
    save("search", lines)


def writing(work, theirs, ours, runs):
    """Rows of two systems that write the same ids."""
    found = race({"transformers": theirs, "minbert": ours}, runs)
    for system in found.values():
        system.must_equal(theirs.warm["ids"], "ids")
    lines = rows(work, found)
    lines[1]["times_the_peer"] = ours.times_as_fast(theirs)
    return lines
