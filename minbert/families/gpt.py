"""GPT-1 (Radford et al. 2018): a decoder with the norm after each step; and the names of its and GPT-2's weights."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from minbert.decoder import CausalLM, Decoder, PostNormLayer
from minbert.errors import UserError
from minbert.families.gpt_config import GPTConfig
from minbert.weights.fill import same_values
from minbert.weights.names import LAYER, Names

PREFIX, READOUT = "transformer.", "lm_head.weight"
JOINED = "h.{}.attn.c_attn"  # query, key and value side by side
PARTS = tuple(f"{JOINED}.{part}" for part in ("query", "key", "value"))  # their names here, once they are apart
TURNED = (*PARTS, "h.{}.attn.c_proj", "h.{}.mlp.c_fc", "h.{}.mlp.c_proj")  # stored [in, out]; nn.Linear has [out, in]
LAYER_NAMES = {
    **{f"layers.{{}}.attention.{part.rpartition('.')[2]}": (part,) for part in PARTS},
    "layers.{}.attention.output": ("h.{}.attn.c_proj",),
    "layers.{}.attention_norm": ("h.{}.ln_1",),
    "layers.{}.feed_forward.expand": ("h.{}.mlp.c_fc",),
    "layers.{}.feed_forward.contract": ("h.{}.mlp.c_proj",),
    "layers.{}.feed_forward_norm": ("h.{}.ln_2",),
}
MASKS = ("h.{}.attn.bias", "h.{}.attn.masked_bias")  # stored beside the weights; c_attn.bias is a weight


class GPTNames(Names):
    """As Names, but some tensors are dropped for what they are: causal masks, and the token embeddings once more."""

    def translate(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str], list[str]]:
        """As in Names. Raises UserError for a readout that differs from the token embeddings: here they are one."""
        masks = {name for name in tensors if plain(name) in MASKS}
        apart = [name for name in tensors if plain(name.rpartition(".")[0]) in PARTS]  # names of `unpack`, not of files
        rest = {name: tensor for name, tensor in tensors.items() if name not in {*masks, *apart, READOUT}}
        ours, unexpected, dropped = super().translate(rest)
        if READOUT in tensors:
            if not same_values(tensors[READOUT], ours.get("token.weight")):
                raise UserError(
                    f"{READOUT} should equal the token embeddings, but differs: no such model is computed here"
                )
            dropped = [*dropped, "readout, equal to the token embeddings"]
        return ours, [*unexpected, *apart], sorted([*dropped, "causal masks"] if masks else dropped)


def unpack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's tensors -> one for each module, as nn.Linear has it. A tensor of an odd shape stays as it is."""
    apart = {}
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        if plain(module) == JOINED and tensor.dim() and tensor.size(-1) % 3 == 0:
            pieces = zip(PARTS, tensor.chunk(3, dim=-1))
            apart |= {f"{module}{part.removeprefix(JOINED)}.{leaf}": piece for part, piece in pieces}
        else:
            apart[name] = tensor
    return {name: turned(name, tensor) for name, tensor in apart.items()}


def pack(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same, backwards"""
    joined = {}
    for name, tensor in tensors.items():
        module, _, leaf = name.rpartition(".")
        whole = f"{module.rpartition('.')[0]}.{leaf}" if plain(module) in PARTS else name
        joined.setdefault(whole, []).append(turned(name, tensor))
    return {name: torch.cat(pieces, dim=-1) for name, pieces in joined.items()}


def turned(name: str, tensor: Tensor) -> Tensor:
    """A weight of TURNED the other way round; any other as it is"""
    return tensor.T if plain(name).removesuffix(".weight") in TURNED and tensor.dim() == 2 else tensor


def plain(name: str) -> str:
    """'transformer.h.3.attn.c_attn' -> 'h.{}.attn.c_attn'"""
    return LAYER.sub("{}", name.removeprefix(PREFIX))


def names(**modules: str) -> GPTNames:
    """The names of a family: {our module outside the layers: theirs}"""
    table = LAYER_NAMES | {ours: (theirs,) for ours, theirs in modules.items()}
    heads, titles = {"classifier": ("score",)}, {"classifier": "classifier"}
    return GPTNames(table, heads, titles, {}, PREFIX, "decoder.", unpack=unpack, pack=pack)


class OpenAIGPTModel(Decoder):
    """GPT-1 without its readout. A new model has random weights; it starts in evaluation mode."""

    architecture, config_class, layer_class, norm_class = "OpenAIGPTModel", GPTConfig, PostNormLayer, nn.Identity
    names, like = names(token="tokens_embed", position="positions_embed"), Decoder


class OpenAIGPTLMHeadModel(CausalLM):
    """GPT-1 with its readout."""

    architecture, config_class, names = "OpenAIGPTLMHeadModel", GPTConfig, OpenAIGPTModel.names
    decoder_class, like = OpenAIGPTModel, CausalLM


CONFIG = GPTConfig
MODELS = {"base": OpenAIGPTModel, "causal": OpenAIGPTLMHeadModel}
