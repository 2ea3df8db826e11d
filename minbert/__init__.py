"""minbert: a BERT written out to be read, and equal to the reference at every stage.

The files in the order in which data passes through them:
files/ -> tokenizer -> batch -> embeddings -> attention -> encoder -> bert -> heads -> training -> metrics.
A model is made in pretraining/, by vocabulary -> corpus -> fit, with a teacher or without; probing asks it for words.

The letters in shape comments, everywhere:

    B  batch: texts side by side        D  hidden size: numbers per token     K  head size, D / H
    T  tokens per text, padding included    H  attention heads                V  vocabulary    C  classes

`import minbert` imports no torch: the names below are looked up when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from minbert import moved
from minbert.errors import UserError

if TYPE_CHECKING:
    from minbert.bert import BertModel
    from minbert.config import Config
    from minbert.heads import BertForMaskedLM, BertForPreTraining, BertSentClassifier
    from minbert.optimizer import AdamW
    from minbert.similarity import cosine, vectors
    from minbert.tokenizer import BertTokenizer

__version__ = "0.2.0"
__all__ = [
    "AdamW",
    "BertForMaskedLM",
    "BertForPreTraining",
    "BertModel",
    "BertSentClassifier",
    "BertTokenizer",
    "Config",
    "UserError",
    "cosine",
    "vectors",
]
HOMES = {  # the file that each name comes from
    "AdamW": "minbert.optimizer",
    "BertForMaskedLM": "minbert.heads",
    "BertForPreTraining": "minbert.heads",
    "BertModel": "minbert.bert",
    "BertSentClassifier": "minbert.heads",
    "BertTokenizer": "minbert.tokenizer",
    "Config": "minbert.config",
    "cosine": "minbert.similarity",
    "vectors": "minbert.similarity",
}
# `import minbert` alone has always been enough for these.
MODULES = ("bert", "config", "errors", "heads", "optimizer", "tokenizer", "weights")
moved.install()


def __getattr__(name):
    if name in HOMES:
        globals()[name] = getattr(import_module(HOMES[name]), name)
        return globals()[name]
    if name in MODULES:
        return import_module(f"minbert.{name}")
    raise AttributeError(f"module 'minbert' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *HOMES, *MODULES})
