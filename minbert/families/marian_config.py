"""The sizes of a Marian, and the keys of its config.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from minbert.config import BOUNDS, Config
from minbert.config_json import Form, may_set
from minbert.errors import UserError
from minbert.jsonfile import quoted

KEYS = {  # our field: Marian's key
    **{
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
        "num_attention_heads": "encoder_attention_heads",
    },
    **{"intermediate_size": "encoder_ffn_dim", "hidden_dropout_prob": "dropout", "initializer_range": "init_std"},
    **{"attention_probs_dropout_prob": "attention_dropout", "hidden_act": "activation_function"},
}
DECODER = {"decoder_layers": 1_000, "decoder_attention_heads": 4_096, "decoder_ffn_dim": 1_000_000}
SUPPORTED = {
    **dict.fromkeys(("is_encoder_decoder", "static_position_embeddings", "tie_word_embeddings"), (True, None)),
    "share_encoder_decoder_embeddings": (True, None),
    **dict.fromkeys(("normalize_before", "normalize_embedding", "add_final_layer_norm"), (False, None)),
    **dict.fromkeys(("activation_dropout", "encoder_layerdrop", "decoder_layerdrop"), (0.0, None)),
    **dict.fromkeys(("extra_pos_embeddings", "force_bos_token_to_be_generated"), (0, None)),
    "tokenizer_class": ("MarianTokenizer", None),
}
HARMLESS = ("add_bias_logits", "classif_dropout", "classifier_dropout", "num_hidden_layers", "decoder_vocab_size")


@may_set("use_cache")
@dataclass(frozen=True)
class MarianConfig(Config):
    """The sizes of a Marian; the defaults are opus-mt-en-es's. Without "decoder" they are of both, or the encoder's."""

    vocab_size: int = 65001
    hidden_size: int = 512
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    intermediate_size: int = 2048
    decoder_layers: int = 6
    decoder_attention_heads: int = 8
    decoder_ffn_dim: int = 2048
    hidden_act: str = "swish"
    attention_probs_dropout_prob: float = 0.0
    layer_norm_eps: float = 1e-5
    scale_embedding: bool = True  # embeddings times sqrt(D) where they are read
    eos_token_id: int = 0
    pad_token_id: int | None = None  # None: the last token
    decoder_start_token_id: int | None = None  # the first token of what is written; None: padding

    form: ClassVar[Form] = Form(
        title="Marian",
        classes={"marian": "Marian"},
        keys=KEYS,
        required=("vocab_size", *list(KEYS)[:4], *DECODER, "max_position_embeddings", "hidden_act"),
        supported=SUPPORTED,
        harmless=HARMLESS,
        absent=("type_vocab_size", "sinusoidal_positions", "layer_norm_eps", "pooling", "classifier_dropout"),
    )
    bounds: ClassVar[Mapping] = BOUNDS | {
        **{name: (1, most) for name, most in DECODER.items()},
        "hidden_act": ("swish", "gelu", "gelu_new", "relu"),
        "scale_embedding": (True, False),
        "layer_norm_eps": (1e-5, 1e-5),
    }

    def __post_init__(self):
        if self.pad_token_id is None and isinstance(self.vocab_size, int):
            object.__setattr__(self, "pad_token_id", self.vocab_size - 1)
        if self.decoder_start_token_id is None:
            object.__setattr__(self, "decoder_start_token_id", self.pad_token_id)
        super().__post_init__()
        for name in ("eos_token_id", "pad_token_id", "decoder_start_token_id"):
            if type(id := getattr(self, name)) is not int or not 0 <= id < self.vocab_size:
                raise UserError(f"{name} is {quoted(id)}, but must be an id of the {self.vocab_size} tokens")
        if self.hidden_size % self.decoder_attention_heads:
            heads = self.decoder_attention_heads
            raise UserError(
                f"decoder_attention_heads is {heads}, into which {self.hidden_size} numbers cannot be split"
            )

    @classmethod
    def settings(cls, values: Mapping) -> dict:
        """As in Config. Raises UserError for tokens of two kinds."""
        ours = super().settings(values)
        if values.get("decoder_vocab_size") not in (None, values["vocab_size"]):
            size = quoted(values["decoder_vocab_size"])
            raise UserError(
                f"decoder_vocab_size is {size}, but both stacks must have the {values['vocab_size']} tokens"
            )
        return ours | ({"hidden_act": "swish"} if ours["hidden_act"] == "silu" else {})

    @property
    def others_size(self) -> int:
        """The number of parameters in the decoder's layers."""
        wide, inner = self.hidden_size, self.decoder_ffn_dim
        return self.decoder_layers * (8 * wide * wide + 2 * wide * inner + 15 * wide + inner)

    @property
    def decoder(self) -> "MarianConfig":
        """The sizes of the decoder, under the names that a layer reads."""
        return self.change(
            num_hidden_layers=self.decoder_layers,
            num_attention_heads=self.decoder_attention_heads,
            intermediate_size=self.decoder_ffn_dim,
        )
