"""Marian (Junczys-Dowmunt et al. 2018), as in the opus-mt models: the Transformer of the paper that named it.

It translates. Positions are sinusoids, all sines in front; one table of embeddings serves both stacks and the output.
"""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from minbert.encoder_decoder import Cache, EncoderDecoder
from minbert.families.marian_config import MarianConfig
from minbert.families.marian_names import BIAS, NAMES, sinusoids
from minbert.search_settings import SearchSettings
from minbert.weights import Pretrained


class MarianModel(EncoderDecoder):
    """Both stacks of a Marian. A new model has random weights; it starts in evaluation mode."""

    architecture, config_class, names = "MarianModel", MarianConfig, NAMES
    positions = staticmethod(sinusoids)


class MarianForTranslation(Pretrained):
    """A Marian with its output: the next token, by the dot product with the embeddings and a bias."""

    architecture, config_class, names, prefix = "MarianMTModel", MarianConfig, NAMES, "model."

    def __init__(self, config):
        super().__init__()
        self.model = MarianModel(config)
        self.config = config = self.model.config
        self.register_buffer(BIAS, torch.zeros(1, config.vocab_size))
        self.search = SearchSettings.of(config)
        self.eval()

    @classmethod
    def from_pretrained(cls, name, missing_head: str = "new", new_head: bool | None = None, **changes):
        """As in Pretrained; model.search is what generation_config.json says. Raises UserError for what is not done."""
        model = super().from_pretrained(name, missing_head, new_head, **changes)
        model.search = SearchSettings.read(model.loaded.directory, model.config)
        return model

    def save_pretrained(self, directory: str | Path, dtype: torch.dtype | None = None) -> None:
        """As in Pretrained, with generation_config.json"""
        super().save_pretrained(directory, dtype)
        self.search.write(directory)

    def forward(
        self, input_ids: Tensor, attention_mask=None, decoder_input_ids=None, output_cross_attentions: bool = False
    ) -> dict:
        """As in MarianModel, and "logits" [B, T, V]: what comes after each token of decoder_input_ids"""
        output = self.model(input_ids, attention_mask, decoder_input_ids, output_cross_attentions)
        return {"logits": self.readout(output["decoder_hidden_states"][-1])} | output

    def readout(self, x: Tensor) -> Tensor:
        """[..., D] -> logits [..., V]"""
        return F.linear(x, self.model.token.weight, self.final_logits_bias[0])

    def decoder_inputs(self, labels: Tensor) -> Tensor:
        """What is read when labels [B, T] are to be written, -100 for padding: the same one place later [B, T]"""
        config = self.config
        start = labels.new_full((len(labels), 1), config.decoder_start_token_id)
        return torch.cat([start, labels[:, :-1].masked_fill(labels[:, :-1] == -100, config.pad_token_id)], dim=1)

    # For beam_search

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Texts [B, S] -> what the decoder looks at [B, S, D]"""
        return self.model.encode(input_ids, attention_mask)

    def new_cache(self, memory: Tensor) -> Cache:
        return Cache(self.model.decoder.layers, memory)

    def next_scores(self, rows: Tensor, memory: Tensor, attention_mask=None, cache: Cache | None = None) -> Tensor:
        """The logits of what comes after rows [R, T], R / B of each text, the start token first -> [R, V]"""
        return self.readout(self.model.decode(rows, memory, attention_mask, cache)[:, -1])


CONFIG = MarianConfig
MODELS = {"base": MarianModel, "translation": MarianForTranslation}
