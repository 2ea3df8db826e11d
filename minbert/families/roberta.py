"""RoBERTa (Liu et al. 2019): BERT without segments, with positions that count from 2. Also XLM-RoBERTa's, CamemBERT's
and BERTweet's model."""

from dataclasses import dataclass

import torch
from torch import Tensor

from minbert.bert import BertModel
from minbert.config import Config
from minbert.config_json import Form, may_set
from minbert.embeddings import Embeddings
from minbert.errors import UserError
from minbert.families import encoders, heads
from minbert.heads import BertSentClassifier, MaskedLMHead
from minbert.weights.names import Names

NAMES = Names(
    modules=encoders.BODY | {"pooler": ("pooler.dense",)},
    heads={
        "predictions.dense": ("lm_head.dense",),
        "predictions.norm": ("lm_head.layer_norm",),
        "predictions.decoder": ("lm_head.decoder",),
        "predictions": ("lm_head",),  # its bias; old files repeat it as the decoder's
    }
    | encoders.CLASSIFIER,
    titles={"predictions": "masked-LM head", "classifier": "classifier", "pooler": "pooler"},
    dropped=encoders.DROPPED,
    prefix="roberta.",
    remedy=encoders.REMEDY.format("FacebookAI/roberta-base"),
)


@may_set("use_cache")
@dataclass(frozen=True)
class RobertaConfig(Config):
    """The sizes of a RoBERTa; the defaults are roberta-base's. Of 514 positions, a text can have 512."""

    vocab_size: int = 50265
    max_position_embeddings: int = 514
    type_vocab_size: int = 1
    layer_norm_eps: float = 1e-5
    pooling: str = "cls"
    pad_token_id: int = 1
    model_type: str = "roberta"

    form = Form(
        title="RoBERTa",
        classes={"roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"},
        supported={"tokenizer_class": encoders.tokenizers("Roberta", "Bertweet", "XLMRoberta", "Camembert")},
    )
    bounds = encoders.FIRST_TOKEN | {"pad_token_id": (0, 1_000), "model_type": tuple(form.classes)}

    def __post_init__(self):
        super().__post_init__()
        if self.most_tokens < 1:
            raise UserError(f"max_position_embeddings is {self.max_position_embeddings}, but the first are padding's")

    def to_json(self, path, architecture):
        super().to_json(path, architecture.replace("Roberta", self.form.classes[self.model_type]))

    @property
    def first_position(self):
        return self.pad_token_id + 1


class RobertaEmbeddings(Embeddings):
    """Without segments. Raises UserError for token_type_ids that are not 0."""

    row_by_row = True

    def forward(self, input_ids, token_type_ids=None, positions=None) -> Tensor:
        if token_type_ids is not None and self.segment.num_embeddings == 1 and token_type_ids.any():
            raise UserError("a RoBERTa has one segment: token_type_ids can only be 0; leave them out")
        return super().forward(input_ids, token_type_ids, positions)


class RobertaModel(encoders.FamilyModel):
    """RoBERTa's encoder, with a pooler unless a head stands on it. Positions count real tokens from pad_token_id + 1.

    Padding is what the mask hides; for transformers, what has the padding token's id: the same for all batches that a
    tokenizer makes. If the mask hides a token in a text, the others are read as if it were not there.
    """

    architecture, config_class, names, like = "RobertaModel", RobertaConfig, NAMES, BertModel
    embeddings_class = RobertaEmbeddings

    def __init__(self, config, pooler=True):
        super().__init__(config, pooler)

    def places(self, attention_mask: Tensor) -> Tensor:
        """As in FamilyModel. Raises UserError for more tokens than the model can read."""
        length, limit = attention_mask.size(1), self.config.most_tokens
        if length > limit:
            raise UserError(f"a text of {length} tokens, but the model has {limit} positions: set max_length={limit}")
        real = attention_mask.long()
        return real.cumsum(dim=1) * real + self.config.pad_token_id


class RobertaForMaskedLM(heads.FamilyForMaskedLM):
    """RoBERTa's masked language model. Its head has the exact GELU, whatever config.hidden_act."""

    architecture, config_class, names, model_class = "RobertaForMaskedLM", RobertaConfig, NAMES, RobertaModel

    @staticmethod
    def head(config):
        return MaskedLMHead(config.change(hidden_act="gelu"))


class RobertaSentClassifier(heads.FamilySentClassifier):
    """RoBERTa's classifier of texts: dropout, a layer with tanh, dropout, a linear layer."""

    architecture, config_class, names = "RobertaForSequenceClassification", RobertaConfig, NAMES
    model_class, activation, like = RobertaModel, torch.tanh, BertSentClassifier


CONFIG = RobertaConfig
MODELS = {"base": RobertaModel, "masked": RobertaForMaskedLM, "classifier": RobertaSentClassifier}
