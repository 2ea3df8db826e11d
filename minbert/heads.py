"""What stands on top of the encoder: a classifier of texts."""

import torch
from torch import nn

from minbert.bert import BertModel, initialize
from minbert.config import Config


class BertSentClassifier(nn.Module):
    """A BERT, dropout, and one linear layer that gives each class a score.

    config  a Config, a mapping, or a namespace such as the course kits'; what it leaves out is bert-base-uncased's

    config.option   "pretrain": the encoder is frozen and only the linear layer learns; the encoder's dropout is off
                    "flexible": everything learns
    config.pooling  what the linear layer reads: "pooler", the pooler's output; "cls", the first token's last vector;
                    "mean", the mean of all tokens' last vectors

    The constructor builds and never downloads; `from_pretrained` reads weights. Starts in evaluation mode.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config = Config.of(config)
        self.bert = BertModel(config)
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        initialize(self.classifier, config.initializer_range)
        if config.option == "pretrain":
            self.bert.requires_grad_(False)
        self.eval()

    @classmethod
    def from_pretrained(cls, name, **changes):
        """A classifier on the encoder of a directory, or of a model's name (see minbert.hub).

        changes go to its Config: num_labels, labels, option, pooling, ... The checkpoint's own classifier is kept if
        it has one for as many classes; otherwise the classifier is new, and a warning says so.
        """
        from minbert import weights

        return weights.from_pretrained(cls, name, **changes)

    def save_pretrained(self, directory):
        """Write model.safetensors and config.json, which from_pretrained reads back; so does Hugging Face's
        BertForSequenceClassification, equal in its logits if pooling is "pooler"."""
        from minbert import weights

        weights.save_pretrained(self, directory)

    def train(self, mode=True):
        """As in any module, but a frozen encoder stays in evaluation mode: what does not learn needs no dropout."""
        super().train(mode)
        if self.config.option == "pretrain":
            self.bert.eval()
        return self

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        """input_ids, attention_mask, token_type_ids [B, T], as in BertModel -> logits [B, C], before any softmax"""
        output = self.bert(input_ids, attention_mask, token_type_ids)
        return self.classifier(self.dropout(self.pool(output, attention_mask)))

    def pool(self, output, attention_mask=None):
        """What BertModel returns -> one vector for each text, [B, D]"""
        if self.config.pooling == "pooler":
            return output["pooler_output"]
        x = output["last_hidden_state"]
        if self.config.pooling == "cls":
            return x[:, 0]
        if attention_mask is None:
            return x.mean(dim=1)
        weight = attention_mask.to(x.dtype)[:, :, None]  # [B, T, 1]
        return (x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    @torch.no_grad()
    def predict_proba(self, input_ids, attention_mask=None, token_type_ids=None):
        """The probability of each class, without dropout: [B, C], each row summing to 1"""
        was_training = self.training
        self.eval()
        probabilities = self(input_ids, attention_mask, token_type_ids).softmax(dim=-1)
        self.train(was_training)
        return probabilities
