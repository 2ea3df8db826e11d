"""A sentence through every stage of a BERT: a page of steps, each with its numbers, its sum written out and its code.

The numbers come from stages.py. They are compared with what the model computes by itself before a page is made.
"""

import copy
import inspect
import json
from collections.abc import Callable
from pathlib import Path

from minbert import losses
from minbert.attention import MultiHeadAttention, attend, attention_scores
from minbert.bert import BertModel
from minbert.embeddings import Embeddings
from minbert.encoder import Encoder, EncoderLayer, FeedForward
from minbert.errors import UserError
from minbert.heads import BertForMaskedLM, BertForPreTraining, BertSentClassifier, MaskedLMHead
from minbert.pages import stages, toy
from minbert.pages.html import Page
from minbert.pages.reading import read
from minbert.pages.steps import meeting, values
from minbert.pages.tables import Writer, names
from minbert.probing import check_head, inference
from minbert.tokenizer import BertTokenizer

DECIMALS = 4  # printed of a real model's numbers
TITLES = {
    "text": "The text",
    "words": "Words",
    "pieces": "Pieces",
    "ids": "Ids",
    "embeddings": "Embeddings",
    "norm": "Norm",
    "before": "The layers before",
    "qkv": "Queries, keys, values",
    "scores": "Scores",
    "mask": "Mask",
    "softmax": "Softmax",
    "mix": "Mix",
    "heads": "All heads joined",
    "add": "Add and norm",
    "network": "Feed-forward network",
    "add2": "Add and norm again",
    "after": "The layers after",
    "pool": "One vector for the text",
    "logits": "Logits",
    "probabilities": "Probabilities",
    "guess": "The masked-LM head",
    "top": "The likeliest tokens",
    "check": "Check",
}
CODE = {  # step: (the function, how its line begins)
    "words": (BertTokenizer.words_of, "for word in split("),
    "pieces": (BertTokenizer.wordpiece, "if piece in self.in_words"),
    "ids": (BertTokenizer.convert_tokens_to_ids, "return [self.vocab"),
    "embeddings": (Embeddings.forward, "x = self.token("),
    "norm": (Embeddings.forward, "return self.dropout(self.norm("),
    "before": (Encoder.forward, "x, probabilities = layer("),
    "qkv": (MultiHeadAttention.forward, "query, key, value ="),
    "scores": (attention_scores, "return query @"),
    "mask": (attend, "scores = scores.masked_fill("),
    "softmax": (attend, "probabilities = scores.softmax("),
    "mix": (attend, "return dropout(probabilities) @"),
    "heads": (MultiHeadAttention.forward, "return self.output(self.merge("),
    "add": (EncoderLayer.forward, "x = self.attention_norm("),
    "network": (FeedForward.forward, "return self.contract("),
    "add2": (EncoderLayer.forward, "return self.feed_forward_norm("),
    "after": (Encoder.forward, "x, probabilities = layer("),
    "logits": (BertSentClassifier.forward, "logits = self.classifier("),
    "probabilities": (losses.probabilities, "return torch.sigmoid("),
    "guess": (MaskedLMHead.forward, "x = self.norm("),
    "top": (MaskedLMHead.forward, "return F.linear("),
}
POOLED = {
    "pooler": (BertModel.pool, "return torch.tanh("),
    "cls": (BertSentClassifier.pool, "return x[:, 0]"),
    "mean": (BertSentClassifier.pool, "return (x * weight)"),
}


def code(function: Callable, beginning: str) -> dict:
    """The line of a function that begins so, read from its source: {"text", "file", "line"}.

    Raises LookupError unless exactly one line does.
    """
    lines, first = inspect.getsourcelines(function)
    found = [(at, line.strip()) for at, line in enumerate(lines, first) if line.strip().startswith(beginning)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} lines of {function.__qualname__} begin with {beginning!r}")
    return {"text": found[0][1], "file": f"{function.__module__.replace('.', '/')}.py", "line": found[0][0]}


