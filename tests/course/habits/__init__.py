"""Honest oddities of students' files: the work is right, the habits are not the reference's. All must pass.

Each changes the source of the reference's attention.py.
"""


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
