"""A model's name -> a directory -> a filled model, strictly; and back.

Every tensor of the checkpoint is placed by its full name, dropped on purpose, or an error; every tensor of the model is
filled, reported as new, or an error. What a model is, its class says in three words (see `Pretrained`).
"""

import logging
import warnings
from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.format import FORMAT, KEY
from minbert.weights import hub
from minbert.weights.fill import check_size, fill, same_classes
from minbert.weights.read import read_tensors

log = logging.getLogger("minbert")


class Pretrained(nn.Module):
    """What a model and the models on top of it have in common: a folder of weights. A class declares

    architecture  the name of Hugging Face's class that computes the same from the same weights
    names         weights.names.Names: what its weights are called elsewhere
    prefix        what stands before the encoder's names in its own: "" or "bert."
    config_class  how its config.json is read
    """

    architecture = names = prefix = config_class = None

    @classmethod
    def from_pretrained(cls, name, missing_head="new", new_head=None, **changes):
        """A model with the weights of a directory, or of a model's name (see minbert.weights.hub).

        changes       go to its Config: num_labels, labels, option, pooling, ...
        missing_head  what to do where the checkpoint has no head that fits: "new", a random one, with a warning;
                      "error", raise UserError
        new_head      the older name: True is "new", False is "error"
        """
        if new_head is not None:
            warnings.warn("new_head is now missing_head='new' or 'error'", DeprecationWarning, stacklevel=2)
            missing_head = "new" if new_head else "error"
        return from_pretrained(cls, name, missing_head, **changes)

    def save_pretrained(self, directory, dtype=None):
        """Write model.safetensors and config.json, which from_pretrained and Hugging Face's class read back.

        dtype  what to store the numbers as: torch.float16 halves the file; None: as they are
        """
        save_pretrained(self, directory, dtype)


def from_pretrained(model_class, name, missing_head="new", **changes):
    """Build model_class with the sizes of a checkpoint and fill it; the Report is left in model.loaded.

    name          what hub.find takes; the Report calls the checkpoint so
    missing_head  as in Pretrained.from_pretrained
    changes       fields of Config that shall differ from the checkpoint's
    Raises UserError for a checkpoint that does not fit, listing every tensor at fault, or the head that it lacks.
    """
    directory = hub.find(name)
    stored = model_class.config_class.from_json(directory / "config.json")
    if "labels" in changes:
        changes.setdefault("num_labels", len(changes["labels"]) or stored.num_labels)
    elif changes.get("num_labels", stored.num_labels) != stored.num_labels:
        changes["labels"] = ()
    tensors = read_tensors(directory)
    check_size(directory / "config.json", stored, tensors)
    model = model_class(stored.change(**changes))
    model.loaded = fill(model, tensors, name, missing_head, same_classes(stored, model.config))
    log.log(logging.WARNING if model.loaded.new else logging.INFO, "%s", model.loaded)
    return model


def save_pretrained(model, directory, dtype=None):
    """Write model.safetensors under Hugging Face's names, and config.json, whole or not at all. Makes the directory.

    dtype  what to store the numbers as: torch.float16 halves the file; None: as they are. Read back they are float32.
    Raises UserError if the files cannot be written, or a number is too large for dtype.
    """
    directory = Path(directory)
    if not all(value.is_floating_point() for value in model.state_dict().values()):
        raise UserError(f"{directory}: not written, a model in int8 only predicts: save it before it is quantized")
    tensors = {model.names.published(name): value.detach().cpu() for name, value in model.state_dict().items()}
    tensors = {name: value.to(dtype or value.dtype).contiguous() for name, value in tensors.items()}
    if "cls.predictions.decoder.weight" in tensors:  # an untied decoder has a bias of its own in Hugging Face's class
        tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()
    if spoilt := [name for name, value in tensors.items() if not value.isfinite().all()]:
        stored_as = f" as {str(dtype).removeprefix('torch.')}" if dtype else ""
        raise UserError(f"{directory}: not written, for these would hold NaN or Inf{stored_as}: {', '.join(spoilt)}")
    with atomic_write(directory / "config.json") as config:
        model.config.to_json(config, model.architecture)
        with atomic_write(directory / "model.safetensors") as file:  # both are there before either gets its name
            file.write_bytes(safetensors.torch.save(tensors, {"format": "pt"}))  # save_file's nobody else could read


def save_course_checkpoint(model, path):
    """Write the course kits' single file: {"model": state_dict, "model_config": {...}}, under our names.

    A notebook reads it as it always did: torch.load, BertSentClassifier(saved["model_config"]), load_state_dict. The
    config is a plain dict, so that torch.load needs no pickled class.
    """
    config = asdict(model.config) | {"labels": list(model.config.labels), "data_dir": ".", KEY: FORMAT}
    state = {name: value.cpu() for name, value in model.state_dict().items()}
    try:
        with atomic_write(path) as new:
            torch.save({"model": state, "model_config": config}, new)
    except RuntimeError as error:  # torch's, of a full disk
        raise UserError(f"{path}: the checkpoint could not be written ({error})") from None
