"""BERT = embeddings + encoder + pooler (Devlin et al. 2019). At the foot: the names of its weights elsewhere."""

import torch
from torch import Tensor, nn

from minbert.attention import causal_mask, padding_mask
from minbert.config import Config
from minbert.embeddings import Embeddings, sinusoids
from minbert.encoder import Encoder
from minbert.weights import Pretrained
from minbert.weights.names import Names


class BertModel(Pretrained):
    """The encoder and its pooler. A new model has random weights; `from_pretrained` loads a checkpoint's.

    It starts in evaluation mode: the same text always gives the same numbers. Call .train() for dropout.
    """

    architecture, prefix, config_class = "BertModel", "", Config

    def __init__(self, config):
        super().__init__()
        self.config = config = Config.of(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        initialize(self, config.initializer_range)
        if config.sinusoidal_positions:
            position = self.embeddings.position.weight.requires_grad_(False)
            position.copy_(sinusoids(*position.shape))
        self.eval()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        causal: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> dict:
        """A vector for each token, and one for the whole text.

        input_ids       [B, T]
        attention_mask  [B, T], 1 token, 0 padding, at which no token looks; None: no padding
        token_type_ids  [B, T], 0 first text, 1 second; None: all first
        causal          True: no token looks at later ones
        returns         {"last_hidden_state": [B, T, D], "pooler_output": [B, D]} and, on request,
                        "hidden_states": L + 1 times [B, T, D], the embeddings first;
                        "attentions": L times [B, H, T, T], before dropout
        """
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        mask = padding_mask(attention_mask.expand_as(input_ids))  # [B, 1, 1, T]
        if causal:
            mask = mask & causal_mask(input_ids.size(1), input_ids.device)  # [B, 1, T, T]
        embedded = self.embeddings(input_ids, token_type_ids)  # [B, T, D]
        hidden_states = [embedded] if output_hidden_states else None
        attentions = [] if output_attentions else None
        x = self.encoder(embedded, mask, hidden_states, attentions)  # [B, T, D]
        output = {"last_hidden_state": x, "pooler_output": self.pool(x)}
        on_request = {"hidden_states": hidden_states, "attentions": attentions}
        return output | {name: tuple(found) for name, found in on_request.items() if found is not None}

    def pool(self, last_hidden_state: Tensor) -> Tensor:
        """[B, T, D] -> [B, D]: the first token's vector after one more layer (tanh)"""
        return torch.tanh(self.pooler(last_hidden_state[:, 0]))


def initialize(module: nn.Module, std: float) -> None:
    """Random weights as at the start of BERT's pretraining: N(0, std), biases 0 (google-research/bert, modeling.py)."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Embedding)):
            nn.init.normal_(layer.weight, std=std)
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


# A row for each module: ours, Hugging Face's, the course kits' (neubig/minbert-assignment and the kits made from it).
# First the modules of each layer, then the others.
LAYER_NAMES = (
    ("attention.query", "attention.self.query", "self_attention.query"),
    ("attention.key", "attention.self.key", "self_attention.key"),
    ("attention.value", "attention.self.value", "self_attention.value"),
    ("attention.output", "attention.output.dense", "attention_dense"),
    ("attention_norm", "attention.output.LayerNorm", "attention_layer_norm"),
    ("feed_forward.expand", "intermediate.dense", "interm_dense"),
    ("feed_forward.contract", "output.dense", "out_dense"),
    ("feed_forward_norm", "output.LayerNorm", "out_layer_norm"),
)
BertModel.names = Names(
    modules={
        "embeddings.token": ("embeddings.word_embeddings", "word_embedding"),
        "embeddings.position": ("embeddings.position_embeddings", "pos_embedding"),
        "embeddings.segment": ("embeddings.token_type_embeddings", "tk_type_embedding"),
        "embeddings.norm": ("embeddings.LayerNorm", "embed_layer_norm"),
        **{
            f"encoder.layers.{{}}.{ours}": (f"encoder.layer.{{}}.{theirs}", f"bert_layers.{{}}.{kits}")
            for ours, theirs, kits in LAYER_NAMES
        },
        "pooler": ("pooler.dense", "pooler_dense"),
    },
    heads={
        "predictions.dense": ("cls.predictions.transform.dense",),
        "predictions.norm": ("cls.predictions.transform.LayerNorm",),
        "predictions.decoder": ("cls.predictions.decoder",),
        "predictions": ("cls.predictions",),  # its bias; some checkpoints store it twice, also as the decoder's
        "next_sentence": ("cls.seq_relationship",),
        "classifier": ("classifier", "sentence_classifier"),  # the second: it reads no pooler
    },
    titles={"predictions": "masked-LM head", "next_sentence": "next-sentence head", "classifier": "classifier"},
    dropped={"embeddings.position_ids": "position ids", "position_ids": "position ids"}  # stored as 0, 1, 2, ...
    | dict.fromkeys(("qa_outputs.weight", "qa_outputs.bias"), "question-answering head"),
)
