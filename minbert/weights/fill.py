"""Strict filling: each tensor of a checkpoint is placed by its full name, dropped by name, or an error."""

from dataclasses import dataclass

import torch

from minbert.errors import UserError

LISTED = 50  # tensors that do not fit
SPARE = 2**24  # numbers that config.json may ask for beyond those stored


@dataclass
class Report:
    """What became of a checkpoint's tensors; as a string, one line for people."""

    source: str
    loaded: int
    new: list
    dropped: list

    def __str__(self):
        new = f"; new, with random weights: {', '.join(self.new)}" if self.new else ""
        dropped = f"; left out: {', '.join(self.dropped)}" if self.dropped else ""
        return f"{self.source}: {self.loaded} tensors loaded{new}{dropped}"


def check_size(path, config, tensors):
    """Raise UserError if config.json describes far more numbers than the weights hold, before memory is taken."""
    described, held = encoder_size(config), sum(tensor.numel() for tensor in tensors.values())
    if described > held + SPARE:
        raise UserError(f"{path}: describes an encoder of {described:,} numbers, but the weights are {held:,}")


def encoder_size(config):
    """How many numbers the embeddings and the layers hold, without pooler and heads."""
    wide, inner = config.hidden_size, config.intermediate_size
    embeddings = (config.vocab_size + config.max_position_embeddings + config.type_vocab_size + 2) * wide
    return embeddings + config.num_hidden_layers * (4 * wide * wide + 2 * wide * inner + 9 * wide + inner)


def same_classes(stored, wanted):
    """Whether a stored classifier answers the question that is asked now."""
    if stored.num_labels != wanted.num_labels:
        return False
    return not stored.labels or not wanted.labels or stored.labels == wanted.labels


def fill(model, tensors, source="the checkpoint", missing_head="new", keep_classifier=True):
    """Put a checkpoint's tensors into a model and return the Report; the model is untouched if they do not fit."""
    names, prefix = model.names, model.prefix
    found, unexpected, dropped = names.translate(tensors)
    target = model.state_dict()
    heads = {names.group(name) for name in target} - (set() if keep_classifier else {"classifier"})
    dropped += leave_out_heads(found, heads, names)
    dropped += settle_decoder(found, model.config, source)
    found = {name if names.group(name) in names.titles else prefix + name: tensor for name, tensor in found.items()}

    position = f"{prefix}embeddings.position.weight"
    if model.config.sinusoidal_positions and position in found:
        if not torch.equal(found[position], target[position]):
            dropped.append("learned positions")
        found[position] = target[position]  # fixed by the config, not by the checkpoint

    new = {names.group(name) for name in target} - {names.group(name) for name in found} - {None}
    may_be_missing = [name for name in target if names.group(name) in new]
    problems = mismatches(found, unexpected, target, may_be_missing, names)
    if problems:
        more = [f"  and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
        raise UserError("\n".join([f"{source} does not fit: {len(problems)} tensors", *problems[:LISTED], *more]))
    if missing_head == "error" and new - {"pooler"}:
        raise UserError(no_head(source, new - {"pooler"}, names))
    model.load_state_dict(target | found)
    titles = sorted(names.titles.get(name, name) for name in new)
    return Report(str(source), len(found), titles, sorted(dropped))


def leave_out_heads(found, wanted, names):
    """Take the heads that are not wanted out of found, {our name: tensor}; returns what they are."""
    dropped = []
    for head, title in names.titles.items():
        stored = [found.pop(name) for name in list(found) if names.group(name) == head and head not in wanted]
        if stored:
            dropped.append(f"{title} of {len(stored[0])} classes" if head == "classifier" else title)
    return dropped


def settle_decoder(found, config, source):
    """Bring the ways to store a masked-LM head to one: one bias, and a decoder only if it is not the embeddings.

    Changes found, {our name: tensor}; returns what was left out. Raises UserError where two tensors that the config
    ties differ: nobody can tell which was meant. (transformers 5.23 takes the decoder's, against the config.)
    """
    dropped, tied = [], config.tie_word_embeddings
    if "predictions.decoder.bias" in found:
        second = found.pop("predictions.decoder.bias")
        if not same_values(found.get("predictions.bias", second), second):
            if tied:
                raise UserError(f"{source}: cls.predictions.bias and cls.predictions.decoder.bias should not differ")
            dropped.append("cls.predictions.bias, which an untied decoder does not use")
        found["predictions.bias"] = second
    if tied and "predictions.decoder.weight" in found:
        if not same_values(found.pop("predictions.decoder.weight"), found.get("embeddings.token.weight")):
            raise UserError(
                f"{source}: cls.predictions.decoder.weight should be the token embeddings, but differs; "
                "with tie_word_embeddings=False it is a matrix of its own"
            )
        dropped.append("decoder, equal to the token embeddings")
    return dropped


def same_values(first, second):
    """Whether two tensors hold the same numbers, floats of whatever type; nothing is like None."""
    if second is None or first.shape != second.shape or first.is_complex() or second.is_complex():
        return False
    return torch.equal(first.double(), second.double())


def no_head(source, heads, names):
    """'all-MiniLM-L6-v2 has no masked-LM head (cls.predictions.*): ...', in one line"""
    lacking = " and no ".join(
        f"{title} for these classes" if head == "classifier" else f"{title} ({names.heads[head][0]}.*)"
        for head, title in names.titles.items()
        if head in heads
    )
    remedy = "train a new one: missing_head='new'"
    if "classifier" not in heads:
        remedy = (
            "use tiny or bert-base-uncased, or train a new one: pretrain_lm.py --model (in Python, missing_head='new')"
        )
    return f"{source} has no {lacking}: its predictions would be random; {remedy}"


def mismatches(found, unexpected, target, may_be_missing, names):
    """A line for each tensor that keeps a checkpoint from fitting, under the names that checkpoints use."""
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
        elif not tensor.float().isfinite().all():  # as they will be used: float64 may hold more
            lines.append(f"  NaN or Inf  {names.published(name)}")
    return lines
