"""A model's folder as a stranger may send it: weights, sizes, vocabulary and pickles, spoilt in every way we know."""

import argparse
import contextlib
import faulthandler
import io
import json
import os
import pickle
import random
import re
import shutil
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import safetensors.torch
import torch

from minbert import BertForMaskedLM, BertSentClassifier, BertTokenizer, Config, UserError
from minbert.commands import common as cli
from minbert.commands import convert as legacy
from minbert.tokenizer_json import WHITE
from minbert.tokenizers import XLMRobertaTokenizer
from tests.conftest import VOCAB
from tests.tokenizers.tiny_unigram import model as sentencepiece

CONFIG = Config(
    vocab_size=len(VOCAB),
    hidden_size=6,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=7,
    max_position_embeddings=9,
    tie_word_embeddings=False,
)
CANARY = "canary"
PATIENCE = 60  # seconds for a file
LISTED = re.compile(r"  (missing|unexpected|wrong shape|wrong type|NaN or Inf|and) ")


def prepare(folder):
    """A good folder of each class that is read: {class: folder}."""
    torch.manual_seed(0)
    folders = {}
    for model_class in (BertSentClassifier, BertForMaskedLM):
        folders[model_class] = folder / model_class.__name__
        model_class(CONFIG).save_pretrained(folders[model_class])
        BertTokenizer(VOCAB).save_pretrained(folders[model_class])
    return folders


def rounds(count, rng):
    """A random generator of its own for each file, and a watch on its time."""
    for number in range(count):
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        yield number, random.Random(rng.getrandbits(64))
    faulthandler.cancel_dump_traceback_later()


def judge(number, folder, read, name=""):
    """What became of a file: "refused", what read() says of what it read, or a fault."""
    try:
        return read()
    except UserError as error:
        first, *lines = str(error).split("\n")
        if str(folder) not in first or name not in first or len(str(error)) > 10_000 or not first.isprintable():
            return f"fault in file {number}: the message is {str(error)!r:.200}"
        if not all(LISTED.match(line) and line.isprintable() for line in lines):
            return f"fault in file {number}: the message is {str(error)!r:.200}"
        return "refused"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # Rust's panics are no Exception
        return f"fault in file {number}: {type(error).__name__}: {error!s:.200}"


def check_model(model, config):
    """Raise AssertionError unless a model is as its config says, whole and finite."""
    with torch.device("meta"):
        wanted = type(model)(config).state_dict()
    state = model.state_dict()
    assert model.config == config and {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in wanted.items()
    }, "other shapes than config.json's"
    assert all(tensor.isfinite().all() for tensor in state.values()), "weights that are not finite"


# model.safetensors

NUMBERS = (0, 1, -1, 2, 3, 7, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, 1.5, 1e300)
ODD = (*NUMBERS, None, True, "", "F32", [], [[]], {}, {"a": 1}, "0")
TYPES = (
    *("BOOL", "U8", "I8", "I16", "U16", "F16", "BF16", "I32", "U32", "F64", "I64", "U64", "F8_E4M3", "F8_E5M2"),
    *("F8_E8M0", "F8_E4M3FNUZ", "F4", "F6_E2M3", "F6_E3M2", "C64", "F128", "f32", "", "\0", "F32 "),
)
NAMES = (
    "",
    "x",
    "bert",
    "bert.",
    "__metadata__",
    "bert.bert.pooler.dense.bias",
    "a\nb",
    "\x1b[2J",
    "é",
    "\u2028",
    "{}",
)


def split(data):
    """A file of safetensors -> its header, the bytes of its tensors."""
    size = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:size]), data[size:]


