"""modules.json and the files beside it: how a folder of sentence-transformers makes vectors. Reading runs no code."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from minbert.errors import UserError
from minbert.jsonfile import plain_word, quoted, read_json

FILE, POOLING, DENSE = "modules.json", "1_Pooling", "2_Dense"  # the names that sentence-transformers chooses
POOLINGS = ("mean", "cls")  # those of a vector, here
OLD_KEYS = {  # before version 6, a key for each way
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
# Its encoder's settings; the names depend on the family that it was made with.
FAMILIES = ("bert", "roberta", "distilbert", "camembert", "xlm-roberta")
SETTINGS = [f"sentence_{family}_config.json" for family in FAMILIES]
PROMPTS = "config_sentence_transformers.json"
DOCUMENT = ("document", "passage", "corpus")  # the first that a model has is put before a passage


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


class Recipe(NamedTuple):
    """How a text becomes one vector."""

    pooling: str = "mean"  # of all tokens' last vectors, or "cls", the first one's
    normalize: bool = False  # make the vector's length 1
    max_length: int | None = None  # tokens; None: as many as the tokenizer and the model allow
    lower: bool = False  # begin with the text in lower case
    prompts: Mapping[str, str] = MappingProxyType({})  # put before a "query" or a "document", or "" before any text
    similarity: str = "cosine"  # what the vectors were trained for


def read_recipe(directory: Path, pooling: str | None = None, left_out: Sequence[str] = ()) -> Recipe | None:
    """The Recipe of a folder of sentence-transformers; None for another model's folder.

    pooling   "mean" or "cls", whatever the folder says; None: as it says
    left_out  modules after the pooling that the caller leaves out
    Raises UserError for a pooling or a module that minbert does not compute, and as read_modules does.
    """
    modules = read_modules(directory)
    if modules is None:
        return None
    path = Path(directory, FILE)
    if (pooling or modules.pooling) not in POOLINGS:
        way = f"pools by {modules.pooling}" if modules.pooling else "names no Pooling"
        raise UserError(f"{path}: {way}, but minbert makes vectors by {' or '.join(POOLINGS)}: choose pooling")
    if others := [name for name in modules.others if name != "Normalize" and name not in left_out]:
        raise UserError(f"{path}: {', '.join(others)} should follow the pooling, and minbert computes only Normalize")
    file = next((name for name in SETTINGS if Path(directory, name).exists()), None)
    settings = {} if file is None else read_json(Path(directory, file))
    length, lower = settings.get("max_seq_length"), settings.get("do_lower_case") or False
    if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 3):
        raise UserError(
            f"{directory}/{file}: max_seq_length is {quoted(length)}, but must be a number of tokens, 3 or more"
        )
    if not isinstance(lower, bool):
        raise UserError(f"{directory}/{file}: do_lower_case is {quoted(lower)}, but must be true or false")
    prompts, similarity = read_prompts(Path(directory, PROMPTS))
    file = Path(directory, POOLING, "config.json")
    if prompts and file.exists() and read_json(file).get("include_prompt") is False:
        raise UserError(f"{file}: include_prompt is false, but minbert takes the mean over the prompt, too")
    return Recipe(pooling or modules.pooling, "Normalize" in modules.others, length, lower, prompts, similarity)


def read_prompts(path: Path) -> tuple[Mapping[str, str], str]:
    """The prompts and the similarity of a Recipe, from config_sentence_transformers.json, if it is there."""
    values = read_json(path) if path.exists() else {}
    prompts, default = values.get("prompts") or {}, values.get("default_prompt_name")
    if not isinstance(prompts, dict) or not all(isinstance(words, str | None) for words in prompts.values()):
        raise UserError(f"{path}: prompts is {quoted(prompts)}, but must be names, each with its words")
    if default is not None and (not isinstance(default, str) or default not in prompts):
        raise UserError(f"{path}: default_prompt_name is {quoted(default)}, which is not among the prompts")
    prompts = {name: words or "" for name, words in prompts.items()}
    usual = prompts.get(default, "")
    document = next((prompts[name] for name in DOCUMENT if name in prompts), usual)
    found = {"": usual, "query": prompts.get("query", usual), "document": document}
    similarity = plain_word(values.get("similarity_fn_name") or "cosine")
    return {role: words for role, words in found.items() if words}, similarity


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
