"""DistilBERT (Sanh et al. 2019): BERT with half of its layers, without segments and without a pooler."""

from dataclasses import dataclass

import torch
from torch import Tensor

from minbert.bert import BertModel
from minbert.config import Config
from minbert.config_json import Form, may_set
from minbert.embeddings import Embeddings
from minbert.families import encoders, heads
from minbert.heads import BertSentClassifier
from minbert.weights.names import Names

LAYER_NAMES = {
    "attention.query": "attention.q_lin",
    "attention.key": "attention.k_lin",
    "attention.value": "attention.v_lin",
    "attention.output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "feed_forward.expand": "ffn.lin1",
    "feed_forward.contract": "ffn.lin2",
    "feed_forward_norm": "output_layer_norm",
}
NAMES = Names(
    modules={ours: theirs for ours, theirs in encoders.BODY.items() if ours.startswith("embeddings.")}
    | {f"encoder.layers.{{}}.{ours}": (f"transformer.layer.{{}}.{theirs}",) for ours, theirs in LAYER_NAMES.items()},
    heads={
        "predictions.dense": ("vocab_transform",),
        "predictions.norm": ("vocab_layer_norm",),
        "predictions.decoder": ("vocab_projector",),
        "predictions": ("vocab_projector",),  # its bias
        "classifier.dense": ("pre_classifier",),
        "classifier.out_proj": ("classifier",),
    },
    titles={"predictions": "masked-LM head", "classifier": "classifier"},
    dropped=encoders.DROPPED,
    prefix="distilbert.",
    remedy=encoders.REMEDY.format("distilbert/distilbert-base-uncased"),
)


@may_set("use_cache")
@dataclass(frozen=True)
class DistilBertConfig(Config):
    """The sizes of a DistilBERT; the defaults are distilbert-base-uncased's."""

    num_hidden_layers: int = 6
    classifier_dropout: float | None = 0.2
    pooling: str = "cls"

    form = Form(
        title="DistilBERT",
        classes={"distilbert": "DistilBert"},
        keys={
            "hidden_size": "dim",
            "num_hidden_layers": "n_layers",
            "num_attention_heads": "n_heads",
            "intermediate_size": "hidden_dim",
            "hidden_act": "activation",
            "hidden_dropout_prob": "dropout",
            "attention_probs_dropout_prob": "attention_dropout",
            "classifier_dropout": "seq_classif_dropout",
        },
        harmless=("qa_dropout", "sinusoidal_pos_embds", "tie_weights_"),  # positions are stored, also sinusoidal ones
        absent=("type_vocab_size", "layer_norm_eps", "sinusoidal_positions"),
    )
    bounds = encoders.FIRST_TOKEN

    def to_json(self, path, architecture):
        """As in Config. For transformers the classifier's dropout is always a number."""
        dropout = self.hidden_dropout_prob if self.classifier_dropout is None else self.classifier_dropout
        Config.to_json(self.change(classifier_dropout=dropout), path, architecture)


class DistilBertEmbeddings(Embeddings):
    """Token + position. Of a pair of texts, [SEP] alone tells which is which: token_type_ids are not read."""

    row_by_row = True

    def __init__(self, config):
        super().__init__(config)
        self.segment = None

    def forward(self, input_ids, token_type_ids=None, positions=None) -> Tensor:
        positions = self.positions(input_ids) if positions is None else positions
        return self.dropout(self.norm(self.token(input_ids) + self.position(positions)))


class DistilBertModel(encoders.FamilyModel):
    """DistilBERT's encoder."""

    architecture, config_class, names, like = "DistilBertModel", DistilBertConfig, NAMES, BertModel
    embeddings_class = DistilBertEmbeddings


class DistilBertForMaskedLM(heads.FamilyForMaskedLM):
    """DistilBERT's masked language model."""

    architecture, config_class, names = "DistilBertForMaskedLM", DistilBertConfig, NAMES
    model_class = DistilBertModel


class DistilBertSentClassifier(heads.FamilySentClassifier):
    """DistilBERT's classifier of texts: a layer with ReLU, dropout, a linear layer."""

    architecture, config_class, names = "DistilBertForSequenceClassification", DistilBertConfig, NAMES
    model_class, activation, drops_first, like = DistilBertModel, torch.relu, False, BertSentClassifier


CONFIG = DistilBertConfig
MODELS = {"base": DistilBertModel, "masked": DistilBertForMaskedLM, "classifier": DistilBertSentClassifier}
