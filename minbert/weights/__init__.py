"""A model's name -> a directory -> a model with its weights; and back.

Loading is strict. Every tensor of the checkpoint is placed by its full name, dropped on purpose, or an error; every
tensor of the model is filled, reported as new, or an error. A model's class declares its names (see `Pretrained`).
"""

import logging
import warnings
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, fields
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from minbert.atomic import atomic_write
from minbert.config_json import PROBLEM_TYPES, other_family, unfit_classifier, unknown_keys
from minbert.errors import UserError
from minbert.format import FORMAT, KEY
from minbert.modules_json import DENSE, FILE, module_files, read_modules
from minbert.weights import hub, int8
from minbert.weights.fill import NotDrawn, check_size, fill, our_names, same_classifier
from minbert.weights.folders import WEIGHTS, unread
from minbert.weights.read import read_tensors

log = logging.getLogger("minbert")
CLASSIFIER, OF_TEXTS = "BertForSequenceClassification", "ForSequenceClassification"  # BERT's; how each family's ends
OF_TOKENS = "ForTokenClassification"
SENTENCE = "sentence_classifier"  # in files, the name of a classifier that reads no pooler


class Pretrained(nn.Module):
    """A module that can be loaded from a folder of weights, and saved in one. Its class declares

    architecture  Hugging Face's name for the class that computes the same from the same weights
    names         weights.names.Names: the names of its weights in other checkpoints
    prefix        the prefix of the encoder's names in this class: "" or names.own
    config_class  the class that reads its config.json
    output        the name of its last part, in a model for a task
    """

    architecture = names = prefix = config_class = None
    output = "classifier"

    @property
    def new_output(self) -> bool:
        """Whether its last part has random weights: it was built here, or its checkpoint had none that fits."""
        loaded = getattr(self, "loaded", None)
        return loaded is None or self.names.titles[self.output] in loaded.new

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        missing_head: str = "new",
        new_head: bool | None = None,
        random: bool = True,
        **changes,
    ):
        """A model with the weights of a directory or of a named model (see minbert.weights.hub), in evaluation mode.

        missing_head  if the checkpoint has no head that fits: "new", a random one, with a warning; "error", UserError
        new_head      the old name of missing_head: True is "new", False is "error"
        random        False, for a model that only predicts: no random numbers are drawn, and a new head is 0. Loading
                      then takes half the memory, and less than half the time
        changes       fields of its Config: num_labels, labels, option, pooling, ...
        Raises UserError for an unknown name, for a checkpoint that does not fit, and for one whose classifier finds no
        class of a text, unless labels or num_labels ask for a new one.
        """
        if new_head is not None:
            warnings.warn("new_head is now missing_head='new' or 'error'", DeprecationWarning, stacklevel=2)
            missing_head = "new" if new_head else "error"
        return from_pretrained(cls, name, missing_head, random, **changes)

    def load_state_dict(self, state_dict, strict: bool = True, assign: bool = False):
        """As in any module, and also from the names in model.safetensors, all of them or none."""
        state = int8.restore(state_dict, "the state dict")
        return super().load_state_dict(our_names(self, state), strict, assign)

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write model.safetensors and config.json for from_pretrained and for Hugging Face's class.

        Hugging Face has no class for a classifier that reads no pooler. Its folder is one of sentence-transformers
        instead, whose embeddings are the logits; a warning says so.

        dtype  the type of the stored numbers; torch.float16 halves the file, torch.int8 quarters it (matrices only, by
               rows: see minbert/weights/int8.py) for minbert alone; None: unchanged
        """
        save_pretrained(self, directory, dtype)


def from_pretrained(
    model_class: type[Pretrained], name: str | Path, missing_head: str = "new", random: bool = True, **changes
):
    """Build a model_class with the sizes of a checkpoint, and fill it; model.loaded is the Report.

    name          of a directory or a model, for hub.find; the Report repeats it
    missing_head, random  as in Pretrained.from_pretrained
    changes       fields of Config that differ from the checkpoint's
    Raises UserError for a checkpoint that does not fit; the message lists the wrong tensors, or the missing head.
    """
    directory = hub.find(name)
    path = directory / "config.json"
    form = model_class.config_class.form
    if elsewhere := other_family(path, form, model_class.__name__):
        raise UserError(elsewhere)
    stored = model_class.config_class.from_json(path)
    unfit = None
    if model_class.architecture.endswith(OF_TEXTS):
        problem = changes.setdefault("problem_type", PROBLEM_TYPES[0])
        unfit = unfit_classifier(path, form, problem)
    elif model_class.architecture.endswith(OF_TOKENS):
        unfit = unfit_classifier(path, form, of=OF_TOKENS)
    if unfit:
        if not changes.keys() & {"labels", "num_labels"}:
            raise UserError(f"{name}: its classifier {unfit}; with labels=..., you get a new one to train in its place")
        changes.setdefault("labels", ())
    modules = read_modules(directory) if model_class.architecture == CLASSIFIER else None
    if modules and modules.pooling not in (None, "cls", "mean") and "pooling" not in changes:
        ways = "choose pooling pooler, cls or mean"
        raise UserError(f"{name}: its vectors are pooled by {modules.pooling}, which is not supported: {ways}")
    if "labels" in changes:
        changes.setdefault("num_labels", len(changes["labels"]) or stored.num_labels)
    elif changes.get("num_labels", stored.num_labels) != stored.num_labels:
        changes["labels"] = ()
    tensors = read_tensors(directory)
    check_size(path, stored, tensors)
    with nullcontext() if random else NotDrawn():
        model = model_class(stored.change(**changes))
    keep = not unfit and same_classifier(stored, model.config)
    model.loaded = fill(model, tensors, name, missing_head, keep, unfit or "", random)
    model.loaded.directory = directory
    model.loaded.unknown = unknown_keys(path, {field.name for field in fields(stored)}, form)
    if modules and f"{SENTENCE}.weight" not in tensors:
        model.loaded.dropped += [f"{module} of {FILE}" for module in modules.others]
    elif modules is None and (directory / FILE).exists() and model_class.architecture.endswith(OF_TEXTS):
        model.loaded.dropped.append(f"{FILE}, whose pooling {model_class.__name__} does not have")
    model.loaded.dropped += unread(directory)
    loud = model.loaded.new or model.loaded.unknown
    log.log(logging.WARNING if loud else logging.INFO, "%s", model.loaded)
    return model


def save_pretrained(model: Pretrained, directory: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write model.safetensors, under Hugging Face's names, and config.json, atomically. Creates the directory.

    dtype  as in Pretrained.save_pretrained. Loading gives float32.
    A classifier that reads no pooler: see `not_for_transformers`. Raises UserError if the files cannot be written, or a
    number is too large for dtype.
    """
    directory = Path(directory)
    if not all(value.is_floating_point() for value in model.state_dict().values()):
        raise UserError(f"{directory}: not written: an int8 model is only for inference; save it before quantizing")
    if dtype == torch.int8 and model.architecture.endswith(OF_TEXTS):
        raise UserError(f"{directory}: not written: a classifier is not stored in 8 bits")
    published, stored_type = model.names.published, None if dtype == torch.int8 else dtype
    tensors = {published(name): value.detach().cpu() for name, value in model.state_dict().items()}
    tensors = {
        name: value.to(stored_type or value.dtype).contiguous() for name, value in model.names.pack(tensors).items()
    }
    if published("predictions.decoder.weight") in tensors:  # in Hugging Face's class an untied decoder has its own bias
        tensors[published("predictions.decoder.bias")] = tensors[published("predictions.bias")].clone()
    if invalid := [name for name, value in tensors.items() if not value.isfinite().all()]:
        stored_as = f" as {str(stored_type).removeprefix('torch.')}" if stored_type else ""
        raise UserError(f"{directory}: not written: NaN or Inf{stored_as} in {', '.join(invalid)}")
    files, architecture = {}, model.architecture
    if why := not_for_transformers(model):
        architecture, (classes, width) = "BertModel", model.classifier.weight.shape
        for part in ("weight", "bias"):
            tensors[f"{SENTENCE}.{part}"] = tensors.pop(f"classifier.{part}")
        dense = {f"linear.{part}": tensors[f"{SENTENCE}.{part}"] for part in ("weight", "bias")}
        files = {name: text.encode() for name, text in module_files(model.config.pooling, width, classes).items()}
        files[f"{DENSE}/model.safetensors"] = serialized(dense)
        log.warning("%s: %s", directory, why)
    tensors = int8.compress(tensors) if dtype == torch.int8 else tensors
    with ExitStack() as stack:  # all are on the disk before the first is renamed
        model.config.to_json(stack.enter_context(atomic_write(directory / "config.json")), architecture)
        for name, content in {WEIGHTS[0]: serialized(tensors), **files}.items():
            stack.enter_context(atomic_write(directory / name)).write_bytes(content)
    if architecture.endswith(OF_TEXTS):
        (directory / FILE).unlink(missing_ok=True)  # of a classifier that was here before


