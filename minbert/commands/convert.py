"""Open the one-file checkpoint of a course kit, FILE.pt, without running anything in it, and make a folder of it.

    python -m minbert.legacy flexible-10-1e-05.pt runs/mine
    python train_classifier.py --eval_only --model runs/mine --test my-test.txt

The kits save {"model": weights, "optim": ..., "args": ..., "model_config": ..., the states of three random generators},
some of it as objects of Python, for which torch.load wants to trust the file. Here only tensors and plain containers
are made; where a setting or a random generator's state needs another class, an object that can do nothing stands in its
place. A file that asks for any other code is refused, and the code is named.

What was inside is printed. The weights and sizes go to OUT/model.safetensors and OUT/config.json. The vocabulary is not
in such a file, so OUT/vocab.txt comes from --vocab: a vocab.txt, or a model that has it; bert-base-uncased, which the
kits use, unless you name another. Where that cannot be downloaded, all-MiniLM-L6-v2 has the same one: `make weights`
gets it, and --vocab all-MiniLM-L6-v2 takes it. The classifier may have any name, but is one linear layer that reads the
pooler's output, as in the kits. Nor does a kit's file say how many attention heads there are: one for each 64 of the
hidden size, as in bert-base, unless you say --heads.

Exit status: 0 done, 2 something you can put right, with the reason; then nothing is written.
"""

import re
from pathlib import Path
from types import SimpleNamespace

from minbert.commands import common
from minbert.config import Config
from minbert.errors import UserError
from minbert.heads import BertSentClassifier
from minbert.jsonfile import quoted
from minbert.tokenizer import BertTokenizer, read_settings, read_vocab
from minbert.weights.fill import check_size, fill
from minbert.weights.read import named_tensors, unpickle

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
QUOTES = "'\""


class StandIn:
    """Takes the place of an object of some other class: keeps what it is told, and does nothing."""

    state = None

    def __init__(self, *arguments):
        pass

    def __setstate__(self, state):
        self.state = state


# What a kit's file holds besides tensors: its settings, and the state of numpy's generator as numpy 1 and 2 write it.
STOOD_IN_FOR = (
    *("argparse.Namespace", "types.SimpleNamespace"),
    *("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype"),
)


def main(arguments):
    args = parse(arguments)
    path, out = Path(args.file), Path(args.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already; name a new folder")
    if not path.exists():
        raise UserError(f"{path}: no such file")
    content = unpickle(path, [(StandIn, name) for name in STOOD_IN_FOR])
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not a checkpoint")
    stored = named_tensors(path, content.get("model", content))
    tensors = {
        BertSentClassifier.names.published(name): tensor for name, tensor in stored.items()
    }  # train_classifier.py's are ours
    if len(tensors) < len(stored):
        raise UserError(f"{path}: holds the same weights twice")
    renamed = name_classifier(path, tensors)
    config = read_config(path, tensors, content.get("model_config"), args)
    tokenizer = read_tokenizer(args.vocab)
    if len(tokenizer) != config.vocab_size:
        sizes = f"has vectors for {config.vocab_size} tokens, but the vocabulary of {args.vocab} has {len(tokenizer)}"
        raise UserError(f"{path}: {sizes}; name its own with --vocab")
    tokenizer.max_length = min(tokenizer.max_length, config.max_position_embeddings)
    check_size(path, config, tensors)
    model = BertSentClassifier(config)
    loaded = fill(model, tensors, path, missing_head="error")
    heads = (
        f"{config.num_attention_heads} attention heads of {config.hidden_size // config.num_attention_heads} numbers"
    )
    print(loaded, *renamed, heads, *describe(content), sep="\n  ")
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    print(f"{out}\n  config.json, model.safetensors, vocab.txt (of {args.vocab}), tokenizer_config.json")


def parse(arguments):
    parser = common.Parser("python -m minbert.legacy", __doc__)
    parser.add_argument("file", metavar="FILE", help="what the kit wrote, such as flexible-10-1e-05.pt")
    parser.add_argument("out", metavar="OUT", help="the folder to make")
    parser.add_argument(
        "--vocab", default="bert-base-uncased", metavar="NAME", help="a vocab.txt or a model; default: %(default)s"
    )
    parser.add_argument("--heads", type=common.natural, metavar="N", help="attention heads; default: see above")
    parser.add_argument("--labels", nargs="+", metavar="NAME", help="what the classes are called; default: 0, 1, ...")
    return parser.parse_args(arguments)


def fields(object):
    """The settings in a dict, or in what stands for a namespace: {name: value}; {} if there are none."""
    values = object.state if isinstance(object, StandIn) else object
    return {name: value for name, value in values.items() if isinstance(name, str)} if isinstance(values, dict) else {}


def name_classifier(path, tensors):
    """Call a classifier of another name `classifier`, in place; returns what there is to tell about it.

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


def read_config(path, tensors, stated, args):
    """The Config that the tensors' shapes tell; where they do not, args, or the model_config: a dict or a stand-in."""
    found, _, _ = BertSentClassifier.names.translate(tensors)
    lacking = [name for name, _ in SIZES.values() if name not in found or found[name].ndim != 2]
    if lacking:
        names = ", ".join(BertSentClassifier.names.published(name) for name in lacking)
        raise UserError(f"{path}: is no BERT with a classifier, it lacks {names}")
    sizes = {size: found[name].shape[at] for size, (name, at) in SIZES.items()}
    sizes["num_hidden_layers"] = len({match[0] for name in found if (match := re.match(r"encoder\.layers\.\d+", name))})
    values = fields(stated) | sizes | ({"num_attention_heads": args.heads} if args.heads else {})
    if not values.get("num_attention_heads"):
        if sizes["hidden_size"] % HEAD_SIZE:
            raise UserError(f"{path}: its hidden size is {sizes['hidden_size']}: say how many --heads it is split into")
        values["num_attention_heads"] = sizes["hidden_size"] // HEAD_SIZE
    if args.labels or not isinstance(values.get("labels", ()), (list, tuple)):
        values["labels"] = args.labels or ()
    try:
        return Config.of(SimpleNamespace(**values) if isinstance(stated, StandIn) else values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def read_tokenizer(name):
    """The tokenizer of a vocab.txt, or of a model."""
    path = Path(name)
    if not path.is_file():
        try:
            return BertTokenizer.from_pretrained(name)
        except UserError as error:
            reason = str(error).partition("\n")[0]
            raise UserError(f"{reason} Name a vocab.txt, or a model that has it: --vocab all-MiniLM-L6-v2") from None
    tokens = read_vocab(path)
    return BertTokenizer(tokens, **read_settings(path.with_name("tokenizer_config.json"), tokens))


def describe(content):
    """What else was in the file, a line each."""
    if "model" not in content:
        return []
    lines = []
    for name, value in content.items():
        if name in ("args", "model_config"):
            settings = (f"{plain(key).strip(QUOTES)}={plain(setting)}" for key, setting in fields(value).items())
            lines.append(f"{name}: {', '.join(settings)}")
        elif name != "model":
            why = LEFT_OUT.get(name, "nobody here knows what it is")
            lines.append(f"{plain(name).strip(QUOTES)}: left out, {why}")
    return lines


def plain(value):
    """A setting for people to read."""
    return quoted(value) if isinstance(value, (str, int, float, type(None))) else f"a {type(value).__name__}"


def run():
    return common.run(main)
