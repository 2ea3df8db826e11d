"""Peers of tokenizing. Each is a function of a folder that returns one from texts to their ids."""

import json
from pathlib import Path

from bench.serve import checks, load, timed

CLS, SEP, UNKNOWN = 101, 102, 100  # of bert-base-uncased
LONGEST = 1_000_000  # tokens, more than any text has


def tokenize(peer, folder, path, threads, **options):
    """All texts of a file; what counts the threads is set before the process begins."""
    texts, encode = load(path).texts, globals()[peer](folder, threads)
    size = sum(len(text.encode()) for text in texts)

    def run():
        ids = []
        return timed(lambda: ids.extend(encode(texts))) | {"bytes": size, "checks": checks(ids)}

    return run


# WordPiece


def tokenizers(folder, threads, special=True):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda texts: [found.ids for found in tokenizer.encode_batch_fast(texts, add_special_tokens=special)]


def flash_tokenizer(folder, threads):
    from flash_tokenizer import BertTokenizerFlash

    found = BertTokenizerFlash(str(Path(folder, "vocab.txt")), do_lower_case=True, model_max_length=LONGEST)
    return lambda texts: found.tokenizer.batch_encode(texts, "longest", LONGEST, threads > 1)


def blingfire(folder, threads):
    """Its own file of bert-base-uncased: it takes no other vocabulary."""
    import blingfire

    model = blingfire.load_model(str(Path(blingfire.__file__).parent / "bert_base_tok.bin"))

    def encode(text):
        return [CLS, *blingfire.text_to_ids(model, text, len(text.encode()) + 1, UNKNOWN, True).tolist(), SEP]

    return lambda texts: list(map(encode, texts))


# Byte-level BPE, of the files that bench.learnt writes


def tokenizers_bpe(folder, threads):
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ("vocab.json", "merges.txt")
    tokenizer = Tokenizer(models.BPE.from_file(*(str(Path(folder, name)) for name in names)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return lambda texts: [found.ids for found in tokenizer.encode_batch_fast(texts)]


def tiktoken_bpe(folder, threads):
    """tiktoken takes the number of a merge for the id of what it makes, as the ids here are."""
    import tiktoken

    facts = json.loads(Path(folder, "tiktoken.json").read_text())
    ranks = {bytes.fromhex(token): id for token, id in facts["ranks"].items()}
    peer = tiktoken.Encoding("ours", pat_str=facts["pattern"], mergeable_ranks=ranks, special_tokens=facts["special"])
    if threads == 1:
        return lambda texts: [peer.encode_ordinary(text) for text in texts]
    return lambda texts: peer.encode_ordinary_batch(texts, num_threads=threads)


# Unigram, of the files that bench.learnt writes


def tokenizers_unigram(folder, threads):
    return tokenizers(folder, threads)


def sentencepiece_unigram(folder, threads):
    """SentencePiece's numbers are one less than fairseq's; the unknown piece's is 0, and fairseq's 3."""
    import sentencepiece

    peer = sentencepiece.SentencePieceProcessor(model_file=str(Path(folder, "sentencepiece.bpe.model")))

    def encode(texts):
        found = peer.encode(texts, num_threads=threads)
        return [[0, *(id + 1 if id else 3 for id in ids), 2] for ids in found]  # <s> and </s>, as the others add

    return encode
