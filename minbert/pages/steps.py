"""The stages of a walk -> what its page shows: the tables of each step, and the sum of one cell written out."""

from types import SimpleNamespace

import torch
from torch.nn import functional as F

from minbert.heads import BertForMaskedLM
from minbert.pages.endings import class_steps, guess_steps
from minbert.pages.tables import FIRST, LONG, Table, Writer


def embedding_steps(writer: Writer, embedded) -> tuple[dict, dict]:
    """Token + position + segment, and the norm."""
    row, number = writer.row, writer.number
    parts = {name: getattr(embedded, name)[0] for name in ("token", "position", "segment")}
    x = embedded.norm.x[0]
    tables = {name: writer.vectors(part, weight=True, asked=False) for name, part in parts.items()}
    tables["sum"] = writer.vectors(x)
    first = torch.stack([part[row, 0] for part in parts.values()])
    sums = {"sum": (writer.sum(first, weight=True), number(x[row, 0]))}
    return tables | norm_tables(writer, "norm", embedded.norm), sums | norm_sums(writer, "norm", embedded.norm)


def norm_tables(writer: Writer, name: str, normed) -> dict:
    """Mean, standard deviation and what comes out."""
    before = (("mean", normed.mean[0]), ("std", normed.std[0]))
    tables = {f"{name}_normal": writer.vectors(normed.normal[0], *before)}
    if not torch.equal(normed.normal, normed.out):
        tables[f"{name}_out"] = writer.vectors(normed.out[0])
    return tables


def norm_sums(writer: Writer, name: str, normed) -> dict:
    """The mean, the standard deviation and the first number of one token."""
    at, number, term = writer.row, writer.number, writer.term
    x, mean, std = normed.x[0, at], normed.mean[0, at, 0], normed.std[0, at, 0]
    squares = [f"({number(value)} - {term(mean)})²" for value in x[:3].tolist()]
    squares += [f"({number(x[3])} - {term(mean)})²"] if len(x) == 4 else [f"{len(x) - 3} more squares"]
    return {
        f"{name}_mean": (f"({writer.sum(x)}) / {len(x)}", number(mean)),
        f"{name}_std": (f"√(({' + '.join(squares)}) / {len(x)})", number(std)),
        f"{name}_normal": (f"({number(x[0])} - {term(mean)}) / {number(std)}", number(normed.normal[0, at, 0])),
    }


