"""BERT = embeddings + encoder + pooler, and the names its weights have in other people's checkpoints."""

import torch
from torch import nn

from minbert import fast
from minbert.attention import causal_mask, padding_mask
from minbert.config import Config
from minbert.embeddings import Embeddings, sinusoids
from minbert.encoder import Encoder

# Our module: its name in Hugging Face's checkpoints, its name in the course kits' (neubig/minbert-assignment and the
# kits made from it). {} is the number of the layer. Reading takes either, writing takes Hugging Face's.
NAMES = {
    "embeddings.token": ("embeddings.word_embeddings", "word_embedding"),
    "embeddings.position": ("embeddings.position_embeddings", "pos_embedding"),
    "embeddings.segment": ("embeddings.token_type_embeddings", "tk_type_embedding"),
    "embeddings.norm": ("embeddings.LayerNorm", "embed_layer_norm"),
    "encoder.layers.{}.attention.query": (
        "encoder.layer.{}.attention.self.query",
        "bert_layers.{}.self_attention.query",
    ),
    "encoder.layers.{}.attention.key": (
        "encoder.layer.{}.attention.self.key",
        "bert_layers.{}.self_attention.key",
    ),
    "encoder.layers.{}.attention.value": (
        "encoder.layer.{}.attention.self.value",
        "bert_layers.{}.self_attention.value",
    ),
    "encoder.layers.{}.attention.output": (
        "encoder.layer.{}.attention.output.dense",
        "bert_layers.{}.attention_dense",
    ),
    "encoder.layers.{}.attention_norm": (
        "encoder.layer.{}.attention.output.LayerNorm",
        "bert_layers.{}.attention_layer_norm",
    ),
    "encoder.layers.{}.feed_forward.expand": (
        "encoder.layer.{}.intermediate.dense",
        "bert_layers.{}.interm_dense",
    ),
    "encoder.layers.{}.feed_forward.contract": (
        "encoder.layer.{}.output.dense",
        "bert_layers.{}.out_dense",
    ),
    "encoder.layers.{}.feed_forward_norm": (
        "encoder.layer.{}.output.LayerNorm",
        "bert_layers.{}.out_layer_norm",
    ),
    "pooler": ("pooler.dense", "pooler_dense"),
}
# Read and left out on purpose: positions stored as 0, 1, 2, ...
DROPPED = {"embeddings.position_ids": "position ids", "position_ids": "position ids"}
# The same for the heads. A head that the model does not have is left out too, and reported by what it is.
HEADS = {
    "predictions.dense": ("cls.predictions.transform.dense",),
    "predictions.norm": ("cls.predictions.transform.LayerNorm",),
    "predictions.decoder": ("cls.predictions.decoder",),
    "predictions": ("cls.predictions",),  # its bias, which some checkpoints store a second time as the decoder's
    "next_sentence": ("cls.seq_relationship",),
    "classifier": ("classifier",),
}
HEAD_TITLES = {"predictions": "masked-LM head", "next_sentence": "next-sentence head", "classifier": "classifier"}


class Pretrained(nn.Module):
    """What BertModel and the models on top of it have in common: a folder of weights."""

    architecture = "BertModel"  # Hugging Face's class that computes the same from the same weights

    @classmethod
    def from_pretrained(cls, name, new_head=True, **changes):
        """A model with the weights of a directory, or of a model's name (see minbert.hub).

        changes   go to its Config: num_labels, labels, option, pooling, ...
        new_head  whether a head may be new where the checkpoint has none that fits; a warning says so
        """
        from minbert import weights  # weights know the model, the model knows no weights

        return weights.from_pretrained(cls, name, new_head, **changes)

    def save_pretrained(self, directory, dtype=None):
        """Write model.safetensors and config.json, which from_pretrained and Hugging Face's class read back.

        dtype  what to store the numbers as: torch.float16 halves the file; None: as they are
        """
        from minbert import weights

        weights.save_pretrained(self, directory, dtype)


class BertModel(Pretrained):
    """The encoder and its pooler. A new model has random weights; `from_pretrained` reads a checkpoint's.

    It starts in evaluation mode, so that the same text always gives the same numbers; call .train() for dropout.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config = Config.of(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = fast.Linear(config.hidden_size, config.hidden_size)
        initialize(self, config.initializer_range)
        if config.sinusoidal_positions:
            position = self.embeddings.position.weight.requires_grad_(False)
            position.copy_(sinusoids(*position.shape))
        self.eval()

    def forward(
        self,
        input_ids,
        attention_mask=None,
        token_type_ids=None,
        causal=False,
        output_hidden_states=False,
        output_attentions=False,
        unpad=False,
        first_only=False,
    ):
        """Vectors for each token and one for the whole text.

        input_ids       [B, T]
        attention_mask  [B, T], 1 token, 0 padding: nobody looks at it; None: no padding
        token_type_ids  [B, T], 0 first text, 1 second; None: all first
        causal          True: no token looks at those after it
        unpad           True: the vectors of padding are 0, and cost nothing (otherwise they are of no use, but there)
        first_only      True: only each text's first vector is asked for, and T of last_hidden_state is 1
        returns         {"last_hidden_state": [B, T, D], "pooler_output": [B, D]} and, on request,
                        "hidden_states": L + 1 times [B, T, D], the embeddings first;
                        "attentions": L times [B, H, T, T], before dropout
        """
        if attention_mask is None:
            attention_mask, unpad = torch.ones_like(input_ids), True
        attention_mask = attention_mask.expand_as(input_ids)  # fails for another shape
        hidden_states = [] if output_hidden_states else None
        attentions = [] if output_attentions else None
        shortcut = False
        if causal or output_attentions or not unpad:
            mask = padding_mask(attention_mask)  # [B, 1, 1, T]
            if causal:
                mask = mask & causal_mask(input_ids.size(1), input_ids.device)  # [B, 1, T, T]
            pad = nn.Identity()
            embedded = self.embeddings(input_ids, token_type_ids)  # [B, T, D]
        else:
            mask = fast.Unpadded(attention_mask)
            pad = mask.pad
            shortcut = first_only and not output_hidden_states and bool(attention_mask[:, 0].all())
            embedded = self.embeddings(input_ids, token_type_ids, mask)  # [N, D]
        x = self.encoder(embedded, mask, hidden_states, attentions, shortcut)  # [B, T, D], or [N, D], or [B, D]
        x = mask.pad_first(x) if shortcut else pad(x)[:, : 1 if first_only else None]
        output = {"last_hidden_state": x, "pooler_output": self.pool(x)}
        if output_hidden_states:
            output["hidden_states"] = tuple(map(pad, [embedded, *hidden_states]))
        if output_attentions:
            output["attentions"] = tuple(attentions)
        return output

    def pool(self, last_hidden_state):
        """[B, T, D] -> [B, D]: the first token's vector, seen through one more layer (tanh)"""
        return torch.tanh(self.pooler(last_hidden_state[:, 0]))


def initialize(module, std):
    """Random weights as BERT's were before training: N(0, std), biases 0 (google-research/bert, modeling.py)."""
    for part in module.modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            nn.init.normal_(part.weight, std=std)
        if isinstance(part, nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
