"""Honest oddities of students' files: the work is right, the habits are not the reference's. All must pass.

Each changes the source of the reference's attention.py, or spreads it over files of other names, beside adapter.py.
"""

import re

from minbert.course import kit


def after(source, line, *more):
    assert line in source
    return source.replace(line, "\n".join([line, *more]))


def returns(source, old, new):
    assert old in source
    return source.replace(old, new)


SCORES = "    return query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))"
IMPORT = "import math\n"
TORCH = "from torch import Tensor, nn\n"
MERGE = "        return x.transpose(1, 2).flatten(2)"

HABITS = {
    "prints 1 MB": lambda source: after(source, IMPORT, *["print('x' * 1000)"] * 1000),
    "prints within a function, without newlines": lambda source: returns(
        source, SCORES, "    print('scores', end=' ')\n" + SCORES
    ),
    "computes in float64": lambda source: returns(
        source, SCORES, "    return query.double() @ key.double().transpose(-2, -1) / math.sqrt(query.size(-1))"
    ).replace("scores = attention_scores(query, key)", "scores = attention_scores(query, key).float()"),
    "returns an array that is not contiguous": lambda source: returns(
        source, SCORES, SCORES.replace("return ", "return (") + ").transpose(0, 1).contiguous().transpose(0, 1)"
    ),
    "returns an array that requires a gradient": lambda source: returns(
        source, SCORES, SCORES + " + torch.zeros(1, requires_grad=True)"
    ),
    "returns a numpy array": lambda source: returns(
        source,
        MERGE,
        "        return x.transpose(1, 2).flatten(2) if x.requires_grad else x.transpose(1, 2).flatten(2).numpy()",
    ).replace("self.output(self.merge(mixed))", "self.output(torch.as_tensor(self.merge(mixed)))"),
    "has helpers and a second class": lambda source: (
        source
        + "\n\nclass Helper:\n    def __call__(self, x):\n        return x\n"
        + "\n\ndef helper(x):\n    return Helper()(x)\n"
    ),
    "has dataclasses and type hints as text": lambda source: (
        "from __future__ import annotations\n"
        + after(
            source,
            IMPORT,
            "from dataclasses import dataclass",
            "@dataclass",
            "class Shape:",
            "    heads: 'list[int] | None' = None",
        )
    ),
    "keeps a cache": lambda source: after(source, TORCH, "CACHE = {}").replace(
        "    return torch.ones(length, length, dtype=torch.bool, device=device).tril()",
        "    if length not in CACHE:\n        CACHE[length] = torch.ones(length, length, device=device).bool().tril()\n"
        "    return CACHE[length]",
    ),
    "is indented by tabs": lambda source: source.replace("    ", "\t"),
    "has CRLF": lambda source: source.replace("\n", "\r\n"),
    "begins with a BOM": lambda source: "\ufeff" + source,
    "does not end with a newline": lambda source: source.rstrip(),
    "has a main block": lambda source: source + "\n\nif __name__ == '__main__':\n    raise SystemExit(1)\n",
    "sets the number of threads": lambda source: after(source, TORCH, "torch.set_num_threads(4)"),
    "seeds and draws": lambda source: after(
        source,
        TORCH,
        "import random",
        "import numpy as np",
        "random.seed(1)",
        "np.random.seed(1)",
        "torch.manual_seed(1)",
    ),
    "warns and logs": lambda source: after(
        source,
        IMPORT,
        "import logging, warnings",
        "warnings.warn('odd')",
        "logging.basicConfig()",
        "logging.warning('odd')",
    ),
    "imports the package": lambda source: after(
        source, TORCH, "from minbert.config import Config", "from minbert import errors"
    ),
    "imports much of the standard library": lambda source: after(
        source,
        IMPORT,
        "import collections, functools, itertools, json, re, statistics, decimal, sqlite3",
        "import typing, unittest.mock, asyncio, zoneinfo, tempfile, multiprocessing, subprocess",
    ),
    "uses torch's softmax and linear algebra": lambda source: after(
        source, TORCH, "import torch.nn.functional as F", "torch.linalg.svd(torch.eye(3))"
    ).replace("scores.softmax(dim=-1)", "F.softmax(scores, dim=-1)"),
    "is compiled by torch.jit": lambda source: source.replace("def causal_mask", "def causal_mask").replace(
        "def attention_scores(query: Tensor", "@torch.jit.script\ndef attention_scores(query: Tensor"
    ),
    "takes its time": lambda source: after(source, IMPORT, "import time", "time.sleep(0.3)"),
    "catches everything": lambda source: after(
        source, IMPORT, "try:", "    import einops", "except Exception:", "    einops = None"
    ),
    "computes with inf": lambda source: returns(
        source,
        "scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)",
        "scores = scores.masked_fill(~mask, -math.inf)",
    ).replace(".softmax(dim=-1).masked_fill(~mask, 0.0)", ".softmax(dim=-1).nan_to_num(0.0)"),
}


