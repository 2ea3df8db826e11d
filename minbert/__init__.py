"""minbert: a BERT written out to be read, and equal to the reference at every stage.

The files in the order in which data passes through them:
dataset -> tokenizer -> batch -> embeddings -> attention -> encoder -> bert -> heads -> training -> metrics.
A model is made by vocabulary -> corpus -> pretraining, with a teacher or without; probing asks it for words.

The letters in shape comments, everywhere:

    B  batch: texts side by side        D  hidden size: numbers per token     K  head size, D / H
    T  tokens per text, padding included    H  attention heads                V  vocabulary    C  classes
"""

from minbert.bert import BertModel
from minbert.config import Config
from minbert.errors import UserError
from minbert.heads import BertForMaskedLM, BertForPreTraining, BertSentClassifier
from minbert.optimizer import AdamW
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
]
