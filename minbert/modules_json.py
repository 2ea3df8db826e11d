"""modules.json: in a folder of sentence-transformers, what follows the encoder. Reading runs no code."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from minbert.errors import UserError
from minbert.jsonfile import quoted, read_json

FILE, POOLING, DENSE = "modules.json", "1_Pooling", "2_Dense"  # the names that sentence-transformers chooses
OLD_KEYS = {  # before version 6, a key for each way
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class Modules(NamedTuple):
    """What follows an encoder: how its vectors become one, and the names of the modules after that."""

    pooling: str | None  # "mean", "cls", "max", "cls + mean", ...
    others: list[str]  # "Dense", "Normalize", ...


def read_modules(directory: Path) -> Modules | None:
    """What modules.json and the config.json of its pooling say; None without modules.json.

    Raises UserError if the encoder is in another folder, or a file does not have the form of sentence-transformers.
    """
    path = Path(directory, FILE)
    if not path.exists():
        return None
    pooling, others = None, []
    for number, module in enumerate(read_json(path, list)):
        kind, folder = (module.get("type"), module.get("path")) if isinstance(module, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(folder, str) or not re.fullmatch(r"[\w-]*", folder):
            raise UserError(f"{path}: module {number} should have a type and, as path, a folder beside this file")
        name = kind.rpartition(".")[2] if kind.startswith("sentence_transformers.") else quoted(kind)
        if number == 0 and (name != "Transformer" or folder):
            where = (
                f"in the folder {folder}: name that folder" if folder else f"{name}, but only Transformer is supported"
            )
            raise UserError(f"{path}: the encoder is {where}")
        if name == "Pooling" and pooling is None:
            pooling = read_pooling(Path(directory, folder, "config.json"))
        elif number:
            others.append(name)
    return Modules(pooling, others)


def read_pooling(path: Path) -> str:
    """The ways of pooling in a config.json, joined by ' + ': several are set side by side."""
    values = read_json(path)
    ways = values.get("pooling_mode", [way for key, way in OLD_KEYS.items() if values.get(key)] or "mean")
    ways = ways if isinstance(ways, list) else [ways]
    return " + ".join(way if way in OLD_KEYS.values() else quoted(way) for way in ways)


def module_files(pooling: str, width: int, classes: int) -> dict[str, str]:
    """{path: JSON} of a linear classifier on pooled vectors, as sentence-transformers reads it.

    pooling  "cls" or "mean"
    width    D, the size of a vector
    classes  C; sentence-transformers calls the logits [B, C] embeddings
    """
    places = {"": "Transformer", POOLING: "Pooling", DENSE: "Dense"}
    modules = [
        {"idx": number, "name": str(number), "path": place, "type": f"sentence_transformers.models.{kind}"}
        for number, (place, kind) in enumerate(places.items())
    ]
    pool = {"word_embedding_dimension": width} | {key: way == pooling for key, way in OLD_KEYS.items()}
    dense = {"in_features": width, "out_features": classes, "bias": True}
    dense["activation_function"] = "torch.nn.modules.linear.Identity"
    files = {f"{POOLING}/config.json": pool, f"{DENSE}/config.json": dense, FILE: modules}
    return {place: json.dumps(content, indent=2) + "\n" for place, content in files.items()}
