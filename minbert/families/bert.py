"""BERT itself, as one of the families."""

from minbert.bert import BertModel
from minbert.config import Config
from minbert.heads import BertForMaskedLM, BertSentClassifier
from minbert.token_heads import BertForQuestions, BertTagger

CONFIG = Config
MODELS = {
    "base": BertModel,
    "masked": BertForMaskedLM,
    "classifier": BertSentClassifier,
    "tagger": BertTagger,
    "answers": BertForQuestions,
}
