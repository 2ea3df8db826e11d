"""Relatives of BERT, a file for each: what differs from it. FAMILIES is the one place where a choice is made.

    model = families.load("my-roberta", "classifier")      # by the model_type in its config.json

The file of a family offers two things:

    CONFIG  the class of its sizes: a Config with the Form of the family's config.json
    MODELS  its classes: "base", "masked" or "causal" (language models), "classifier" (of texts), "discriminator",
            "tagger" (of words), "answers" (in a passage), "translation"

Its classes declare what BertModel's do: `architecture`, `names`, `prefix`, `config_class` (weights.Pretrained).
`config_json.HOMES` has a row for it, from which a class of another family knows where to send its user.
"""

from pathlib import Path
from types import ModuleType

from minbert.config import Config
from minbert.errors import UserError
from minbert.families import bert, distilbert, electra, gpt, gpt2, marian, roberta
from minbert.jsonfile import quoted, read_json
from minbert.weights import Pretrained, hub

FAMILIES = {  # model_type in config.json: the family's file
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": roberta,
    "camembert": roberta,
    "distilbert": distilbert,
    "electra": electra,
    "openai-gpt": gpt,
    "gpt2": gpt2,
    "marian": marian,
}
TITLES = {
    "base": "model without a head",
    "masked": "masked language model",
    "causal": "causal language model",
    "discriminator": "discriminator of replaced tokens",
    "classifier": "classifier of texts",
    "translation": "translation model",
    "tagger": "tagger of words",
    "answers": "model that finds answers in a passage",
}


def of(directory: str | Path) -> ModuleType:
    """The family of the model in a folder. Raises UserError if its config.json names none that there is."""
    path = Path(directory, "config.json")
    kind = read_json(path).get("model_type") or "bert"  # early files of BERT do not say it
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise UserError(f"{path}: model_type is {quoted(kind)}, but minbert computes {', '.join(FAMILIES)}")
    return FAMILIES[kind]


def read_config(directory: str | Path) -> Config:
    """The config of the model in a folder, of its family's class. Raises UserError as Config.from_json does."""
    return of(directory).CONFIG.from_json(Path(directory, "config.json"))


def load(name: str | Path, kind: str, **options) -> Pretrained:
    """A model with the weights of a directory or of a named model, of the class that its family has for `kind`.

    kind     a key of TITLES
    options  of that class's from_pretrained
    Raises UserError as from_pretrained does, and where the family has no such class.
    """
    directory = hub.find(name)
    model = class_of(directory, kind, name).from_pretrained(directory, **options)
    model.loaded.source = str(name)
    return model


def class_of(directory: str | Path, kind: str, name: str | Path | None = None) -> type[Pretrained]:
    """The class of `load`. name: the model's in messages; None: the folder's"""
    family = of(directory)
    if kind not in family.MODELS:
        others = ", ".join(TITLES[other] for other in family.MODELS)
        title = family.CONFIG.form.title
        raise UserError(f"{name or directory}: there is no {TITLES[kind]} of {title} here, but: {others}")
    return family.MODELS[kind]
