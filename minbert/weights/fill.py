"""Fill a model from a checkpoint, strictly: each tensor is placed by its full name, dropped by name, or an error."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from minbert.errors import UserError
from minbert.weights.names import Names
from minbert.wording import counted

LISTED = 50  # a message lists at most this many tensors
SPARE = 2**24  # parameters that config.json may describe beyond those stored


class NotDrawn(TorchFunctionMode):
    """A context in which a new layer draws no random numbers. Its weights are whatever its memory holds, untouched: for
    a model that `fill` fills: all-MiniLM-L6-v2 spent more time on numbers that nobody sees than on reading its file."""

    DRAWS = nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        return kwargs["tensor"] if function in self.DRAWS else function(*args, **kwargs)


@dataclass
class Report:
    """Which of a checkpoint's tensors were loaded and dropped, and which of the model's are new; str() is one line."""

    source: str
    loaded: int  # tensors
    new: list[str]  # titles of the heads with random weights
    dropped: list[str]  # descriptions
    unknown: Sequence[str] = ()  # keys of config.json
    directory: Path | None = None  # of the checkpoint

    def __str__(self):
        new = f"; new, with random weights: {', '.join(self.new)}" if self.new else ""
        dropped = f"; left out: {', '.join(self.dropped)}" if self.dropped else ""
        unknown = f"; in config.json, unknown and not used: {', '.join(self.unknown)}" if self.unknown else ""
        return f"{self.source}: {counted(self.loaded, 'tensor')} loaded{new}{dropped}{unknown}"


def check_size(path: Path, config, tensors: dict[str, Tensor]) -> None:
    """Raise UserError, before memory is taken, if config.json describes far more parameters than the weights hold."""
    described, held = encoder_size(config), sum(tensor.numel() for tensor in tensors.values())
    if described > held + SPARE:
        raise UserError(f"{path}: describes a model of {described:,} parameters, but the weights have {held:,}")


def encoder_size(config) -> int:
    """The number of parameters in the embeddings and the layers of an encoder or decoder, without pooler and heads."""
    wide, inner = config.hidden_size, config.intermediate_size
    rows = config.vocab_size + config.max_position_embeddings + config.type_vocab_size + 2
    size = rows * config.embedding_size + config.num_hidden_layers * (
        4 * wide * wide + 2 * wide * inner + 9 * wide + inner
    )
    return size + config.others_size


def same_classifier(stored, wanted) -> bool:
    """Whether a classifier with the config `stored` reads the same vector, and finds the same classes, as `wanted`."""
    if (stored.num_labels, stored.pooling) != (wanted.num_labels, wanted.pooling):
        return False
    return not stored.labels or not wanted.labels or stored.labels == wanted.labels


def fill(
    model: torch.nn.Module,
    tensors: dict[str, Tensor],
    source: str | Path = "the checkpoint",
    missing_head: str = "new",
    keep_classifier: bool = True,
    because: str = "",
    random: bool = True,
) -> Report:
    """Put a checkpoint's tensors, {its name: tensor}, into a model.

    source           the checkpoint's name in messages
    missing_head     as in Pretrained.from_pretrained
    keep_classifier  False: drop the checkpoint's classifier
    because          for the Report: what that classifier does
    random           False: the model was made under NotDrawn. What the checkpoint lacks becomes 0, and what it has is
                     not copied, but taken over
    Raises UserError if the tensors do not fit; then the model is unchanged.
    """
    names, prefix = model.names, model.prefix
    try:
        found, unexpected, dropped = names.translate(tensors)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    target = model.state_dict()
    heads = {names.group(name) for name in target} - (set() if keep_classifier else {"classifier"})
    left_out = leave_out_heads(found, heads, names)
    dropped += [f"{head}, which {because}" if because and head.startswith("classifier") else head for head in left_out]
    dropped += unify_decoder(found, model.config, source, names)
    found = with_prefix(found, model)

    position = f"{prefix}embeddings.position.weight"
    if model.config.sinusoidal_positions and position in found:
        if not torch.equal(found[position], target[position]):
            dropped.append("learned positions")
        found[position] = target[position]  # the config's sinusoids, not the checkpoint's

    new = {names.group(name) for name in target} - {names.group(name) for name in found} - {None}
    may_be_missing = [name for name in target if names.group(name) in new]
    problems = mismatches(found, unexpected, target, may_be_missing, names)
    if problems:
        more = [f"  and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
        title = f"{source} does not fit: {counted(len(problems), 'tensor')}"
        raise UserError("\n".join([title, *problems[:LISTED], *more]))
    if missing_head == "error" and new - {"pooler"}:
        raise UserError(no_head(source, new - {"pooler"}, names))
    if random:
        model.load_state_dict(target | found)
    else:
        found = {name: tensor.to(target[name].dtype).contiguous() for name, tensor in found.items()}
        lacking = {name: torch.zeros_like(target[name]) for name in may_be_missing}
        model.load_state_dict(target | lacking | found, assign=True)
    titles = sorted(names.titles.get(name, name) for name in new)
    return Report(str(source), len(found), titles, sorted(dropped))


def with_prefix(found: dict[str, Tensor], model) -> dict[str, Tensor]:
    """{our name without the encoder's prefix: tensor} -> the names in `model`"""
    names, prefix = model.names, model.prefix
    return {name if names.group(name) in names.titles else prefix + name: tensor for name, tensor in found.items()}


def our_names(model: torch.nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with published names, as save_pretrained writes them -> with the names in `model`.

    A state dict that has the model's own names, or any that are neither, is returned as it is.
    """
    own = model.state_dict().keys()
    if state.keys() <= own:
        return state
    try:
        found, unexpected, _ = model.names.translate(state)
        unify_decoder(found, model.config, "the state dict", model.names)
    except UserError:
        return state
    found = with_prefix(found, model)
    return found if not unexpected and found.keys() <= own else state


def leave_out_heads(found: dict[str, Tensor], wanted: set, names: Names) -> list[str]:
    """Remove the heads that are not wanted from `found`, {our name: tensor}; returns their descriptions."""
    dropped = []
    for head, title in names.titles.items():
        stored = {name: found.pop(name) for name in list(found) if names.group(name) == head and head not in wanted}
        if stored:  # the last layer of a classifier has a row for each class
            last = stored.get("classifier.out_proj.weight", next(iter(stored.values())))
            dropped.append(f"{title} of {len(last)} classes" if head == "classifier" else title)
    return dropped


def unify_decoder(found: dict[str, Tensor], config, source: str | Path, names: Names) -> list[str]:
    """Reduce a stored masked-LM head to one bias, and to a decoder only if that is not tied to the embeddings.

    Changes `found`, {our name: tensor}; returns descriptions of what was dropped. Raises UserError if two tensors that
    the config ties differ: either could be the right one. (transformers 5.23 takes the decoder's, against the config.)
    """
    dropped, tied = [], config.tie_word_embeddings
    bias, second_bias, weight = (
        names.published(f"predictions.{end}") for end in ("bias", "decoder.bias", "decoder.weight")
    )
    if "predictions.decoder.bias" in found:
        second = found.pop("predictions.decoder.bias")
        if not same_values(found.get("predictions.bias", second), second):
            if tied:
                raise UserError(f"{source}: {bias} and {second_bias} must be equal")
            dropped.append(f"{bias}, which an untied decoder does not use")
        found["predictions.bias"] = second
    if tied and "predictions.decoder.weight" in found:
        if not same_values(found.pop("predictions.decoder.weight"), found.get("embeddings.token.weight")):
            raise UserError(
                f"{source}: {weight} should equal the token embeddings, but differs; "
                "with tie_word_embeddings=False it is a separate matrix"
            )
        dropped.append("decoder, equal to the token embeddings")
    return dropped


def same_values(first: Tensor, second: Tensor | None) -> bool:
    """Whether two tensors hold the same numbers, in float types that may differ; False if the second is None."""
    if second is None or first.shape != second.shape or first.is_complex() or second.is_complex():
        return False
    return torch.equal(first.double(), second.double())


def no_head(source: str | Path, heads: set, names: Names) -> str:
    """The message for missing heads, in one line: 'all-MiniLM-L6-v2 has no masked-LM head (cls.predictions.*): ...'"""
    missing = " and no ".join(
        f"{title} for these classes" if head == "classifier" else f"{title} ({names.of_head(head)}.*)"
        for head, title in names.titles.items()
        if head in heads
    )
    remedy = "train a new one: missing_head='new'"
    if "classifier" not in heads:
        remedy = names.remedy.format("missing_head='new'")
    return f"{source} has no {missing}: its predictions would be random; {remedy}"


def mismatches(
    found: dict[str, Tensor],
    unexpected: Sequence[str],
    target: dict[str, Tensor],
    may_be_missing: Sequence[str],
    names: Names,
) -> list[str]:
    """A line for each tensor that does not fit, under its name in checkpoints."""
    missing = [name for name in target if name not in found and name not in may_be_missing]
    lines = [f"  missing     {names.published(name)}" for name in missing]
    lines += [f"  unexpected  {name}" for name in unexpected]
    for name, tensor in found.items():
        if name not in target:
            lines.append(f"  unexpected  {names.published(name)}")
        elif tensor.shape != target[name].shape:
            wanted, got = list(target[name].shape), list(tensor.shape)
            lines.append(f"  wrong shape {names.published(name)}: {got}, but config.json makes it {wanted}")
        elif not tensor.is_floating_point():
            lines.append(f"  wrong type  {names.published(name)}: {str(tensor.dtype).removeprefix('torch.')}")
        elif not is_finite(tensor):
            lines.append(f"  NaN or Inf  {names.published(name)}")
    return lines


def is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite in the type of the model: float64 holds larger ones. One pass, without a copy."""
    return not tensor.numel() or all(extreme.isfinite() for extreme in tensor.float().aminmax())
