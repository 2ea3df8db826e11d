"""The names that weights have elsewhere -> ours, by full-name tables: never by replacing parts of a name."""

import re
from dataclasses import dataclass

from minbert.errors import UserError
from minbert.jsonfile import quoted

LAYER = re.compile(r"(?<=\.)(0|[1-9][0-9]*)(?=\.)")  # a whole number alone between dots


@dataclass(frozen=True)
class Names:
    """What a family's weights are called in other people's checkpoints.

    modules  {our module: its names elsewhere}; {} is the number of a layer. Reading takes any of the names, writing the
             first
    heads    the same for what stands on top of the encoder
    titles   {the first part of a head's name: what it is called in messages}
    dropped  {a tensor's name elsewhere: what it is}: read and left out on purpose
    """

    modules: dict
    heads: dict
    titles: dict
    dropped: dict

    def tensors(self):
        """The tables, spelt out for each tensor.

        {"encoder.layer.{}.output.LayerNorm.gamma": "encoder.layers.{}.feed_forward_norm.weight", ...}
        """
        table = {}
        for ours, theirs in (self.modules | self.heads).items():
            leaves = {"weight": "weight", "bias": "bias"}
            if ours.endswith("norm"):  # TensorFlow's names, in checkpoints converted long ago
                leaves |= {"gamma": "weight", "beta": "bias"}
            if ours in ("embeddings.token", "embeddings.position", "embeddings.segment"):
                leaves = {"weight": "weight"}
            if ours == "predictions":
                leaves = {"bias": "bias"}
            for module in theirs:
                table |= {f"{module}.{leaf}": f"{ours}.{our_leaf}" for leaf, our_leaf in leaves.items()}
        return table

    def translate(self, tensors):
        """Checkpoint's names -> ours: {our name: tensor}, names of no table, descriptions of what was dropped.

        Raises UserError if two tensors of the checkpoint claim the same place.
        """
        table = self.tensors()
        ours, unexpected, dropped, origin = {}, [], set(), {}
        for name, tensor in tensors.items():
            plain = name.removeprefix("bert.")
            if plain in self.dropped:
                dropped.add(self.dropped[plain])
                continue
            template = None if "{" in plain else table.get(LAYER.sub("{}", plain))
            if template is None:
                unexpected.append(name if name.isprintable() and len(name) < 200 else quoted(name))
                continue
            our_name = template.format(*LAYER.findall(plain))
            if our_name in ours:
                raise UserError(f"the checkpoint holds the same weights twice: {origin[our_name]} and {name}")
            ours[our_name], origin[our_name] = tensor, name
        return ours, unexpected, sorted(dropped)

    def group(self, name):
        """The group of tensors that must all be present or all be absent, by one of its names.

        'predictions.dense.weight' -> 'predictions'; None for a tensor of the encoder, which must be present.
        """
        first = name.removeprefix("bert.").partition(".")[0]
        return first if first == "pooler" or first in self.titles else None

    def published(self, our_name):
        """'bert.encoder.layers.3.feed_forward_norm.weight' -> 'bert.encoder.layer.3.output.LayerNorm.weight'"""
        prefix = "bert." if our_name.startswith("bert.") else ""
        module, _, leaf = our_name.removeprefix(prefix).rpartition(".")
        theirs = None if "{" in module else (self.modules | self.heads).get(LAYER.sub("{}", module))
        return f"{prefix}{theirs[0].format(*LAYER.findall(module))}.{leaf}" if theirs else our_name
