"""BERT itself, as one of the families."""

from minbert.bert import BertModel
from minbert.config import Config
from minbert.heads import BertForMaskedLM, BertSentClassifier

CONFIG = Config
MODELS = {"base": BertModel, "masked": BertForMaskedLM, "classifier": BertSentClassifier}