def steps_of(model, layer: int, worksheet: bool) -> dict:
    """The steps of a walk in their order: {its id in the page: its title}"""
    masked = isinstance(model, BertForMaskedLM)
    number = not masked and model.config.problem_type == losses.NUMBER
    left_out = {"pool", "logits", "probabilities"} if masked else {"guess", "top"}
    left_out |= {"probabilities"} if number else set()
    left_out |= {"before"} if layer == 0 else set()
    left_out |= {"after"} if layer == model.config.num_hidden_layers - 1 else set()
    left_out |= {"check"} if worksheet else set()
    return {step: title for step, title in TITLES.items() if step not in left_out}


def supported(model, tokenizer) -> bool:
    """Whether the steps of this page are those of the model."""
    kinds = (BertForMaskedLM, BertForPreTraining, BertSentClassifier)
    return type(model) in kinds and isinstance(tokenizer, BertTokenizer)


def walk_page(
    model: BertForMaskedLM | BertSentClassifier,
    tokenizer: BertTokenizer,
    text: str,
    layer: int = 0,
    head: int = 0,
    worksheet: bool = False,
    name: str | None = None,
) -> Page:
    """A page that takes a sentence through a model, from characters to probabilities.

    model      with a masked-LM head or a classifier; it is not changed. toy.model() is one to compute by hand
    text       a sentence; in that of a masked language model [MASK] is the mask token, and the walk follows the first
    layer, head  whose queries, keys and values are shown, counted from 0
    worksheet  True: for paper, with empty cells in the row of one token, and a key at the end
    name       the model's, in the title; None: the name by which it was loaded
    returns    a Page; .write("walk.html") makes the file, and a notebook shows it
    Raises UserError for another family's model, a text without words or with too many, a layer or a head that the model
    does not have, and if a number in the page would differ from the model's own by more than 1e-6.
    """
    if not supported(model, tokenizer):
        raise UserError(f"{name or 'this model'}: the walk is that of a BERT with WordPiece and a head")
    check_head(model.config, layer, head)
    by_hand = model.config == toy.CONFIG
    if worksheet and not by_hand:
        raise UserError("a worksheet is for the toy model: nobody computes these numbers by hand")
    reading = read(tokenizer, text, mask_counts=isinstance(model, BertForMaskedLM))
    exact = copy.deepcopy(model).double()
    with inference(exact):
        found = stages.run(exact, reading.ids, reading.attention_mask)
        stages.check(exact, reading.ids, reading.attention_mask, found)
        shown = stages.run(exact, reading.ids, reading.attention_mask, toy.rounded) if by_hand else found
        last = len(reading.tokens) - 2  # [SEP]
        mask = tokenizer.mask_token
        row = reading.tokens.index(mask) if mask in reading.tokens else min(2, last - 1)
        decimals = (toy.DECIMALS, toy.WEIGHT_DECIMALS) if by_hand else (DECIMALS, DECIMALS)
        writer = Writer(names(reading.tokens), row, row + 1, *decimals)
        meetings = meeting(writer, shown.layers[layer], head)
        numbers = values(exact, tokenizer, found, shown, layer, head, writer, by_hand)
    sources = CODE if isinstance(model, BertForMaskedLM) else CODE | {"pool": POOLED[model.config.pooling]}
    steps = steps_of(model, layer, worksheet)
    name = name or Path(getattr(getattr(model, "loaded", None), "source", toy.NAME if by_hand else "model")).name
    return Page(
        "walk",
        f"{'Worksheet' if worksheet else 'Walk'}: “{text}”",
        blocks={} if worksheet else {"meetings": json.dumps(meetings).encode()},
        name=name,
        steps=steps,
        code={step: code(*source) for step, source in sources.items() if step in steps},
        config=model.config,
        by_hand=by_hand,
        worksheet=worksheet,
        reading=reading,
        layer=layer,
        head=head,
        **numbers,
    )
