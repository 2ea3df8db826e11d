"""A checkpoint directory -> a filled model, strictly; and back.

Every tensor of the checkpoint is put in its place by its full name, dropped on purpose, or an error; every tensor of
the model is filled, announced as new, or an error.
"""

import io
import logging
import pickle
import pickletools
import re
import warnings
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch

from minbert import bert, hub
from minbert.checkpoint import whole
from minbert.config import Config, shown
from minbert.errors import UserError
from minbert.format import FORMAT, KEY

LISTED = 50  # tensors that do not fit
TUPLES, REPEATED = 50_000, 40  # in a pickle; a model of 1,000 tensors has some 3,000, and repeats one or two
SPARE = 2**24  # numbers that config.json may ask for beyond those stored
FAMILIES = {"bert": bert}  # config.json's model_type: the module that knows this family's names
LAYER = re.compile(r"(?<=\.)(0|[1-9][0-9]*)(?=\.)")  # a whole number alone between dots

log = logging.getLogger("minbert")


@dataclass
class Report:
    """What became of a checkpoint's tensors; as a string, one line for people."""

    source: str
    loaded: int
    new: list
    dropped: list

    def __str__(self):
        new = f"; new, with random weights: {', '.join(self.new)}" if self.new else ""
        dropped = f"; left out: {', '.join(self.dropped)}" if self.dropped else ""
        return f"{self.source}: {self.loaded} tensors loaded{new}{dropped}"


def from_pretrained(model_class, name, new_head=True, **changes):
    """Build model_class with the sizes of a checkpoint and fill it; the Report is left in model.loaded.

    name      what minbert.hub.find takes; the Report calls the checkpoint so
    new_head  whether a head of the model may be new where the checkpoint has none that fits
    changes   fields of Config that shall differ from the checkpoint's
    Raises UserError for a checkpoint that does not fit, listing every tensor at fault, or the head that it lacks.
    """
    directory = hub.find(name)
    stored = Config.from_json(directory / "config.json")
    if "labels" in changes:
        changes.setdefault("num_labels", len(changes["labels"]) or stored.num_labels)
    elif changes.get("num_labels", stored.num_labels) != stored.num_labels:
        changes["labels"] = ()
    tensors = read(directory)
    check_size(directory / "config.json", stored, tensors)
    model = model_class(stored.change(**changes))
    model.loaded = fill(model, tensors, name, new_head, same_classes(stored, model.config))
    log.log(logging.WARNING if model.loaded.new else logging.INFO, "%s", model.loaded)
    return model


def same_classes(stored, wanted):
    """Whether a stored classifier answers the question that is asked now."""
    if stored.num_labels != wanted.num_labels:
        return False
    return not stored.labels or not wanted.labels or stored.labels == wanted.labels


def check_size(path, config, tensors):
    """Raise UserError for sizes that the tensors do not fill, by far: before a model of these sizes takes memory."""
    held = sum(tensor.numel() for tensor in tensors.values())
    if config.encoder_size() > held + SPARE:
        sizes = f"an encoder of {config.encoder_size():,} numbers, but the weights are {held:,}"
        raise UserError(f"{path}: describes {sizes}")


def read(directory):
    """The tensors of a directory: model.safetensors, or else pytorch_model.bin, of which nothing is ever executed."""
    path = next((directory / file for file in hub.WEIGHTS if (directory / file).exists()), None)
    if path is None:
        raise UserError(f"{directory} holds no {hub.WEIGHTS[0]}")
    if path.suffix != ".safetensors":
        content = unpickle(path)
        if isinstance(content, dict) and isinstance(content.get("model"), dict):
            raise UserError(f"{path}: is a course kit's checkpoint; {hub.legacy(path)}")
        return named_tensors(path, content)
    if not path.is_file():
        raise UserError(f"{path}: is not a file")
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # its own, the file system's, a KeyError for a type of numbers that torch lacks
        raise UserError(f"{path}: cannot be read as weights; is the file whole? ({reason(error)})") from None


