"""The names of weights in other checkpoints -> ours, by tables of full names: parts of a name are never replaced."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from minbert.errors import UserError
from minbert.jsonfile import quoted

LAYER = re.compile(r"(?<=\.)(0|[1-9][0-9]*)(?=\.)")  # a number between two dots


@dataclass(frozen=True)
class Names:
    """The names of a model family's weights in other checkpoints.

    modules  {our module: its other names}; {} stands for a layer's number. Reading accepts all of the names, writing
             uses the first
    heads    the same for the modules on top of the encoder
    titles   {our head: its name in messages}
    dropped  {a tensor's name in checkpoints: its description}: tensors that are dropped on purpose
    prefix   the prefix of the encoder's names in checkpoints that have a head, "roberta."; ours is `own`
    own      our attribute of the encoder or decoder in classes that have a head, with a dot
    remedy   what to do about a checkpoint without a language-model head
    unpack   a checkpoint's {name: tensor} -> the same with each module's tensors as ours are: turned, split, ...
    pack     the way back, for what is written
    """

    modules: dict
    heads: dict
    titles: dict
    dropped: dict
    prefix: str = "bert."
    own: str = "bert."
    remedy: str = "use tiny or bert-base-uncased, or train a new one: pretrain_lm.py --model (in Python, {})"
    unpack: Callable[[Mapping], Mapping] = dict
    pack: Callable[[Mapping], Mapping] = dict

    def tensors(self) -> dict[str, str]:
        """A row for each tensor of `modules` and `heads`: {name in checkpoints: our name}

        {"encoder.layer.{}.output.LayerNorm.gamma": "encoder.layers.{}.feed_forward_norm.weight", ...}
        """
        table = {}
        for ours, theirs in (self.modules | self.heads).items():
            leaves = {"weight": "weight", "bias": "bias"}
            if ours.endswith("norm"):  # TensorFlow's names, in checkpoints converted early on
                leaves |= {"gamma": "weight", "beta": "bias"}
            if ours in ("embeddings.token", "embeddings.position", "embeddings.segment"):
                leaves = {"weight": "weight"}
            if ours == "predictions":
                leaves = {"bias": "bias"}
            for module in theirs:
                table |= {f"{module}.{leaf}": f"{ours}.{our_leaf}" for leaf, our_leaf in leaves.items()}
        return table

    def translate(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str], list[str]]:
        """{checkpoint's name: tensor} -> {our name: tensor}, unknown names, descriptions of dropped tensors

        Raises UserError if two tensors of the checkpoint have the same name of ours.
        """
        table = self.tensors()
        ours, unexpected, dropped, origin = {}, [], set(), {}
        for name, tensor in self.unpack(tensors).items():
            plain = name.removeprefix(self.prefix)
            if plain in self.dropped:
                dropped.add(self.dropped[plain])
                continue
            template = None if "{" in plain else table.get(LAYER.sub("{}", plain))
            if template is None:
                unexpected.append(name if name.isprintable() and len(name) < 200 else quoted(name))
                continue
            our_name = template.format(*LAYER.findall(plain))
            if our_name in ours:
                raise UserError(f"holds the same weights twice: {origin[our_name]} and {name}")
            ours[our_name], origin[our_name] = tensor, name
        return ours, unexpected, sorted(dropped)

    def group(self, name: str) -> str | None:
        """The head to which a tensor belongs; a checkpoint must hold all tensors of a head or none.

        'predictions.dense.weight' -> 'predictions'; None for a tensor of the encoder, which must be present.
        """
        first = name.removeprefix(self.own).partition(".")[0]
        return first if first == "pooler" or first in self.titles else None

    def of_head(self, head: str) -> str:
        """The name of a head in checkpoints, without its leaves: that of the head itself, or of its first module."""
        parts = (theirs[0] for ours, theirs in self.heads.items() if ours.startswith(f"{head}."))
        return self.heads[head][0] if head in self.heads else next(parts)

    def published(self, our_name: str) -> str:
        """Our name -> the first of its names in checkpoints; an unknown name stays as it is.

        'bert.encoder.layers.3.feed_forward_norm.weight' -> 'bert.encoder.layer.3.output.LayerNorm.weight'
        """
        inside = our_name.startswith(self.own)
        module, _, leaf = our_name.removeprefix(self.own).rpartition(".")
        theirs = None if "{" in module else (self.modules | self.heads).get(LAYER.sub("{}", module))
        prefix = self.prefix if inside else ""
        return f"{prefix}{theirs[0].format(*LAYER.findall(module))}.{leaf}" if theirs else our_name
