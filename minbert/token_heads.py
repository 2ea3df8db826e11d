"""Heads that read each token: tags of words, and answers in a passage. A linear layer over the encoder's vectors."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minbert.bert import BertModel, initialize
from minbert.config import Config
from minbert.weights import Pretrained

TABLE = BertModel.names
NAMES = replace(
    TABLE,
    heads=TABLE.heads | {"answers": ("qa_outputs",)},
    titles=TABLE.titles | {"answers": "question-answering head", "pooler": "pooler"},  # nothing here reads a pooler
    dropped={name: title for name, title in TABLE.dropped.items() if not name.startswith("qa_outputs.")},
)
NO_LABEL = -100  # of a token that has none


class TokenEncoder(BertModel):
    """BertModel without a pooler: "pooler_output" is None."""

    like = BertModel

    def __init__(self, config):
        super().__init__(config)
        self.pooler = None

    def pool(self, last_hidden_state: Tensor) -> None:
        return None


class TokenHead(Pretrained):
    """What the two heads have in common. With config.option "pretrain" the encoder is frozen and its dropout is off."""

    prefix, names, config_class = "bert.", NAMES, Config

    def __init__(self, config):
        super().__init__()
        self.config = config = Config.of(config)
        self.bert = TokenEncoder(config)
        if config.option == "pretrain":
            self.bert.requires_grad_(False)

    def vectors(self, input_ids: Tensor, attention_mask=None, token_type_ids=None) -> Tensor:
        """As in BertModel -> a vector for each token: [B, T, D]"""
        return self.bert(input_ids, attention_mask, token_type_ids)["last_hidden_state"]

    def train(self, mode: bool = True):
        """As in any module, but a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.config.option == "pretrain":
            self.bert.eval()
        return self


class BertTagger(TokenHead):
    """A BERT, dropout, and a linear layer that gives each token a score for each tag. Starts in evaluation mode.

    Devlin et al. 2019, section 5.3: the tag of a word is read at its first piece. config.labels are the tags.
    `from_pretrained` refuses a classifier of whole texts, unless labels ask for a new one.
    """

    architecture = "BertForTokenClassification"

    def __init__(self, config):
        super().__init__(config)
        config = self.config
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        initialize(self.classifier, config.initializer_range)
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask=None, token_type_ids=None, labels=None) -> Tensor | dict:
        """input_ids, attention_mask, token_type_ids [B, T], as in BertModel -> logits [B, T, C]

        With labels [B, T], the number of each token's tag, or -100 for none: {"loss": the mean cross-entropy in nats
        over the tokens that have one, 0 without any, "logits": [B, T, C]}
        """
        logits = self.classifier(self.dropout(self.vectors(input_ids, attention_mask, token_type_ids)))
        if labels is None:
            return logits
        total, count = tag_loss(logits, labels)
        return {"loss": total / count.clamp(min=1), "logits": logits}


class BertForQuestions(TokenHead):
    """A BERT and a linear layer that gives each token two scores: does an answer begin here, does it end here?

    Devlin et al. 2019, section 4.2. The input is the question, and the passage as its pair (minbert/windows.py).
    """

    architecture, output = "BertForQuestionAnswering", "answers"

    def __init__(self, config):
        super().__init__(config)
        self.answers = nn.Linear(self.config.hidden_size, 2)
        initialize(self.answers, self.config.initializer_range)
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask=None, token_type_ids=None, labels=None) -> Tensor | dict:
        """input_ids, attention_mask, token_type_ids [B, T], as in BertModel -> logits [B, 2, T]: of begins, of ends

        With labels [B, 2], the first and the last token of each answer: {"loss": the mean cross-entropy in nats of
        both, "logits": [B, 2, T]}. As in the reference, padding has logits too and takes part in the loss.
        """
        logits = self.answers(self.vectors(input_ids, attention_mask, token_type_ids)).transpose(1, 2)  # [B, 2, T]
        return logits if labels is None else {"loss": span_loss(logits, labels)[0] / len(labels), "logits": logits}


def tag_loss(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """logits [B, T, C], labels [B, T] or -100 -> the cross-entropy summed over the tokens with a label, their number

    weight  of each tag, [C]: the number is then the sum of the weights
    """
    labelled = labels != NO_LABEL
    logits, labels = logits[labelled].float(), labels[labelled]  # [N, C], [N]
    count = labelled.sum() if weight is None else weight[labels].sum()
    return F.cross_entropy(logits, labels, weight=weight, reduction="sum"), count


def span_loss(logits: Tensor, labels: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, int]:
    """logits [B, 2, T], labels [B, 2] -> the mean cross-entropy of begin and end, summed over B; B

    lengths  [B], the tokens of each window: padding, behind them, takes no part; None: it does
    """
    logits = logits.float()
    if lengths is not None:
        padding = torch.arange(logits.size(2), device=logits.device) >= lengths[:, None, None]  # [B, 1, T]
        logits = logits.masked_fill(padding, torch.finfo(logits.dtype).min)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / 2, len(labels)