def join(header, body, length=None):
    """The opposite; the header may be anything, and so may its length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(text) if length is None else length
    return length.to_bytes(8, "little") + text + body


def flip(data, rng, start=0, end=None):
    """Flip one to eight bits."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(start, len(data) if end is None else end)
        data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def length_field(data, rng):
    _, body = split(data)
    size = len(data) - len(body) - 8
    lies = [0, 1, 2, size - 1, size + 1, len(data), len(data) - 8, 10**8, 10**8 + 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
    return rng.choice([*lies, rng.getrandbits(64)]).to_bytes(8, "little") + data[8:]


def offsets(data, rng):
    header, body = split(data)
    entry = header[rng.choice(list(header))]
    start, end = entry.get("data_offsets", (0, 0))
    lies = [(end, start), (start, start), (start + 4, end + 4), (start, end + 4), (start - 4, end), (0, len(body))]
    lies += [(0, end - start), (len(body), len(body) + end - start), (start, rng.choice(ODD)), (rng.choice(ODD), end)]
    lies += [(start,), (start, end, end), rng.choice(ODD)]
    entry["data_offsets"] = rng.choice(lies)
    return join(header, body)


def swap(data, rng):
    """Two tensors change their places: still a good file if they are of one size."""
    header, body = split(data)
    first, second = (header[name] for name in rng.sample([name for name in header if name != "__metadata__"], 2))
    first["data_offsets"], second["data_offsets"] = second["data_offsets"], first["data_offsets"]
    return join(header, body)


def shapes(data, rng):
    header, body = split(data)
    entry = header[rng.choice(list(header))]
    shape = list(entry.get("shape", [1]))
    lies = [
        shape[::-1],
        [*shape, 1],
        shape[:-1],
        [*shape, 0],
        [2**32, 2**32],
        [2**63, 2],
        [2**64 - 1] * 3,
        [1] * 10_000,
    ]
    lies += [[-size for size in shape], [size + 1 for size in shape], [rng.choice(ODD)], rng.choice(ODD), "6"]
    entry["shape"] = rng.choice(lies)
    return join(header, body)


def types(data, rng):
    header, body = split(data)
    header[rng.choice(list(header))]["dtype"] = rng.choice((*TYPES, *ODD))
    return join(header, body)


def keys(data, rng):
    """Tensors of other names, of two names, without an entry's key, or with one more."""
    header, body = split(data)
    name = rng.choice(list(header))
    other = rng.choice(
        (*NAMES, name + "x", "x" * rng.choice((10, 100_000)), name.replace("weight", "gamma"), name.upper())
    )
    way = rng.randrange(5)
    if way == 0:
        header = {other if key == name else key: entry for key, entry in header.items()}
    elif way == 1:
        text = json.dumps(header)
        return join((text[:-1] + ", " + json.dumps({name: header[name]})[1:]).encode(), body)
    elif way == 2:
        header[name].pop(rng.choice(list(header[name])))
    elif way == 3:
        header[name][rng.choice(("x", "dtypes", ""))] = rng.choice(ODD)
    else:
        header[other] = rng.choice((*ODD, header[name], {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}))
    return join(header, body)


def metadata(data, rng):
    header, body = split(data)
    header["__metadata__"] = rng.choice((*ODD, {"a": rng.choice(ODD)}, {"format": "tf"}, {"a": "x" * 1_000_000}))
    return join(header, body)


def nesting(data, rng):
    _, body = split(data)
    depth = rng.choice((100, 127, 128, 1000, 100_000))
    opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
    return join(('{"x":' + opening * depth + "1" + closing * depth + "}").encode(), body)


def header_bytes(data, rng):
    """Bytes of the header changed, left out or put in, with its length told right or not."""
    _, body = split(data)
    text = bytearray(data[8 : len(data) - len(body)])
    at = rng.randrange(len(text))
    new = rng.choice(
        (b"", b"\xff", b"\0", b'"', b"{", b"}", b",", b" " * 1000, b"\xed\xa0\x80", b"\\ud800", rng.randbytes(3))
    )
    text[at : at + rng.randint(0, 5)] = new
    return join(bytes(text), body, rng.choice((None, len(data) - len(body) - 8)))


def numbers(data, rng):
    """A number of a tensor is NaN, infinite, or as large as a float can be."""
    _, body = split(data)
    at = len(data) - len(body) + 4 * rng.randrange(len(body) // 4)
    new = rng.choice(
        (b"\0\0\x80\x7f", b"\0\0\x80\xff", b"\0\0\xc0\x7f", b"\x01\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\1\0\0\0")
    )
    return data[:at] + new + data[at + 4 :]


def rewritten(data, rng):
    """A good file, but other tensors in it, or numbers of another type."""
    tensors = safetensors.torch.load(data)
    name = rng.choice(list(tensors))
    way = rng.randrange(5)
    if way == 0:
        del tensors[name]
    elif way == 1:
        tensors[rng.choice((*NAMES[1:4], *NAMES[5:]))] = tensors[name].clone()
    elif way == 2:
        kinds = (
            torch.float16,
            torch.bfloat16,
            torch.float64,
            torch.int64,
            torch.bool,
            torch.complex64,
            torch.float8_e5m2,
        )
        kind = rng.choice(kinds)
        tensors = {key: tensor.to(kind) if rng.random() < 0.5 else tensor for key, tensor in tensors.items()}
    elif way == 3:
        tensors[name] = tensors[name].flatten()
    else:
        tensors = {key.removeprefix("bert."): tensor for key, tensor in tensors.items()}
    return safetensors.torch.save(tensors)


def cut(data, rng):
    header = len(data) - len(split(data)[1])
    return data[: rng.choice((0, rng.randint(0, 8), rng.randint(0, header), rng.randint(0, len(data)), len(data) - 1))]


def longer(data, rng):
    return data + rng.choice((b"\0", b"\n", rng.randbytes(rng.randint(1, 1000)), data, b"\0" * len(data)))


def nonsense(data, rng):
    return rng.choice(
        (b"", b"{}", b"\0" * 8, b"PK\3\4", rng.randbytes(rng.randint(0, 500)), join(b"{}", b""), join(b"", b""))
    )


SPOIL = (
    *(
        length_field,
        offsets,
        swap,
        shapes,
        types,
        keys,
        metadata,
        nesting,
        header_bytes,
        numbers,
        rewritten,
        cut,
        longer,
    ),
    *(nonsense, flip, lambda data, rng: flip(data, rng, 0, len(data) - len(split(data)[1]))),
)


def fuzz_safetensors(count, rng, folder):
    """model.safetensors; read: every weight finite and of config.json's shape."""
    outcomes, folders = Counter(), prepare(folder)
    good = {model_class: (path / "model.safetensors").read_bytes() for model_class, path in folders.items()}
    same = {model_class: model_class.from_pretrained(path).state_dict() for model_class, path in folders.items()}
    for number, dice in rounds(count, rng):
        model_class = dice.choice(list(folders))
        path = folders[model_class]
        (path / "model.safetensors").write_bytes(dice.choice(SPOIL)(good[model_class], dice))

        def read(model_class=model_class, path=path):
            model = model_class.from_pretrained(path)
            cli.load_tokenizer(path, path, model.config)
            check_model(model, Config.from_json(path / "config.json"))
            whole = all(torch.equal(tensor, same[model_class][name]) for name, tensor in model.state_dict().items())
            return "read, the same numbers" if whole else "read, other numbers or a new head"

        outcomes[judge(number, path, read)] += 1
    return outcomes


# config.json

HUGE = (10**5, 10**6, 10**7, 65_536, 1000, 4096, 2**31, 10**18, 10**400)
HOSTILE = {
    "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "someone/evil--evil.Config"},
    "trust_remote_code": True,
    "_name_or_path": "https://localhost:9/evil",
    "torch_dtype": "evil.run",
    "architectures": ["os.system", "evil.Model"],
    "_attn_implementation": "someone/kernels:evil",
    "quantization_config": {"quant_method": "evil", "modules_to_not_convert": ["__import__('evil')"]},
    "tokenizer_class": "evil.Tokenizer",
    "__class__": "evil.Model",
    "__post_init__": "evil.run",
    "labels": "evil",
}
EVIL = "import pathlib\npathlib.Path(__file__).with_name('canary').touch()\n"


def spoil_config(text, rng):
    """The text of config.json -> bytes."""
    values = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        way = rng.randrange(7)
        if way == 0:
            key = rng.choice(list(HOSTILE))
            values[key] = rng.choice((HOSTILE[key], *ODD))
        elif way == 1:
            values[rng.choice(list(values))] = rng.choice((*ODD, *HUGE, float("nan"), float("inf"), "x" * 100_000))
        elif way == 2:
            sizes = [key for key, value in values.items() if type(value) is int] or ["vocab_size"]
            values |= {key: rng.choice(HUGE[:6]) for key in rng.sample(sizes, rng.randint(1, len(sizes)))}
        elif way == 3:
            values.pop(rng.choice(list(values)))
        elif way == 4:
            number = rng.choice((0, 1, 2, 3, 1000))
            labels = {rng.choice((str(id), id, f"0{id}")): f"L{id}" for id in range(number)}
            values["id2label"] = rng.choice((labels, {"0": rng.choice(ODD), "1": rng.choice(ODD)}, {"0": "\x1b[2J\n"}))
        elif way == 5:
            values["model_type"] = rng.choice(("roberta", "gpt2", "evil.Model", "../evil", "bert", None, ["bert"]))
        if not values:
            break
    data = json.dumps(values).encode()
    way = rng.randrange(16)
    if way == 0:
        return data[: rng.randrange(len(data))]
    if way == 1:
        return data[:-1] + b', "vocab_size": ' + str(rng.choice(HUGE)).encode() + b', "hidden_size": 6}'
    if way == 2:
        depth = rng.choice((100, 900, 950, 970, 980, 985, 990, 995, 1000, 100_000))
        nested = b"[" * depth + b"]" * depth
        return rng.choice(
            (
                nested,
                data[:-1] + b', "%s": ' % rng.choice((b"x", b"model_type", b"option", b"id2label")) + nested + b"}",
            )
        )
    if way == 3:
        return rng.choice(
            (b"\xef\xbb\xbf" + data, data.decode().encode("utf-16"), b"\xff" + data, data + b"\0", data + b"x")
        )
    if way == 4:
        return flip(data, rng)
    if way == 5:
        return data + b" " * rng.choice((10, 2**20, 2**23))
    if way == 6:
        return data[:-1] + b', "num_labels": 1' + b"0" * rng.choice((100, 5000)) + b"}"
    return data


def fuzz_config(count, rng, folder):
    """config.json; read: a model of the sizes that it says, and nothing that it names was imported."""
    outcomes, folders = Counter(), prepare(folder)
    path = folders[BertSentClassifier]
    (path / "evil.py").write_text(EVIL, encoding="utf-8")
    good = (path / "config.json").read_text(encoding="utf-8")
    for number, dice in rounds(count, rng):
        (path / "config.json").write_bytes(spoil_config(good, dice))

        def read():
            model = BertSentClassifier.from_pretrained(path)
            check_model(model, Config.from_json(path / "config.json"))
            return "read"

        outcome = judge(number, path, read)
        if (path / CANARY).exists() or any(path.glob("__pycache__/*")):
            outcome = f"fault in file {number}: code was run"
        outcomes[outcome] += 1
    return outcomes


# vocab.txt and tokenizer_config.json


def spoil_vocab(data, rng):
    lines = data.split(b"\n")[:-1]
    end = b"\n"
    at = rng.randrange(len(lines))
    way = rng.randrange(13)
    if way == 0:
        lines[at] = rng.choice(lines)
    elif way == 1:
        lines.pop(at)
    elif way == 2:
        lines.insert(
            at, rng.choice((b"", b" ", b"new", b"\0", b"\xe2\x80\xa8", b"\xc2\x85", b"\r", b"x" * 1_000_000, b"##"))
        )
    elif way == 3:
        lines[at] += rng.choice(
            (b" ", b"\r", b"\t", b"\xe2\x80\xa8", b"\0", b"\xcc\x81", b"\xff", b"\xed\xa0\x80", b"\x1b[2J")
        )
    elif way == 4:
        return rng.choice((b"\xef\xbb\xbf" + data, data.decode().encode("utf-16"), data.decode().encode("utf-32")))
    elif way == 5:
        end = rng.choice((b"\r\n", b"\r", b"\n\n", b"\xe2\x80\xa8", b"\x0b"))
    elif way == 6:
        return data[: rng.randrange(len(data))]
    elif way == 7:
        return rng.choice(
            (b"", b"\n", rng.randbytes(rng.randint(1, 300)), b"[UNK]", b"x" * 2_000_000, b"\n" * 1000, b" " * 2**25)
        )
    elif way == 8:
        return flip(data, rng)
    elif way == 9:
        lines += [b"extra%d" % number for number in range(rng.choice((1, 1000)))]
    elif way == 10:
        rng.shuffle(lines)
    elif way == 11:
        return data + rng.choice((b"\n", b"\0", b"x", b"\xef\xbb\xbf"))
    return end.join(lines) + end


def spoil_settings(text, rng):
    """tokenizer_config.json, spoilt as config.json is, or one of its settings."""
    if rng.random() < 0.3:
        return spoil_config(text, rng)
    values = json.loads(text)
    values[rng.choice((*values, "tokenize_chinese_chars", "auto_map"))] = rng.choice((*ODD, *HUGE, False))
    return json.dumps(values).encode()


def fuzz_vocab(count, rng, folder):
    """vocab.txt, tokenizer_config.json; read: each token's id is its line, and no id is beyond the model's."""
    outcomes, folders = Counter(), prepare(folder)
    path = folders[BertSentClassifier]
    vocab, settings = (path / "vocab.txt").read_bytes(), (path / "tokenizer_config.json").read_text(encoding="utf-8")
    for number, dice in rounds(count, rng):
        of_settings = dice.random() < 0.25
        data = vocab if of_settings else spoil_vocab(vocab, dice)
        (path / "vocab.txt").write_bytes(data)
        (path / "tokenizer_config.json").write_bytes(
            spoil_settings(settings, dice) if of_settings else settings.encode()
        )

        def read(data=data):
            tokenizer = cli.load_tokenizer(path, path, CONFIG)
            lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
            lines = [line.removesuffix(b"\r").decode() for line in (lines if lines[-1] else lines[:-1])]
            lines = [line.rstrip(WHITE) or line for line in lines]
            assert tokenizer.vocab == {token: id for id, token in enumerate(lines)}, "other ids than the lines'"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a stored length may cut this text
                ids = tokenizer("The film [MASK] was wörthless\u2028!", truncation=True)["input_ids"]
            assert max(ids) < CONFIG.vocab_size, "an id beyond the model's vectors"
            tokenizer.decode(ids)
            return "read, as it was" if data == vocab else "read, another vocabulary"

        outcomes[judge(number, path, read)] += 1
    return outcomes


# sentencepiece.bpe.model


def spoil_sentencepiece(data, rng):
    at, lie = rng.randrange(len(data)), rng.choice((0, 1, 5, 127, 128, 255, rng.randrange(256)))
    return rng.choice(
        (
            flip(data, rng),
            flip(data, rng, 0, 900),  # the pieces, for most of a small model is its rules
            data[:at],
            data[:at] + data[at + rng.randint(1, 9) :],
            data[:at] + bytes([lie]) + data[at + 1 :],
            data[: at % 900] + bytes([lie]) + data[at % 900 + 1 :],
            data + rng.choice((b"\0", b"\n", data, rng.randbytes(rng.randint(1, 99)))),
            rng.randbytes(rng.randint(0, 200)),
        )
    )


def fuzz_sentencepiece(count, rng, folder):
    """sentencepiece.bpe.model; read: the pieces of a text are the text, and no id is beyond the vocabulary."""
    outcomes, good = Counter(), sentencepiece()
    path = folder / "sentencepiece.bpe.model"
    folder.mkdir(exist_ok=True)
    for number, dice in rounds(count, rng):
        data = spoil_sentencepiece(good, dice)
        path.write_bytes(data)

        def read(data=data):
            tokenizer = XLMRobertaTokenizer.from_pretrained(folder)
            text = "the good\tﬁlm ① <mask> wörthless\u2028A!"
            ids = tokenizer.encode(text, allow_special=True)
            assert 0 <= min(ids) <= max(ids) < len(tokenizer), "an id beyond the vocabulary"
            assert "".join(tokenizer.model.pieces(text)) == tokenizer.model.normalise(text), (
                "pieces that are not the text"
            )
            tokenizer.decode(ids)
            return "read, as it was" if data == good else "read, another model"

        outcomes[judge(number, folder, read)] += 1
    return outcomes


# pytorch_model.bin

CODE = b"__import__('pathlib').Path('canary').touch()"
CALLS = [  # module, name, an argument that would leave a canary
    *((b"builtins", name, CODE) for name in (b"eval", b"exec", b"__import__", b"compile", b"getattr", b"open")),
    *((b"__builtin__", name, CODE) for name in (b"eval", b"execfile", b"apply")),
    *((module, b"system", b"touch canary") for module in (b"os", b"posix", b"nt")),
    (b"subprocess", b"check_output", b"touch canary"),
    (b"io", b"open", b"canary"),
    (b"_io", b"FileIO", b"canary"),
    (b"pathlib", b"Path.touch", b"canary"),
    (b"functools", b"partial", b"canary"),
    (b"operator", b"attrgetter", b"system"),
    (b"torch", b"load", b"other.pt"),
    (b"torch.serialization", b"load", b"other.pt"),
    (b"torch.hub", b"load", b"canary"),
    (b"torch.storage", b"_load_from_bytes", b"canary"),
    (b"torch._utils", b"_rebuild_tensor_v2", b"canary"),
    (b"torch._tensor", b"_rebuild_from_type_v2", b"canary"),
    (b"torch.nn.parameter", b"Parameter", b"canary"),
    (b"collections", b"OrderedDict", b"canary"),
    (b"numpy.core.multiarray", b"_reconstruct", b"canary"),
    (b"numpy.core.multiarray", b"scalar", b"canary"),
    (b"argparse", b"Namespace", b"canary"),
    (b"pickle", b"loads", b"cos\nsystem\n(S'touch canary'\ntR."),
    (b"minbert.legacy", b"StandIn", b"canary"),
]


def word(text):
    return b"X" + len(text).to_bytes(4, "little") + text


def call(rng):
    """The bytes of a pickle that would call something, in one of the ways there are."""
    module, name, argument = rng.choice(CALLS)
    named = b"c" + module + b"\n" + name + b"\n"
    return rng.choice(
        (
            named + word(argument) + b"\x85R",  # GLOBAL, REDUCE
            word(module) + word(name) + b"\x93" + word(argument) + b"\x85R",  # STACK_GLOBAL
            b"(" + word(argument) + b"i" + module + b"\n" + name + b"\n",  # INST
            b"(" + named + word(argument) + b"o",  # OBJ
            named + word(argument) + b"\x85\x81",  # NEWOBJ
            named + word(argument) + b"\x85}\x92",  # NEWOBJ_EX
            named + b")\x81" + b"}" + word(b"__setstate__") + named + b"sb" + word(argument) + b"b",  # BUILD
            named + b")\x81N}" + word(b"__class__") + named + b"s\x86b",  # BUILD, slots
            b"\x82\x01",  # EXT1
            b"S'" + argument + b"'\n" + named + b"0",  # STRING, POP
            named,
        )
    )


def bomb(rng):
    """A few bytes that ask for much: of memory, of depth, of time."""
    size = rng.choice((10**6, 2**31 - 1, 2**32 - 1, 2**63 - 1, 10**12))
    number = b"\x8a\x08" + min(size, 2**63 - 1).to_bytes(8, "little")
    levels = b"".join(b"h%ch%c\x86q%c" % (level, level, level + 1) for level in range(rng.choice((10, 60, 200))))
    return rng.choice(
        (
            b"X" + min(size, 2**32 - 1).to_bytes(4, "little") + b"x",  # BINUNICODE
            b"\x8d" + size.to_bytes(8, "little") + b"x",  # BINUNICODE8
            b"\x8e" + size.to_bytes(8, "little") + b"x",  # BINBYTES8
            b"B" + min(size, 2**32 - 1).to_bytes(4, "little") + b"x",  # BINBYTES
            b"\x8b" + min(size, 2**31 - 1).to_bytes(4, "little") + b"x",  # LONG4
            b"cbuiltins\nbytearray\n" + number + b"\x85R",
            b"ctorch\nFloatTensor\n" + number + b"\x85R",
            b"ctorch\nTensor\n" + number + number + b"\x86R",
            b"c_codecs\nencode\n" + word(b"x") + word(b"idna") + b"\x86R",
            word(b"lol") + b"\x85q\0" + levels,  # a tuple of two tuples of two tuples of ...
            b"]" * 100_000,
            b"(" * 100_000,
            b")" + b"\x85" * 100_000,  # a tuple in a tuple in a tuple ...
            b"I" + b"9" * 100_000 + b"\n",
            b"j" + b"\xff" * 4,  # LONG_BINGET
            b"]r" + b"\xff" * 4,  # LONG_BINPUT
        )
    )


def spoil_pickle(data, rng):
    """The pickle of a state_dict, or of what looks like one."""
    way = rng.randrange(8)
    if way == 0:
        return flip(data, rng)
    if way == 1:
        return data[: rng.randrange(len(data))]
    if way == 2:
        at, to = rng.randrange(len(data)), rng.randrange(len(data))
        return data[:at] + data[to : to + rng.randint(1, 50)] + data[at:]
    if way == 3:
        return b"\x80" + bytes([rng.choice((0, 1, 2, 2, 2, 3, 4, 5, 255))]) + bomb(rng) + b"."
    content = call(rng) if way < 7 else bomb(rng)
    if way == 4:
        return b"\x80\x02" + content + b"."
    if way == 5:
        return b"\x80\x02}" + word(b"bert.pooler.dense.bias") + content + b"s."
    at = data.index(b"X")  # before the first name
    return data[:at] + word(b"more") + content + data[at:]


def old_format(model):
    buffer = io.BytesIO()
    torch.save(model, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def spoil_bin(data, rng):
    """A file of torch.save: its pickle spoilt, its archive, or a bare pickle."""
    way = rng.randrange(10)
    if way == 0:
        return flip(data, rng)
    if way == 1:
        return data[: rng.randrange(len(data))]
    if way == 2:
        return spoil_pickle(pickle.dumps({"a": [1.0, (2, "x")]}, protocol=2), rng)  # as torch before 1.6 begins
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    compression = zipfile.ZIP_STORED
    if way == 3:
        members[name] = flip(members[name], rng) if members[name] else b"x"
    elif way == 4:
        del members[name]
    elif way == 5:
        members[rng.choice((name + "x", "../canary", "/tmp/canary", "archive/constants.pkl", "archive/code/a.py"))] = (
            b"x"
        )
    elif way == 6:
        compression = zipfile.ZIP_DEFLATED
        members[name] = bytes(rng.choice((100, 10**6, 10**8)) if rng.random() < 0.1 else 1000)
    else:
        pickled = next(name for name in members if name.endswith("data.pkl"))
        members[pickled] = spoil_pickle(members[pickled], rng)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def fuzz_bin(count, rng, folder):
    """pytorch_model.bin; read: every weight finite and of config.json's shape, and nothing was run."""
    outcomes, folders = Counter(), prepare(folder)
    path, here = folders[BertSentClassifier], Path.cwd()
    state = safetensors.torch.load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    os.chdir(path)  # where a canary would be left
    try:
        for number, dice in rounds(count, rng):
            (path / "pytorch_model.bin").write_bytes(spoil_bin(buffer.getvalue(), dice))

            def read():
                check_model(BertSentClassifier.from_pretrained(path), CONFIG)
                return "read"

            outcome = judge(number, path, read)
            outcomes[outcome if not any(folder.rglob(CANARY)) else f"fault in file {number}: code was run"] += 1
    finally:
        os.chdir(here)
    return outcomes


def fuzz_kit(count, rng, folder):
    """A course kit's one file; read: a whole folder was made of it, and nothing was run; refused: none was."""
    outcomes, folders, here = Counter(), prepare(folder), Path.cwd()
    state = {f"bert.{name}": tensor for name, tensor in BertSentClassifier(CONFIG).bert.state_dict().items()}
    content = {
        "model": state | {"my.layer.weight": torch.ones(2, CONFIG.hidden_size), "my.layer.bias": torch.zeros(2)},
        "optim": {"state": {0: {"step": 1, "exp_avg": torch.ones(3)}}, "param_groups": [{"betas": (0.9, 0.999)}]},
        "args": argparse.Namespace(train="train.txt", lr=1e-5, use_gpu=False),
        "model_config": SimpleNamespace(hidden_dropout_prob=0.3, num_attention_heads=2, data_dir="."),
        "system_rng": random.Random(0).getstate(),
        "numpy_rng": np.random.RandomState(0).get_state(),
        "torch_rng": torch.zeros(8, dtype=torch.uint8),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    vocab, out = folders[BertSentClassifier] / "vocab.txt", folder / "out"
    os.chdir(folder)
    try:
        for number, dice in rounds(count, rng):
            (folder / "kit.pt").write_bytes(spoil_bin(buffer.getvalue(), dice))

            def read():
                with contextlib.redirect_stdout(io.StringIO()) as told:
                    legacy.main([str(folder / "kit.pt"), str(out), "--vocab", str(vocab)])
                assert all(line.isprintable() for line in told.getvalue().splitlines()), (
                    "what is told is not for people"
                )
                model = BertSentClassifier.from_pretrained(out)
                check_model(model, model.config)
                cli.load_tokenizer(out, out, model.config)
                return "read"

            outcome = judge(number, folder, read)
            if outcome == "refused" and out.exists():
                outcome = f"fault in file {number}: refused, but a folder was made"
            shutil.rmtree(out, ignore_errors=True)
            outcomes[outcome if not any(folder.rglob(CANARY)) else f"fault in file {number}: code was run"] += 1
    finally:
        os.chdir(here)
    return outcomes


FUZZERS = {
    "model.safetensors": fuzz_safetensors,
    "config.json": fuzz_config,
    "vocab.txt": fuzz_vocab,
    "sentencepiece.bpe.model": fuzz_sentencepiece,
    "pytorch_model.bin": fuzz_bin,
    "kit.pt": fuzz_kit,
}
