"""The heads that the encoder families share: a masked language model, and a classifier whose head has two layers."""

from collections.abc import Callable

from torch import Tensor, nn

from minbert.bert import initialize
from minbert.families import encoders
from minbert.heads import BertForMaskedLM, BertSentClassifier, MaskedLMHead
from minbert.weights import Pretrained


class FamilyForMaskedLM(BertForMaskedLM):
    """BertForMaskedLM on another encoder. A class declares model_class, and may have another `head`."""

    model_class = None

    def __init__(self, config):
        Pretrained.__init__(self)
        self.config = config = self.config_class.of(config)
        self.bert = self.model_class(config, pooler=False)
        self.predictions = self.head(config)
        initialize(self.predictions, config.initializer_range)
        self.eval()

    @staticmethod
    def head(config) -> nn.Module:
        return MaskedLMHead(config)


class NarrowMaskedLMHead(MaskedLMHead):
    """MaskedLMHead at the width of the embeddings, with the exact GELU whatever config.hidden_act."""

    def __init__(self, config):
        super().__init__(encoders.narrow(config, hidden_act="gelu"))
        self.dense = nn.Linear(config.hidden_size, config.embedding_size)


class ClassificationHead(nn.Module):
    """A text's vector -> a score for each class: one more layer, dropout, and a linear layer."""

    def __init__(self, config, activation: Callable, dropout: float):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(config.hidden_size, config.num_labels)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., C]"""
        return self.out_proj(self.dropout(self.activation(self.dense(x))))


class FamilySentClassifier(BertSentClassifier):
    """BertSentClassifier on another encoder, with a head of two layers that reads the first token. A class declares

    model_class  the encoder
    activation   between the two layers
    drops_first  whether there is dropout before the first of them, too
    like         as in FamilyModel

    With config.option "pretrain" both layers of the head are trained.
    """

    model_class, activation, drops_first, like = None, None, True, None

    def __init__(self, config):
        Pretrained.__init__(self)
        self.config = config = self.config_class.of(config)
        self.bert = self.model_class(config, pooler=False)
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(dropout if self.drops_first else 0.0)
        self.classifier = ClassificationHead(config, type(self).activation, dropout)
        initialize(self.classifier, config.initializer_range)
        if config.option == "pretrain":
            self.bert.requires_grad_(False)
        self.eval()
