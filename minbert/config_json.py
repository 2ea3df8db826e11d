"""config.json, the description in a model's folder.

Reading runs no code, and refuses settings that this package does not support. Hugging Face reads the same model from
the file that is written.
"""

import json
from pathlib import Path

from minbert.errors import UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.jsonfile import quoted, read_json

REQUIRED = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    "max_position_embeddings",
)
# Keys that change the computation, with the only values that are supported.
SUPPORTED = {
    "model_type": ("bert", None),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}


def read_config(path: Path, names: set[str]) -> dict:
    """The fields `names` of a config.json, {name: value}; other keys are ignored.

    Raises UserError if the file does not describe a model that this package computes.
    """
    values = read_json(path)
    check_format(path, values)
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise UserError(f"{path}: does not describe a BERT: it lacks {', '.join(missing)}")
    for key, legal in SUPPORTED.items():
        if values.get(key) not in legal:
            raise UserError(f"{path}: {key} is {quoted(values[key])}, but only {legal[0]!r} is supported")
    chosen = {name: value for name, value in values.items() if name in names}
    if labels := read_labels(path, values.get("id2label")):
        chosen["num_labels"] = len(labels)
    chosen["labels"] = () if labels == default_labels(len(labels)) else labels
    return chosen


def write_config(path: str | Path, values: dict, architecture: str) -> None:
    """Write config.json from the fields of a Config, {name: value}, for Hugging Face's class `architecture`."""
    values = values | {"model_type": "bert", "architectures": [architecture], KEY: FORMAT}
    labels = values.pop("labels") or default_labels(values["num_labels"])
    values["id2label"] = {str(id): name for id, name in enumerate(labels)}
    values["label2id"] = {name: id for id, name in enumerate(labels)}
    Path(path).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def default_labels(number: int) -> tuple[str, ...]:
    """Hugging Face's names for unnamed classes."""
    return tuple(f"LABEL_{id}" for id in range(number))


def read_labels(path: Path, id2label) -> tuple[str, ...]:
    """The class names in config.json's id2label, in the order of their ids; () if there are none."""
    if not isinstance(id2label, dict) or not id2label:
        return ()
    if any(isinstance(label, (dict, list)) for label in id2label.values()):
        raise UserError(f"{path}: id2label must map each class to a name")
    labels = tuple(str(id2label.get(str(id))) for id in range(len(id2label)))
    if set(id2label) != {str(id) for id in range(len(id2label))} or len(set(labels)) != len(labels):
        raise UserError(f"{path}: id2label must name the classes 0 to {len(id2label) - 1}, each differently")
    return labels
