"""The heads on top of the encoder: a classifier of texts, and the two heads of BERT's pretraining."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minbert.bert import BertModel, initialize
from minbert.config import Config
from minbert.encoder import ACTIVATIONS
from minbert.losses import loss, probabilities
from minbert.weights import Pretrained


class BertSentClassifier(Pretrained):
    """A BERT, dropout, and a linear layer that gives each class a score. Starts in evaluation mode.

    config          a Config, a mapping, or a namespace like the course kits'; bert-base-uncased fills the gaps
    config.option   "flexible": everything is trained
                    "pretrain": only the linear layer is trained; the encoder is frozen and its dropout is off
    config.pooling  the input of the linear layer: "pooler", the pooler's output; "cls", the first token's last vector;
                    "mean", the mean of all tokens' last vectors

    `from_pretrained` keeps a checkpoint's classifier if its classes and pooling are the same. `save_pretrained` writes
    Hugging Face's BertForSequenceClassification, but if pooling is not "pooler", a folder of sentence-transformers.
    """

    architecture, prefix, names, config_class = "BertForSequenceClassification", "bert.", BertModel.names, Config

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

    def forward(self, input_ids: Tensor, attention_mask=None, token_type_ids=None, labels=None) -> Tensor | dict:
        """input_ids, attention_mask, token_type_ids [B, T], as in BertModel -> logits [B, C], before any softmax

        With labels, the id of each text's class [B]: {"loss": mean cross-entropy (see losses.py), "logits": [B, C]}
        """
        logits = self.classifier(self.dropout(self.features(input_ids, attention_mask, token_type_ids)))
        return logits if labels is None else {"loss": loss(logits, labels, self.config.problem_type), "logits": logits}

    def features(self, input_ids: Tensor, attention_mask=None, token_type_ids=None) -> Tensor:
        """The same -> the linear layer's input before dropout, one vector for each text: [B, D]"""
        return self.pool(self.bert(input_ids, attention_mask, token_type_ids), attention_mask)

    def pool(self, output: dict, attention_mask: Tensor | None = None) -> Tensor:
        """BertModel's output -> one vector for each text: [B, D]"""
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
    def predict_proba(self, input_ids: Tensor, attention_mask=None, token_type_ids=None) -> Tensor:
        """The same -> the probability of each class, [B, C]; rows sum to 1, unless a text may have several labels"""
        was_training = self.training
        self.eval()
        logits = self(input_ids, attention_mask, token_type_ids)
        self.train(was_training)
        return probabilities(logits, self.config.problem_type)

    def train(self, mode: bool = True):
        """As in any module, but a frozen encoder stays in evaluation mode, so that its features stay the same."""
        super().train(mode)
        if self.config.option == "pretrain":
            self.bert.eval()
        return self


class MaskedLMHead(nn.Module):
    """A token's vector -> a score for each token of the vocabulary (Devlin et al. 2019, section 3.1, task 1).

    One more layer, then the dot product with each token's embedding, plus a bias for each token. The embeddings are
    the encoder's own ("tied"), unless config.tie_word_embeddings is False.
    """

    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACTIVATIONS[config.hidden_act]
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        tied = config.tie_word_embeddings
        self.decoder = None if tied else nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(self, x: Tensor, token_embeddings: Tensor) -> Tensor:
        """x [..., D], token_embeddings [V, D] -> logits [..., V]"""
        x = self.norm(self.activation(self.dense(x)))
        return F.linear(x, self.decoder.weight if self.decoder else token_embeddings, self.bias)


class BertForMaskedLM(Pretrained):
    """A BERT that predicts the token at each position; with causal=True, the next one. Starts in evaluation mode.

    `from_pretrained` refuses a checkpoint without a masked-LM head, unless missing_head="new".
    """

    architecture, prefix, names, config_class = "BertForMaskedLM", "bert.", BertModel.names, Config

    def __init__(self, config):
        super().__init__()
        self.config = config = Config.of(config)
        self.bert = BertModel(config)
        self.predictions = MaskedLMHead(config)
        initialize(self.predictions, config.initializer_range)
        self.eval()

    @classmethod
    def from_pretrained(cls, name, missing_head="error", **changes):
        return super().from_pretrained(name, missing_head, **changes)

    def forward(self, input_ids: Tensor, attention_mask=None, token_type_ids=None, labels=None, causal=False) -> tuple:
        """input_ids, attention_mask, token_type_ids, causal  as in BertModel

        labels   [B, T], the right id for each position, or -100 for none; None: no labels at all
        returns  logits, loss. Without labels: [B, T, V] and None. With labels: [N, V], for the N positions that have
                 one, row by row, and the mean cross-entropy in nats, a scalar (0 if N is 0)
        """
        x = self.bert(input_ids, attention_mask, token_type_ids, causal)["last_hidden_state"]  # [B, T, D]
        return self.predict(x, labels)

    def predict(self, x: Tensor, labels: Tensor | None = None) -> tuple:
        """x, last hidden states [B, T, D], and labels as in `forward` -> logits, loss"""
        embeddings = self.bert.embeddings.token.weight
        if labels is None:
            return self.predictions(x, embeddings), None
        labelled = labels != -100  # [B, T]
        logits = self.predictions(x[labelled], embeddings)  # [N, V]
        loss = F.cross_entropy(logits.float(), labels[labelled], reduction="sum") / max(1, len(logits))
        return logits, loss


class BertForPreTraining(BertForMaskedLM):
    """BertForMaskedLM with the second head of BERT's pretraining: does text B follow text A (task 2)?"""

    architecture = "BertForPreTraining"

    def __init__(self, config):
        super().__init__(config)
        self.next_sentence = nn.Linear(self.config.hidden_size, 2)
        initialize(self.next_sentence, self.config.initializer_range)

    def forward(
        self, input_ids, attention_mask=None, token_type_ids=None, labels=None, next_sentence_label=None, causal=False
    ) -> tuple:
        """As in BertForMaskedLM, and

        next_sentence_label  [B], 0: B follows A, 1: B comes from elsewhere; None: only the masked-LM loss
        returns              the same logits, next-sentence logits [B, 2], the sum of the two losses or None
        """
        output = self.bert(input_ids, attention_mask, token_type_ids, causal)
        logits, loss = self.predict(output["last_hidden_state"], labels)
        follows = self.next_sentence(output["pooler_output"])  # [B, 2]
        if next_sentence_label is not None:
            order_loss = F.cross_entropy(follows.float(), next_sentence_label)
            loss = order_loss if loss is None else loss + order_loss
        return logits, follows, loss
