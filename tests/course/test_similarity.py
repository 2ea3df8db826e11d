"""Copies are found although everything is renamed; work that was written apart is not."""

import ast
import random
import re

from minbert.course import kit, similarity
from minbert.course.blank import functions
from minbert.course.similarity import LENGTH, WINDOW, grams, pairs, symbols, uses, winnow

FILES = ("attention.py", "encoder.py", "embeddings.py")
# Ways to write each function of these files. Not all are right: likeness does not ask.
FORMS = {
    "padding_mask": [
        "return attention_mask.bool()[:, None, None, :]",
        "keep = attention_mask != 0\nreturn keep.unsqueeze(1).unsqueeze(1)",
        "rows, places = attention_mask.shape\nreturn (attention_mask > 0).view(rows, 1, 1, places)",
    ],
    "causal_mask": [
        "return torch.ones(length, length, dtype=torch.bool, device=device).tril()",
        "at = torch.arange(length, device=device)\nreturn at[:, None] >= at[None, :]",
        "full = torch.full((length, length), True, device=device)\nreturn ~torch.triu(full, diagonal=1)",
    ],
    "attention_scores": [
        "return query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))",
        "scale = query.shape[-1] ** -0.5\nreturn torch.einsum('bhik,bhjk->bhij', query, key) * scale",
        "product = torch.matmul(query, key.permute(0, 1, 3, 2))\nreturn product.div(key.size(3) ** 0.5)",
        "size = query.shape[3]\nrows = []\nfor one, other in zip(query, key):\n"
        "    rows.append(torch.bmm(one, other.mT) / size**0.5)\nreturn torch.stack(rows)",
    ],
    "attend": [
        "scores = attention_scores(query, key).masked_fill(~mask, -1e9)\n"
        "weights = scores.softmax(dim=-1) * mask\nreturn dropout(weights) @ value, weights",
        "logits = attention_scores(query, key)\nlogits = torch.where(mask, logits, torch.tensor(-math.inf))\n"
        "weights = torch.nan_to_num(torch.softmax(logits, -1))\n"
        "mixed = torch.einsum('bhij,bhjk->bhik', dropout(weights), value)\nreturn mixed, weights",
        "raw = attention_scores(query, key)\nlargest = raw.amax(dim=-1, keepdim=True)\n"
        "power = torch.exp(raw - largest) * mask.to(raw.dtype)\ntotal = power.sum(-1, keepdim=True).clamp(min=1e-30)\n"
        "return torch.matmul(dropout(power / total), value), power / total",
    ],
    "MultiHeadAttention.split": [
        "return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)",
        "batch, length, size = x.shape\nx = x.view(batch, length, self.heads, size // self.heads)\n"
        "return x.permute(0, 2, 1, 3)",
        "pieces = x.chunk(self.heads, dim=2)\nreturn torch.stack(pieces, dim=1)",
    ],
    "MultiHeadAttention.merge": [
        "return x.transpose(1, 2).flatten(2)",
        "batch, heads, length, size = x.shape\nreturn x.permute(0, 2, 1, 3).reshape(batch, length, heads * size)",
        "return torch.cat(list(x.unbind(dim=1)), dim=-1)",
    ],
    "gelu": [
        "return 0.5 * x * (1.0 + torch.erf(x / math.sqrt(2.0)))",
        "normal = torch.distributions.Normal(0.0, 1.0)\nreturn x * normal.cdf(x)",
        "half = x.mul(0.5)\ninside = torch.erf(x * 2**-0.5)\nreturn half.add(half.mul(inside))",
    ],
    "FeedForward.forward": [
        "return self.contract(self.activation(self.expand(x)))",
        "hidden = self.expand(x)\nhidden = self.activation(hidden)\nx = self.contract(hidden)\nreturn x",
        "for step in (self.expand, self.activation, self.contract):\n    x = step(x)\nreturn x",
    ],
    "EncoderLayer.forward": [
        "looked, weights = self.attention(x, mask)\nx = self.attention_norm(x + self.dropout(looked))\n"
        "return self.feed_forward_norm(x + self.dropout(self.feed_forward(x))), weights",
        "residual = x\noutput, p = self.attention(residual, mask)\noutput = self.dropout(output)\n"
        "middle = self.attention_norm(torch.add(residual, output))\nhidden = self.dropout(self.feed_forward(middle))\n"
        "result = self.feed_forward_norm(torch.add(middle, hidden))\nreturn result, p",
        "around = self.attention(x, mask)\ndef join(norm, old, new):\n    return norm(old + self.dropout(new))\n"
        "x = join(self.attention_norm, x, around[0])\n"
        "return join(self.feed_forward_norm, x, self.feed_forward(x)), around[1]",
    ],
    "Embeddings.forward": [
        "if positions is None:\n    positions = torch.arange(ids.size(1), device=ids.device)\n"
        "x = self.token(ids) + self.position(positions) + self.segment(segments)\nreturn self.dropout(self.norm(x))",
        "length = ids.shape[1]\nwhere = torch.arange(0, length).to(ids.device) if positions is None else positions\n"
        "parts = [self.token(ids), self.position(where)]\nparts.append(self.segment(segments))\n"
        "return self.dropout(self.norm(torch.stack(torch.broadcast_tensors(*parts)).sum(0)))",
        "total = self.token.weight[ids]\ntotal = total + self.segment.weight[segments]\n"
        "total += self.position.weight[: ids.size(1)][None]\nnormed = self.norm(total)\nnormed = self.dropout(normed)\n"
        "return normed",
    ],
}
BLANKS = {name: kit.sources()[name] for name in FILES}
GIVEN = {value for source in BLANKS.values() for value, _ in grams(source.encode())}
NAMES = re.compile(
    r"\b(scores|weights|logits|keep|full|scale|product|rows|raw|power|total|hidden|residual|middle|parts)\b"
)


