"""The sizes of GPT-1 and GPT-2, and the keys of their config.json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from minbert.config import BOUNDS, Config
from minbert.config_json import Form, may_set, write_config
from minbert.errors import UserError
from minbert.jsonfile import quoted

KEYS = {  # our field: OpenAI's key
    **{"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"},
    **{"intermediate_size": "n_inner", "max_position_embeddings": "n_positions", "hidden_dropout_prob": "resid_pdrop"},
    **{"attention_probs_dropout_prob": "attn_pdrop", "embedding_dropout_prob": "embd_pdrop"},
    "layer_norm_eps": "layer_norm_epsilon",
}
SUPPORTED = {
    **dict.fromkeys(("scale_attn_weights", "tie_word_embeddings"), (True, None)),
    "scale_attn_by_inverse_layer_idx": (False, None),
    "tokenizer_class": ("GPT2Tokenizer", "GPT2TokenizerFast", "OpenAIGPTTokenizer", "OpenAIGPTTokenizerFast", None),
}
HARMLESS = (  # of heads that are not here, of rounding, or a copy of n_positions
    *("summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout"),
    *("reorder_and_upcast_attn", "predict_special_tokens", "n_special", "n_ctx"),
)
REQUIRED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
ABSENT = ("type_vocab_size", "sinusoidal_positions", "tie_word_embeddings", "pooling", "classifier_dropout")


def form(title: str, model_type: str, classes: str, activation: str) -> Form:
    """The Form of one of the two. activation: its key for hidden_act"""
    supported = SUPPORTED | {"model_type": (model_type,)}
    return Form(title, {model_type: classes}, KEYS | {"hidden_act": activation}, REQUIRED, supported, HARMLESS, ABSENT)


@may_set("use_cache")
@dataclass(frozen=True)
class GPTConfig(Config):
    """The sizes of a GPT; the defaults are GPT-1's."""

    vocab_size: int = 40478
    hidden_act: str = "gelu_new"
    layer_norm_eps: float = 1e-5
    embedding_dropout_prob: float = 0.1
    pooling: str = "last"  # a classifier reads the last token: the only one that has seen the whole text
    eos_token_id: int | None = None  # where a text ends; None: the model has no such token
    bos_token_id: int | None = None  # this and the next are for other software: nothing here reads them
    pad_token_id: int | None = None

    form: ClassVar[Form] = form("GPT-1", "openai-gpt", "OpenAIGPT", "afn")
    bounds: ClassVar[Mapping] = BOUNDS | {"embedding_dropout_prob": (0.0, 1.0), "pooling": ("last",)}
    activations: ClassVar[Mapping] = {"gelu": "gelu_new", "relu": "relu"}  # GPT-1's "gelu" is the one with tanh

    @classmethod
    def settings(cls, values: Mapping) -> dict:
        """As in Config: the feed-forward layer is four times as wide as the others where the file does not say it."""
        ours, key = super().settings(values), cls.form.keys["hidden_act"]
        act = values.get(key, next(iter(cls.activations)))
        if not isinstance(act, str) or act not in cls.activations:
            raise UserError(f"{key} is {quoted(act)}, but can be: {', '.join(cls.activations)}")
        if values.get("n_ctx", ours["max_position_embeddings"]) != ours["max_position_embeddings"]:
            raise UserError("n_ctx and n_positions differ, but both say how many tokens a text may have")
        if ours.get("intermediate_size") is None and isinstance(ours["hidden_size"], int):
            ours["intermediate_size"] = 4 * ours["hidden_size"]
        return ours | {"hidden_act": cls.activations[act]}

    def to_json(self, path: str | Path, architecture: str) -> None:
        """As in Config"""
        act = next((theirs for theirs, ours in self.activations.items() if ours == self.hidden_act), None)
        if act is None or (self.form.title == "GPT-1" and self.intermediate_size != 4 * self.hidden_size):
            cannot = "another hidden_act" if act is None else "a feed-forward layer of another width"
            raise UserError(f"{path}: not written: other software knows no {self.form.title} with {cannot}")
        write_config(path, asdict(self) | {"hidden_act": act}, architecture, self.form)


@may_set("use_cache")
@dataclass(frozen=True)
class GPT2Config(GPTConfig):
    """The sizes of a GPT-2; the defaults are the smallest one's."""

    vocab_size: int = 50257
    max_position_embeddings: int = 1024
    eos_token_id: int | None = 50256
    bos_token_id: int | None = 50256

    form: ClassVar[Form] = form("GPT-2", "gpt2", "GPT2", "activation_function")
    activations: ClassVar[Mapping] = {"gelu_new": "gelu_new", "gelu": "gelu", "relu": "relu"}