def unpickle(path, allowed=()):
    """What torch.save wrote, if that is tensors in plain containers: nothing in the file is run.

    allowed  what else it may hold, for torch.serialization.safe_globals
    Raises UserError for anything else, naming it.
    """
    if torch.__version__ < (2, 10):  # CVE-2026-24747
        raise UserError(f"{path}: torch {torch.__version__} opens no pickle safely: pip install -U 'torch>=2.10'")
    if not path.is_file():
        raise UserError(f"{path}: is not a file")
    try:
        for stream in pickles(path):
            if tangled(stream):
                raise UserError(f"{path}: nests tuples as torch.save never does; it is not opened")
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):
            warnings.simplefilter("ignore")  # what is odd is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # zipfile, pickle and torch each raise their own
        if not isinstance(error, pickle.UnpicklingError):
            raise UserError(f"{path}: cannot be read as weights; is the file whole? ({reason(error)})") from None
        name = re.search(r"\bGLOBAL (.+?) (?:was not an allowed|whose module)", str(error))
        held = "something" if not name else shown(name[1] if "." in name[1] else f"builtins.{name[1]}")[1:-1]
        remedy = f"; {hub.legacy(path)}" if held in ("argparse.Namespace", "types.SimpleNamespace") else ""
        raise UserError(
            f"{path}: holds {held}, which is neither tensor nor plain container: refused, nothing in it was run{remedy}"
        ) from None


def pickles(path):
    """The pickles in a file of torch.save, each as a stream at its beginning. Raises UserError for compressed ones."""
    with open(path, "rb") as file:
        if file.read(4) == b"PK\3\4":  # as torch tells its formats apart
            with zipfile.ZipFile(file) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
                    raise UserError(f"{path}: is compressed, which torch.save never does; it is not opened")
                for entry in archive.infolist():
                    if entry.filename.lower().endswith("data.pkl"):
                        yield io.BytesIO(archive.read(entry))
            return
        file.seek(0)
        for _ in range(5):  # before torch 1.6: a mark, a version, the machine's sizes, the content, its storages' names
            if file.peek(1):
                yield file


def tangled(stream):
    """Whether a pickle has so many tuples, or repeats them so often, that to hash one may take for ever."""
    tuples, repeated, made, is_tuple = set(), 0, 0, False  # tuples: where they are remembered
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in ("BINPUT", "LONG_BINPUT"):
            tuples |= {argument} if is_tuple else set()
        elif opcode.name != "PROTO":
            again = opcode.name in ("BINGET", "LONG_BINGET") and argument in tuples
            new = opcode.name.startswith("TUPLE")
            repeated, made, is_tuple = repeated + again, made + new, again or new
    return made > TUPLES or repeated > REPEATED


def reason(error):
    """The first line of an error's message, or its name if it has none."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return text if text.isprintable() else repr(text)


def named_tensors(path, tensors):
    """The same {name: tensor}. Raises UserError if it is something else, or claims more numbers than path can hold."""
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and type(tensor) in (torch.Tensor, torch.nn.Parameter) and is_plain(tensor)
        for name, tensor in tensors.items()
    ):
        raise UserError(f"{path}: holds something other than named tensors")
    if sum(tensor.nbytes for tensor in tensors.values()) > 2 * path.stat().st_size:  # tied ones have two names
        raise UserError(f"{path}: its tensors claim more numbers than the file holds")
    return {name: tensor.detach() for name, tensor in tensors.items()}


def is_plain(tensor):
    """Whether a tensor is an ordinary one, with all its numbers in memory."""
    return (
        tensor.device.type == "cpu" and tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_quantized)
    )


def names(family):
    """A family's tables, spelt out for each tensor.

    {"encoder.layer.{}.output.LayerNorm.gamma": "encoder.layers.{}.feed_forward_norm.weight", ...}
    """
    table = {}
    for ours, theirs in (family.NAMES | family.HEADS).items():
        leaves = {"weight": "weight", "bias": "bias"}
        if ours.endswith("norm"):  # TensorFlow's names, in checkpoints converted long ago
            leaves |= {"gamma": "weight", "beta": "bias"}
        if ours in ("embeddings.token", "embeddings.position", "embeddings.segment"):
            leaves = {"weight": "weight"}
        if ours == "predictions":
            leaves = {"bias": "bias"}
        for module in theirs:
            table |= {f"{module}.{leaf}": f"{ours}.{our_leaf}" for leaf, our_leaf in leaves.items()}
    return table


def translate(tensors, family=bert):
    """Checkpoint's names -> ours: {our name: tensor}, names of no table, descriptions of what was dropped.

    Raises UserError if two tensors of the checkpoint claim the same place.
    """
    table = names(family)
    ours, unexpected, dropped, origin = {}, [], set(), {}
    for name, tensor in tensors.items():
        plain = name.removeprefix("bert.")
        if plain in family.DROPPED:
            dropped.add(family.DROPPED[plain])
            continue
        template = None if "{" in plain else table.get(LAYER.sub("{}", plain))
        if template is None:
            unexpected.append(name if name.isprintable() and len(name) < 200 else shown(name))
            continue
        our_name = template.format(*LAYER.findall(plain))
        if our_name in ours:
            raise UserError(f"the checkpoint holds the same weights twice: {origin[our_name]} and {name}")
        ours[our_name], origin[our_name] = tensor, name
    return ours, unexpected, sorted(dropped)


def unit(name, family=bert):
    """What is there as a whole or not at all: 'predictions.dense.weight' -> 'predictions'; None for the encoder's."""
    first = name.removeprefix("bert.").partition(".")[0]
    return first if first == "pooler" or first in family.HEAD_TITLES else None