def write(choice: dict) -> dict[str, str]:
    """The files of a student who chose a form for each function."""
    found = {}
    for name, source in BLANKS.items():
        lines = source.splitlines()
        for full, node in sorted(functions(ast.parse(source)), key=lambda pair: -pair[1].lineno):
            if full in choice:
                indent = " " * (node.col_offset + 4)
                body = [indent + line for line in FORMS[full][choice[full]].splitlines()]
                lines[node.body[-1].lineno - 1 : node.end_lineno] = body
        found[name] = "\n".join(lines) + "\n"
    return found


def marks(files):
    return {
        value: (name, line)
        for name, source in files.items()
        for value, line in winnow(grams(source.encode())).items()
        if value not in GIVEN
    }


def disguise(files, draw):
    """The same work with other names, comments and empty lines, some functions in another place."""
    new = {}
    found = {}
    for name, source in files.items():
        source = NAMES.sub(lambda match: new.setdefault(match[0], f"v{draw.randrange(10**6)}"), source)
        source = "\n".join(
            line + ("  # changed\n" if draw.random() < 0.3 and line.strip() else "") for line in source.split("\n")
        )
        found[name] = "# mine\n" + source
    return found


def test_renamed_copies_are_found_and_work_written_apart_is_not():
    """Students of whom any two chose another form for at least five of ten functions, and 20 copies."""
    draw, chosen = random.Random(0), []
    for _ in range(5000):
        choice = {name: draw.randrange(len(forms)) for name, forms in FORMS.items()}
        if all(sum(choice[name] != other[name] for name in FORMS) >= 5 for other in chosen):
            chosen.append(choice)
    assert len(chosen) > 50
    class_ = {f"s{at:03}": marks(write(choice)) for at, choice in enumerate(chosen)}
    assert pairs(class_) == []
    copied = draw.sample(range(len(chosen)), 20)
    for at in copied:
        class_[f"copy{at:03}"] = marks(disguise(write(chosen[at]), draw))
    found = {(pair.one, pair.other) for pair in pairs(class_)}
    assert found == {(f"copy{at:03}", f"s{at:03}") for at in copied}


def test_winnowing_finds_every_run_that_is_long_enough():
    """Schleimer et al. 2003: a run of LENGTH + WINDOW - 1 tokens in two files always leaves a common hash."""
    draw = random.Random(1)
    words = ("a + b;", "x = [1];", "(a, b);", "a.sum();", "a if b else c;", "not a;", "a ** 2;")

    def text(count):
        return " ".join(draw.choice(words) for _ in range(count))

    shared = text(30)
    assert len(symbols(shared.encode())) > LENGTH + WINDOW
    one, other = (text(40) + shared + text(40) for _ in range(2))
    assert winnow(grams(one.encode())).keys() & winnow(grams(other.encode())).keys()


def test_symbols():
    source = b'def f(x):\n    """doc"""\n    # comment\n    return x.sum(1) + y.own("a")\n'
    known = frozenset({"sum"})
    assert [text for text, _ in symbols(source, known)] == (
        ["def", "n", "(", "n", ")", ":", "return", "n", ".", "sum", "(", "1", ")", "+", "n", ".", "n", "(", "s", ")"]
    )
    assert grams(b"def (((\n") == grams("é".encode("latin-1")) == []


def test_what_a_file_uses_is_told_with_its_line():
    source = b"import os, socket\nfrom torch.optim import AdamW\n\nos._exit(0)\ntorch.nn.MultiheadAttention(1, 1)\n"
    assert uses(source) == [
        "socket 1",
        "AdamW 2",
        "torch.optim 2",
        "torch.optim.AdamW 2",
        "_exit 4",
        "MultiheadAttention 5",
    ]
    assert uses(b"(") == []
    assert similarity.uses(b"x = 1\n") == []
