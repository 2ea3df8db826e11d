"""ELECTRA (Clark et al. 2020): BERT with embeddings narrower than its layers, trained to find replaced tokens.

A small generator guesses masked tokens, and the discriminator finds its guesses. They are separate checkpoints.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from minbert.bert import BertModel, initialize
from minbert.config import Config
from minbert.config_json import Form, may_set
from minbert.encoder import ACTIVATIONS, gelu
from minbert.families import encoders, heads
from minbert.heads import BertSentClassifier
from minbert.weights import Pretrained
from minbert.weights.names import Names

NAMES = Names(
    modules=encoders.BODY | {"embeddings.project": ("embeddings_project",)},
    heads={
        "predictions.dense": ("generator_predictions.dense",),
        "predictions.norm": ("generator_predictions.LayerNorm",),
        "predictions.decoder": ("generator_lm_head",),
        "predictions": ("generator_lm_head",),  # its bias
        "discriminator.dense": ("discriminator_predictions.dense",),
        "discriminator.out_proj": ("discriminator_predictions.dense_prediction",),
    }
    | encoders.CLASSIFIER,
    titles={"predictions": "masked-LM head", "discriminator": "replaced-token head", "classifier": "classifier"},
    dropped=encoders.DROPPED,
    prefix="electra.",
    remedy=encoders.REMEDY.format("google/electra-small-generator"),
)


@may_set("use_cache")
@dataclass(frozen=True)
class ElectraConfig(Config):
    """The sizes of an ELECTRA; the defaults are electra-small-discriminator's."""

    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024
    pooling: str = "cls"

    form = Form(
        title="ELECTRA",
        classes={"electra": "Electra"},
        harmless=("summary_activation", "summary_last_dropout", "summary_type", "summary_use_proj"),  # of other heads
    )
    bounds = encoders.FIRST_TOKEN | {"embedding_size": (1, 65_536)}


class ElectraModel(encoders.FamilyModel):
    """ELECTRA's encoder."""

    architecture, config_class, names, like = "ElectraModel", ElectraConfig, NAMES, BertModel
    embeddings_class = encoders.NarrowEmbeddings


class ElectraForMaskedLM(heads.FamilyForMaskedLM):
    """The generator: a masked language model."""

    architecture, config_class, names = "ElectraForMaskedLM", ElectraConfig, NAMES
    model_class, head = ElectraModel, heads.NarrowMaskedLMHead


class ElectraForPreTraining(Pretrained):
    """The discriminator: was this token replaced? Starts in evaluation mode."""

    architecture, prefix, names, config_class = "ElectraForPreTraining", "bert.", NAMES, ElectraConfig

    def __init__(self, config):
        super().__init__()
        self.config = config = self.config_class.of(config)
        self.bert = ElectraModel(config)
        one, activation = config.change(num_labels=1, labels=()), ACTIVATIONS[config.hidden_act]
        self.discriminator = heads.ClassificationHead(one, activation, dropout=0.0)
        initialize(self.discriminator, config.initializer_range)
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask=None, token_type_ids=None, labels=None) -> tuple:
        """As in BertModel -> logits [B, T], above 0: replaced; and the loss

        labels  [B, T], 1 replaced, 0 not; None: no loss. The loss is the mean cross-entropy of real tokens, in nats
        """
        x = self.bert(input_ids, attention_mask, token_type_ids)["last_hidden_state"]  # [B, T, D]
        logits = self.discriminator(x).squeeze(-1)  # [B, T]
        if labels is None:
            return logits, None
        real = torch.ones_like(labels, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        return logits, F.binary_cross_entropy_with_logits(logits[real].float(), labels[real].float())


class ElectraSentClassifier(heads.FamilySentClassifier):
    """ELECTRA's classifier of texts: dropout, a layer with GELU, dropout, a linear layer."""

    architecture, config_class, names = "ElectraForSequenceClassification", ElectraConfig, NAMES
    model_class, activation, like = ElectraModel, gelu, BertSentClassifier


CONFIG = ElectraConfig
MODELS = {
    "base": ElectraModel,
    "masked": ElectraForMaskedLM,
    "discriminator": ElectraForPreTraining,
    "classifier": ElectraSentClassifier,
}