def spread(source):
    """Functions of other names in two files; methods as functions; minbert/attention.py as the handout has it."""
    first, _, rest = source.partition("class MultiHeadAttention")
    methods = rest[rest.index("    def split") :].replace("\n    ", "\n").replace("    def", "def", 1)
    own = {
        "adapter.py": "from heads import glue as MultiHeadAttention_merge\nfrom looking import *\n"
        "import heads, looking\nMultiHeadAttention_split = heads.cut\nattend = looking.dot_product\n",
        "looking.py": "from heads import cut  # not used\n" + re.sub(r"\battend\b", "dot_product", first),
        "heads.py": "from torch import Tensor\n" + methods.replace("split", "cut").replace("merge", "glue"),
    }
    return kit.sources()["attention.py"], own


def whole_class(source):
    """A class with helpers of its own in place of the handout's; the functions stay where they are."""
    first, name, rest = source.partition("class MultiHeadAttention")
    rest = rest.replace("return x.unflatten(-1, (self.heads, -1))", "return self.cut(x, self.heads)")
    helper = "    def cut(self, x, heads):\n        return x.unflatten(-1, (heads, -1))\n"
    own = {
        "adapter.py": "from my import SelfAttention as MultiHeadAttention\n",
        "my.py": "from torch import Tensor, nn\nfrom minbert.attention import attend\n"
        f"class SelfAttention{rest}{helper}",
    }
    return first + name + kit.sources()["attention.py"].partition(name)[2], own


LAYOUTS = {  # a source -> another one, and the student's own files
    "is spread over files of other names": spread,
    "has a class of its own": whole_class,
    "has an adapter that supplies nothing": lambda source: (source, {"adapter.py": "import math\n"}),
}

# A right bert.py of another kit, as docs/teaching.md supposes it, with the names that such kits give.
ANOTHER_KIT = """
import torch
from torch import nn
from base_bert import BertPreTrainedModel
from utils import *


class BertSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.num_attention_heads = config.num_attention_heads
        self.attention_head_size = config.hidden_size // config.num_attention_heads
        self.all_head_size = self.num_attention_heads * self.attention_head_size
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, self.all_head_size) for _ in range(3))
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def transform(self, x, linear_layer):
        x = linear_layer(x)
        return x.view(*x.shape[:2], self.num_attention_heads, self.attention_head_size).transpose(1, 2)

    def attention(self, key, query, value, attention_mask):
        scores = torch.einsum("bhik,bhjk->bhij", query, key) * self.attention_head_size**-0.5
        shares = self.dropout(torch.softmax(scores + attention_mask, dim=-1))
        return torch.einsum("bhij,bhjk->bihk", shares, value).reshape(len(value), -1, self.all_head_size)


class BertModel(BertPreTrainedModel):
    pass
"""