def head_weights(writer: Writer, attention, head: int) -> dict:
    """The weights that make one head's queries, keys and values."""
    tables = {}
    for name in ("query", "key", "value"):
        part = getattr(attention, name)
        rows = slice(head * (size := part.out_features // attention.heads), (head + 1) * size)
        tables[f"{name}_weights"] = writer.weights(part.weight[rows], part.bias[rows])
    return tables


def head_tables(writer: Writer, stage, head: int, asked: bool = True) -> dict:
    """Q, K, V, scores, mask, softmax and mix of one head."""
    weights = SimpleNamespace(**{name: x[0, head] for name, x in vars(stage.weights).items()})
    return {
        **{name: writer.vectors(getattr(stage, name)[0, head], asked=asked) for name in ("query", "key", "value")},
        "scores": writer.pairs(stage.scores[0, head], asked=asked),
        "masked": writer.pairs(stage.masked[0, head], asked=asked),
        "exp": writer.pairs(weights.exp, weights.total, asked=asked),
        "p": writer.pairs(weights.p, weights.p.sum(-1, keepdim=True), asked=asked, shaded=True),
        "mixed": writer.vectors(stage.mixed[0, head], asked=asked),
    }


def head_sums(writer: Writer, layer, stage, head: int) -> dict:
    """One token's query, its score with another token, that pair's share, and what it takes from all tokens."""
    at, to, number = writer.row, writer.column, writer.number
    query, key, value = (getattr(stage, name)[0, head] for name in ("query", "key", "value"))
    first, part = head * query.size(1), layer.attention.query
    weights = SimpleNamespace(**{name: x[0, head, at] for name, x in vars(stage.weights).items()})
    score, root = stage.scores[0, head, at, to], stage.root
    return {
        "query": (writer.dot(stage.x[0, at], part.weight[first], part.bias[first], weight=True), number(query[at, 0])),
        "score": (f"({writer.dot(query[at], key[to])}) / {number(root)}", number(score)),
        "exp": (f"exp({number(score)})", number(weights.exp[to])),
        "total": (writer.sum(weights.exp), number(weights.total[0])),
        "p": (f"{number(weights.exp[to])} / {number(weights.total[0])}", number(weights.p[to])),
        "mixed": (writer.dot(weights.p, value[:, 0]), number(stage.mixed[0, head, at, 0])),
    }


def layer_tables(writer: Writer, layer, stage, by_hand: bool) -> dict:
    """From the joined heads to the end of the layer."""
    network = layer.feed_forward
    vectors = {"merged": stage.merged, "looked": stage.looked, "added": stage.first.x, "wide": stage.wide}
    vectors |= {"active": stage.active, "thought": stage.thought, "added2": stage.second.x}
    tables = {name: writer.vectors(x[0]) for name, x in vectors.items()}
    tables |= norm_tables(writer, "first", stage.first) | norm_tables(writer, "second", stage.second)
    parts = {"output": layer.attention.output, "expand": network.expand, "contract": network.contract}
    return tables | {name: writer.weights(part.weight, part.bias) for name, part in parts.items() if by_hand}


def layer_sums(writer: Writer, layer, stage) -> dict:
    """The first number of one token at each stage."""
    at, number, network, output = writer.row, writer.number, layer.feed_forward, layer.attention.output
    first, wide, active = stage.first.out[0, at], stage.wide[0, at], stage.active[0, at]
    sums = {
        "looked": (stage.merged[0, at], output.weight[0], output.bias[0], stage.looked),
        "wide": (first, network.expand.weight[0], network.expand.bias[0], stage.wide),
        "thought": (active, network.contract.weight[0], network.contract.bias[0], stage.thought),
    }
    sums = {name: (writer.dot(x, *own, weight=True), number(out[0, at, 0])) for name, (x, *own, out) in sums.items()}
    added = {"added": (stage.x, stage.looked, stage.first), "added2": (stage.first.out, stage.thought, stage.second)}
    for name, (x, more, normed) in added.items():
        terms = torch.stack([x[0, at, 0], more[0, at, 0]])
        sums[name] = (writer.sum(terms), number(normed.x[0, at, 0]))
    sums["active"] = (f"the larger of 0 and {number(wide[0])}", number(active[0]))
    return sums | norm_sums(writer, "first", stage.first) | norm_sums(writer, "second", stage.second)


def meeting(writer: Writer, stage, head: int) -> dict:
    """What the script needs to write out any cell of the scores: queries and keys [T][K], the root, and decimals."""
    query, key = (
        [[round(x, 7) for x in row] for row in getattr(stage, name)[0, head].tolist()] for name in ("query", "key")
    )
    return {"query": query, "key": key, "root": stage.root.item(), "decimals": writer.decimals, "long": LONG}


def stack(writer: Writer, found, layers: range) -> Table:
    """One token after each of some layers, and how like the vector before it is: the cosine."""
    at, rows = writer.row, []
    for number in layers:
        before, after = found.layers[number].x[0, at], found.layers[number].out[0, at]
        rows.append((f"layer {number}", torch.cat([F.cosine_similarity(before, after, dim=0)[None], after])))
    return writer.listed("after", rows, ["cosine", *map(str, range(1, FIRST + 1))], asked=False)


def difference(found, shown) -> list[float]:
    """How far the last hidden states, and the logits, of the shown stages are from those found: two numbers."""
    pairs = ((found.layers[-1].out, shown.layers[-1].out), (found.head.logits, shown.head.logits))
    return [(one - other).abs().max().item() for one, other in pairs]


def values(model, tokenizer, found, shown, layer: int, head: int, writer: Writer, by_hand: bool) -> dict:
    """What the template shows beside the settings: tables, sums, and where they were taken from."""
    stage, module = shown.layers[layer], model.bert.encoder.layers[layer]
    tables, sums = embedding_steps(writer, shown.embedded)
    tables |= head_tables(writer, stage, head) | layer_tables(writer, module, stage, by_hand)
    sums |= head_sums(writer, module, stage, head) | layer_sums(writer, module, stage)
    others = {}
    if by_hand:
        tables |= head_weights(writer, module.attention, head)
        for other in range(model.config.num_attention_heads):
            if other != head:
                weights = head_weights(writer, module.attention, other)
                others[other] = weights | head_tables(writer, stage, other, asked=False)
    if layer > 0:
        tables["before"] = stack(writer, shown, range(layer))
    if layer < len(shown.layers) - 1:
        tables["after"] = stack(writer, shown, range(layer + 1, len(shown.layers)))
    at = None
    if isinstance(model, BertForMaskedLM):
        at = writer.row
        more = guess_steps(writer, model, tokenizer, shown.head)
    else:
        more = class_steps(writer, model, shown.head)
    return {
        "tables": tables | more[0],
        "sums": sums | more[1],
        "others": others,
        "everywhere": more[2] if at is not None else [],
        "labels": writer.labels,
        "row": writer.labels[writer.row],
        "column": writer.labels[writer.column],
        "at": at,
        "root": writer.number(stage.root),
        "far": [f"{number:.4f}" for number in difference(found, shown)],
    }