def fill(model, tensors, source="the checkpoint", new_head=True, keep_classifier=True):
    """Put a checkpoint's tensors into a model and return the Report; the model is untouched if they do not fit."""
    found, unexpected, dropped = translate(tensors)
    target = model.state_dict()
    heads = {unit(name) for name in target} - (set() if keep_classifier else {"classifier"})
    dropped += leave_out_heads(found, heads)
    dropped += settle_decoder(found, model.config, source)
    prefix = "" if isinstance(model, bert.BertModel) else "bert."
    found = {name if unit(name) in bert.HEAD_TITLES else prefix + name: tensor for name, tensor in found.items()}

    position = f"{prefix}embeddings.position.weight"
    if model.config.sinusoidal_positions and position in found:
        if not torch.equal(found[position], target[position]):
            dropped.append("learned positions")
        found[position] = target[position]  # fixed by the config, not by the checkpoint

    new = {unit(name) for name in target} - {unit(name) for name in found} - {None}
    problems = faults(found, unexpected, target, may_be_missing=[name for name in target if unit(name) in new])
    if problems:
        more = [f"  and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
        raise UserError("\n".join([f"{source} does not fit: {len(problems)} tensors", *problems[:LISTED], *more]))
    if not new_head and new - {"pooler"}:
        raise UserError(no_head(source, new - {"pooler"}))
    model.load_state_dict(target | found)
    titles = sorted(bert.HEAD_TITLES.get(name, name) for name in new)
    return Report(str(source), len(found), titles, sorted(dropped))


def leave_out_heads(found, wanted):
    """Take the heads that are not wanted out of found, {our name: tensor}; returns what they are."""
    dropped = []
    for head, title in bert.HEAD_TITLES.items():
        stored = [found.pop(name) for name in list(found) if unit(name) == head and head not in wanted]
        if stored:
            dropped.append(f"{title} of {len(stored[0])} classes" if head == "classifier" else title)
    return dropped


def settle_decoder(found, config, source):
    """Bring the ways to store a masked-LM head to one: one bias, and a decoder only if it is not the embeddings.

    Changes found, {our name: tensor}; returns what was left out. Raises UserError where two tensors that the config
    ties differ: nobody can tell which was meant. (transformers 5.23 takes the decoder's, against the config.)
    """
    dropped, tied = [], config.tie_word_embeddings
    if "predictions.decoder.bias" in found:
        second = found.pop("predictions.decoder.bias")
        if not alike(found.get("predictions.bias", second), second):
            if tied:
                raise UserError(f"{source}: cls.predictions.bias and cls.predictions.decoder.bias should not differ")
            dropped.append("cls.predictions.bias, which an untied decoder does not use")
        found["predictions.bias"] = second
    if tied and "predictions.decoder.weight" in found:
        if not alike(found.pop("predictions.decoder.weight"), found.get("embeddings.token.weight")):
            raise UserError(
                f"{source}: cls.predictions.decoder.weight should be the token embeddings, but differs; "
                "with tie_word_embeddings=False it is a matrix of its own"
            )
        dropped.append("decoder, equal to the token embeddings")
    return dropped


def alike(first, second):
    """Whether two tensors hold the same numbers, floats of whatever type; nothing is like None."""
    if second is None or first.shape != second.shape or first.is_complex() or second.is_complex():
        return False
    return torch.equal(first.double(), second.double())


def no_head(source, heads):
    """'all-MiniLM-L6-v2 has no masked-LM head (cls.predictions.*): ...', in one line"""
    lacking = " and no ".join(
        f"{title} for these classes" if head == "classifier" else f"{title} ({bert.HEADS[head][0]}.*)"
        for head, title in bert.HEAD_TITLES.items()
        if head in heads
    )
    remedy = "train a new one: new_head=True"
    if "classifier" not in heads:
        remedy = "use tiny or bert-base-uncased, or train a new one: pretrain_lm.py --model (in Python, new_head=True)"
    return f"{source} has no {lacking}: its predictions would be random; {remedy}"


def faults(found, unexpected, target, may_be_missing):
    """A line for each tensor that keeps a checkpoint from fitting, under the names that checkpoints use."""
    lines = [
        f"  missing     {published_name(name)}" for name in target if name not in found and name not in may_be_missing
    ]
    lines += [f"  unexpected  {name}" for name in unexpected]
    for name, tensor in found.items():
        if name not in target:
            lines.append(f"  unexpected  {published_name(name)}")
        elif tensor.shape != target[name].shape:
            wanted, got = list(target[name].shape), list(tensor.shape)
            lines.append(f"  wrong shape {published_name(name)}: {got}, but config.json makes it {wanted}")
        elif not tensor.is_floating_point():
            lines.append(f"  wrong type  {published_name(name)}: {str(tensor.dtype).removeprefix('torch.')}")
        elif not tensor.float().isfinite().all():  # as they will be used: float64 may hold more
            lines.append(f"  NaN or Inf  {published_name(name)}")
    return lines


def published_name(our_name, family=bert):
    """'bert.encoder.layers.3.feed_forward_norm.weight' -> 'bert.encoder.layer.3.output.LayerNorm.weight'"""
    prefix = "bert." if our_name.startswith("bert.") else ""
    module, _, leaf = our_name.removeprefix(prefix).rpartition(".")
    theirs = None if "{" in module else (family.NAMES | family.HEADS).get(LAYER.sub("{}", module))
    return f"{prefix}{theirs[0].format(*LAYER.findall(module))}.{leaf}" if theirs else our_name


def save_pretrained(model, directory, dtype=None):
    """Write model.safetensors under Hugging Face's names, and config.json, whole or not at all. Makes the directory.

    dtype  what to store the numbers as: torch.float16 halves the file; None: as they are. Read back they are float32.
    Raises UserError if the files cannot be written, or a number is too large for dtype.
    """
    directory = Path(directory)
    if not all(value.is_floating_point() for value in model.state_dict().values()):
        raise UserError(f"{directory}: not written, a model in int8 only predicts: save it before it is quantized")
    tensors = {published_name(name): value.detach().cpu() for name, value in model.state_dict().items()}
    tensors = {name: value.to(dtype or value.dtype).contiguous() for name, value in tensors.items()}
    if "cls.predictions.decoder.weight" in tensors:  # an untied decoder has a bias of its own in Hugging Face's class
        tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()
    if spoilt := [name for name, value in tensors.items() if not value.isfinite().all()]:
        stored_as = f" as {str(dtype).removeprefix('torch.')}" if dtype else ""
        raise UserError(f"{directory}: not written, for these would hold NaN or Inf{stored_as}: {', '.join(spoilt)}")
    with whole(directory / "config.json") as config:
        model.config.to_json(config, model.architecture)
        with whole(directory / "model.safetensors") as file:  # both are there before either gets its name
            file.write_bytes(safetensors.torch.save(tensors, {"format": "pt"}))  # save_file's nobody else could read


def save_course_checkpoint(model, path):
    """Write the course kits' single file: {"model": state_dict, "model_config": {...}}, under our names.

    A notebook reads it as it always did: torch.load, BertSentClassifier(saved["model_config"]), load_state_dict. The
    config is a plain dict, so that torch.load needs no pickled class.
    """
    config = asdict(model.config) | {"labels": list(model.config.labels), "data_dir": ".", KEY: FORMAT}
    state = {name: value.cpu() for name, value in model.state_dict().items()}
    try:
        with whole(path) as new:
            torch.save({"model": state, "model_config": config}, new)
    except RuntimeError as error:  # torch's, of a full disk
        raise UserError(f"{path}: the checkpoint could not be written ({error})") from None
