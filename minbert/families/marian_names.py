"""The names of a Marian's weights, and what is stored beside them: positions and copies of the embeddings."""

from collections.abc import Mapping

import torch
from torch import Tensor

from minbert.errors import UserError
from minbert.weights.fill import same_values
from minbert.weights.names import Names

ATTENTION = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "out_proj"}
LAYER = {
    **{f"attention.{ours}": f"self_attn.{theirs}" for ours, theirs in ATTENTION.items()},
    "attention_norm": "self_attn_layer_norm",
    "feed_forward.expand": "fc1",
    "feed_forward.contract": "fc2",
    "feed_forward_norm": "final_layer_norm",
}
CROSS = {f"cross_attention.{ours}": f"encoder_attn.{theirs}" for ours, theirs in ATTENTION.items()}
CROSS |= {"cross_attention_norm": "encoder_attn_layer_norm"}
STACKS = {"encoder": LAYER, "decoder": LAYER | CROSS}
BIAS, SHARED, READOUT = "final_logits_bias", "shared.weight", "lm_head.weight"
POSITIONS = {f"{stack}.embed_positions.weight" for stack in STACKS}
COPIES = {f"{stack}.embed_tokens.weight" for stack in STACKS} | {READOUT}


class MarianNames(Names):
    """As Names, but what is stored again or could be computed is compared and dropped."""

    def translate(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str], list[str]]:
        """As in Names. Raises UserError for positions that are not Marian's, and for embeddings that are not tied."""
        plain = {name: name.removeprefix(self.prefix) for name in tensors}
        special = {*POSITIONS, *COPIES, BIAS}
        ours, unexpected, dropped = super().translate({n: t for n, t in tensors.items() if plain[n] not in special})
        for name, tensor in tensors.items():
            if plain[name] in POSITIONS:
                if tensor.dim() != 2 or not torch.allclose(tensor.float(), sinusoids(*tensor.shape), rtol=0, atol=1e-3):
                    raise UserError(
                        f"{name} holds other positions than Marian's sinusoids: no such model is computed here"
                    )
                dropped = [*dropped, "positions, which are computed"]
            elif plain[name] in COPIES:
                if not same_values(tensor, ours.setdefault("token.weight", tensor)):
                    raise UserError(f"{name} should equal {SHARED}, but differs: no such model is computed here")
                dropped = [*dropped, "copies of the embeddings"]
            elif plain[name] == BIAS:
                ours[BIAS] = tensor
        return ours, unexpected, sorted(set(dropped))


NAMES = MarianNames(
    modules={"token": ("shared",)}
    | {
        f"{stack}.layers.{{}}.{ours}": (f"{stack}.layers.{{}}.{theirs}",)
        for stack, table in STACKS.items()
        for ours, theirs in table.items()
    },
    heads={BIAS: (BIAS,)},
    titles={BIAS: "bias of the logits"},
    dropped={},
    prefix="model.",
    own="model.",
)


def sinusoids(length: int, size: int) -> Tensor:
    """As embeddings.sinusoids, but with all sines in front of all cosines: [length, size]"""
    even = torch.arange(0, size, 2, dtype=torch.float64)
    angle = torch.arange(length)[:, None] / 10000 ** (even / size)  # [length, size / 2]
    return torch.cat([angle.sin(), angle.cos()[:, : size // 2]], dim=1).float()
