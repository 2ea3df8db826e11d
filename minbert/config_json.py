"""config.json: what a model's folder says of itself. Read as plain data, honoured or refused; written so that Hugging
Face reads the same model from it."""

import json
from pathlib import Path

from minbert.errors import UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.jsonfile import quoted, read_json

REQUIRED = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    "max_position_embeddings",
)
# Keys that would change the computation if they held anything but these.
SUPPORTED = {
    "model_type": ("bert", None),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}


def read_config(path, names):
    """The fields called `names` that config.json holds, {name: value}; unknown keys are ignored, nothing is run.

    Raises UserError if the file does not describe a model that this package computes.
    """
    values = read_json(path)
    check_format(path, values)
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise UserError(f"{path}: does not describe a BERT, it lacks {', '.join(missing)}")
    for key, legal in SUPPORTED.items():
        if values.get(key) not in legal:
            raise UserError(f"{path}: {key} is {quoted(values[key])}, but only {legal[0]!r} is supported")
    chosen = {name: value for name, value in values.items() if name in names}
    if labels := read_labels(path, values.get("id2label")):
        chosen["num_labels"] = len(labels)
    chosen["labels"] = () if labels == default_labels(len(labels)) else labels
    return chosen


def write_config(path, values, architecture):
    """Write config.json: the fields of a Config, {name: value}, for Hugging Face's class called `architecture`."""
    values = values | {"model_type": "bert", "architectures": [architecture], KEY: FORMAT}
    labels = values.pop("labels") or default_labels(values["num_labels"])
    values["id2label"] = {str(id): name for id, name in enumerate(labels)}
    values["label2id"] = {name: id for id, name in enumerate(labels)}
    Path(path).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def default_labels(number):
    """The names that Hugging Face gives to classes without names."""
    return tuple(f"LABEL_{id}" for id in range(number))


def read_labels(path, id2label):
    """The names in config.json's id2label, in the order of their ids; () if it holds none."""
    if not isinstance(id2label, dict) or not id2label:
        return ()
    if any(isinstance(label, (dict, list)) for label in id2label.values()):
        raise UserError(f"{path}: id2label must name each class by a word")
    labels = tuple(str(id2label.get(str(id))) for id in range(len(id2label)))
    if set(id2label) != {str(id) for id in range(len(id2label))} or len(set(labels)) != len(labels):
        raise UserError(f"{path}: id2label must name the classes 0 to {len(id2label) - 1}, each differently")
    return labels