def serialized(tensors: dict[str, torch.Tensor]) -> bytes:
    """The bytes of a safetensors file. (save_file would hide it from other users of the machine.)"""
    return safetensors.torch.save(tensors, {"format": "pt"})


def not_for_transformers(model: Pretrained) -> str | None:
    """Why transformers cannot compute a model that save_pretrained has written, and who can; or None.

    Its classifier reads the pooler, and tanh stands between the pooler and any other vector. So the folder calls
    itself an encoder, its classifier has a name that transformers does not know, and sentence-transformers computes it.
    """
    if model.architecture != CLASSIFIER or model.config.pooling == "pooler":
        return None
    return (
        f"transformers cannot compute this classifier, as it reads {model.config.pooling} pooling; "
        "sentence-transformers can: SentenceTransformer(folder).encode(texts) gives the logits"
    )


def save_course_checkpoint(model: Pretrained, path: str | Path) -> None:
    """Write the course kits' single file: {"model": state_dict, "model_config": {...}}, under our names.

    A kit's notebook reads it as before: torch.load, BertSentClassifier(saved["model_config"]), load_state_dict. The
    config is a plain dict, so torch.load needs no pickled class. Raises UserError if the file cannot be written.
    """
    config = asdict(model.config) | {"labels": list(model.config.labels), "data_dir": ".", KEY: FORMAT}
    state = {name: value.cpu() for name, value in model.state_dict().items()}
    try:
        with atomic_write(path) as new:
            torch.save({"model": state, "model_config": config}, new)
    except RuntimeError as error:  # torch's error for a full disk
        raise UserError(f"{path}: the checkpoint could not be written ({error})") from None
