"""GPT-2 (Radford et al. 2019): a decoder with the norm before each step, and one more at the end."""

import torch
from torch import Tensor, nn

from minbert.bert import initialize
from minbert.decoder import CausalLM, Decoder
from minbert.families.gpt import names
from minbert.families.gpt_config import GPT2Config
from minbert.heads import BertSentClassifier
from minbert.losses import loss
from minbert.weights import Pretrained


class GPT2Model(Decoder):
    """GPT-2 without its readout. A new model has random weights; it starts in evaluation mode."""

    architecture, config_class = "GPT2Model", GPT2Config
    names, like = names(token="wte", position="wpe", norm="ln_f"), Decoder


class GPT2LMHeadModel(CausalLM):
    """GPT-2 with its readout."""

    architecture, config_class, names = "GPT2LMHeadModel", GPT2Config, GPT2Model.names
    decoder_class, like = GPT2Model, CausalLM


class GPT2SentClassifier(Pretrained):
    """A GPT-2 and a linear layer without bias, which reads the last token: the only one that has seen the whole text.

    config.option  as in BertSentClassifier: "pretrain" freezes the decoder
    """

    architecture, prefix, names, config_class = "GPT2ForSequenceClassification", "decoder.", GPT2Model.names, GPT2Config

    def __init__(self, config):
        super().__init__()
        self.decoder = GPT2Model(config)
        self.config = config = self.decoder.config
        self.dropout = nn.Identity()  # GPT-2's classifier has none
        self.classifier = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        initialize(self.classifier, config.initializer_range)
        if config.option == "pretrain":
            self.decoder.requires_grad_(False)
        self.eval()

    def forward(self, input_ids: Tensor, attention_mask=None, token_type_ids=None, labels=None) -> Tensor | dict:
        """input_ids, attention_mask [B, T] -> logits [B, C], as in BertSentClassifier; token_type_ids are not used"""
        logits = self.classifier(self.features(input_ids, attention_mask))
        return logits if labels is None else {"loss": loss(logits, labels, self.config.problem_type), "logits": logits}

    def features(self, input_ids: Tensor, attention_mask=None, token_type_ids=None) -> Tensor:
        """The same -> the vector of each text's last token, told by the mask, not by its id: [B, D]"""
        x = self.decoder(input_ids, attention_mask)["last_hidden_state"]  # [B, T, D]
        if attention_mask is None:
            return x[:, -1]
        places = torch.arange(x.size(1), device=x.device)
        last = (attention_mask.bool() * places).amax(dim=1)  # [B]
        return x[torch.arange(len(x), device=x.device), last]

    predict_proba = BertSentClassifier.predict_proba

    def train(self, mode: bool = True):
        """As in any module, but a frozen decoder stays in evaluation mode."""
        super().train(mode)
        if self.config.option == "pretrain":
            self.decoder.eval()
        return self


CONFIG = GPT2Config
MODELS = {"base": GPT2Model, "causal": GPT2LMHeadModel, "classifier": GPT2SentClassifier}
