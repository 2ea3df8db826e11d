"""Texts -> vectors, one for each text or pair of texts; vectors -> cosines, and the nearest of many.

N. Reimers and I. Gurevych (2019), Sentence-BERT: sentence embeddings using siamese BERT-networks, section 3.
"""

import heapq
import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from minbert import training
from minbert.bert import BertModel
from minbert.encoding import Encoding, Tokenizer, as_rows
from minbert.errors import UserError
from minbert.modules_json import POOLINGS, Recipe, read_recipe


def vectors(
    model,
    tokenizer: Tokenizer,
    texts: str | Iterable[str],
    pairs: str | Iterable[str] | None = None,
    recipe: Recipe | None = None,
    role: str = "",
) -> Tensor:
    """A vector for each text, or for each text and its pair read together as one input: [N, D], on the CPU.

    model      a BERT or one of its relatives, with a head or without; the head is not used
    pairs      the second text of each input: in BERT, segment 1
    recipe     how a vector is made; None: as the model's folder says (`recipe_of`)
    role       "query" or "document", for a model that has a prompt for it

    A text may be empty. Warns, with their number, if texts are cut. Raises UserError for a model that looks back only,
    for a folder whose vectors minbert does not compute, and for anything that is not text.
    """
    encoder = encoder_of(model)
    recipe = recipe or recipe_of(model)
    encoding, cut = encode(encoder, tokenizer, texts, pairs, recipe, role)
    if cut:
        limit = longest(encoder, tokenizer, recipe)
        count = len(encoding["input_ids"])
        warnings.warn(f"{cut} of {count} texts were longer than {limit} tokens and were cut", stacklevel=2)
    return read(encoder, encoding, recipe)


def encoder_of(model) -> BertModel:
    """The encoder in a model. Raises UserError for a model that has none."""
    encoder = getattr(model, "bert", model)
    if not isinstance(encoder, BertModel):
        raise UserError(no_encoder(type(model).__name__))
    return encoder


def no_encoder(name: str) -> str:
    return (
        f"{name} looks back only: a token's vector knows nothing of the words after it. "
        "Vectors of texts need an encoder, such as BERT or RoBERTa"
    )


def recipe_of(model, pooling: str | None = None) -> Recipe:
    """How the folder of a model says that a vector is made; without modules.json, the mean over all tokens.

    pooling  "mean" or "cls", whatever the folder says
    Raises UserError as modules_json.read_recipe does, and if the folder is no longer there.
    """
    config, loaded = encoder_of(model).config, getattr(model, "loaded", None)
    if loaded is not None:
        if not loaded.directory.is_dir():
            raise UserError(f"{loaded.directory}: the model's folder is gone: pass a recipe")
        left_out = ["Dense"] if any(what.startswith("classifier") for what in loaded.dropped) else []
        if recipe := read_recipe(loaded.directory, pooling, left_out):
            return recipe
    return Recipe(pooling or stated(config) or "mean")


def stated(config) -> str | None:
    """The pooling that a config.json states; None if it states none, or one that makes no vector here."""
    chosen = config.pooling in POOLINGS and set(POOLINGS) <= set(config.bounds["pooling"])
    return config.pooling if chosen else None


def longest(encoder: BertModel, tokenizer: Tokenizer, recipe: Recipe) -> int:
    """The number of tokens to which a text is cut."""
    return min(recipe.max_length or tokenizer.max_length, encoder.config.most_tokens)


def encode(encoder, tokenizer, texts, pairs, recipe: Recipe, role: str = "") -> tuple[Encoding, int]:
    """What the encoder reads, and how many texts were cut. The arguments are those of `vectors`."""
    limit, prompt = longest(encoder, tokenizer, recipe), recipe.prompts.get(role, "")
    rows = [tuple(part.strip() for part in row) for row in as_rows(texts, pairs)]
    rows = [(prompt + first, *second) for first, *second in rows]
    if recipe.lower:
        rows = [tuple(map(str.lower, row)) for row in rows]
    if not rows:
        return Encoding(input_ids=[], token_type_ids=[], attention_mask=[]), 0
    encoding = tokenizer(*map(list, zip(*rows)))
    long = [at for at, ids in enumerate(encoding["input_ids"]) if len(ids) > limit]
    if long:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # their number is returned
            columns = map(list, zip(*(rows[at] for at in long)))
            shortened = tokenizer(*columns, truncation=True, max_length=limit)
        for name, values in shortened.items():
            for at, value in zip(long, values):
                encoding[name][at] = value
    if encoder.config.type_vocab_size < 2:
        encoding["token_type_ids"] = [[0] * len(row) for row in encoding["token_type_ids"]]
    return encoding, len(long)


def read(
    encoder: BertModel, encoding: Encoding, recipe: Recipe, precision="fp32", bar=training.no_bar, **how
) -> Tensor:
    """The vectors of what `encode` returned: [N, D]. Texts of about the same length are read together.

    precision, bar  as in training.predict
    how             the last arguments of training.read
    """
    if not encoding["input_ids"]:
        return torch.zeros(0, encoder.config.hidden_size)

    def pooled(input_ids, attention_mask, token_type_ids):
        x = encoder(input_ids, attention_mask, token_type_ids)["last_hidden_state"]  # [B, T, D]
        return pool(x.float(), attention_mask, recipe)

    device = next(encoder.parameters()).device
    was_training = encoder.training
    found = training.read(encoder, pooled, training.Data(encoding, None), device, precision, bar, **how)
    encoder.train(was_training)
    return training.in_order(*found)


def pool(x: Tensor, attention_mask: Tensor, recipe: Recipe) -> Tensor:
    """Last hidden states x [B, T, D] and their mask [B, T] -> one vector for each text: [B, D]"""
    if recipe.pooling == "cls":
        vector = x[:, 0]
    else:
        weight = attention_mask.to(x.dtype)[:, :, None]  # [B, T, 1]
        vector = (x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9)
    return F.normalize(vector, dim=1) if recipe.normalize else vector


def unit(vectors) -> Tensor:
    """[N, D] or [D] -> [N, D], each of length 1; a vector of zeros stays"""
    vectors = torch.as_tensor(vectors)
    return F.normalize(vectors if vectors.dim() == 2 else vectors[None], dim=1)


def cosine(a, b) -> Tensor:
    """The cosine of each vector of a with each of b: a [N, D], b [M, D] -> [N, M]; a single vector may be [D]"""
    return unit(a) @ unit(b).T


def cosine_of_pairs(a, b) -> Tensor:
    """The cosine of each vector of a with the one of b in the same place: a, b [N, D] -> [N]"""
    return (unit(a) * unit(b)).sum(dim=1)


class Nearest:
    """For each query, the nearest of things that come in any number, one group after the other.

    queries  their vectors [Q, D]
    count    how many are kept for each; of two equally near, the earlier
    """

    def __init__(self, queries: Tensor, count: int):
        self.queries, self.count = unit(queries), count
        self.found = [[] for _ in queries]  # for each query [(cosine, thing), ...], the nearest first

    def add(self, vectors: Tensor, things: Sequence) -> None:
        """A group of things, and their vectors [N, D]."""
        cosines, order = cosine(self.queries, vectors).sort(dim=1, descending=True, stable=True)
        for at, found in enumerate(self.found):
            nearest = zip(cosines[at, : self.count].tolist(), order[at].tolist())
            both = [*found, *((value, things[which]) for value, which in nearest)]
            self.found[at] = heapq.nlargest(self.count, both, key=lambda pair: pair[0])
