"""A causal language model's view of a text: the next word, how well a sentence reads, one head at work.

What probing.py is for BERT, this is for GPT-1 and GPT-2. They learnt one thing, to name each next token from those
before it. So the next word has one readout, at the last token of the text, and a sentence is scored as it is read, from
left to right. No token sees what follows it: one pass over a text and what comes after gives every factor of the chain
rule.
"""

import torch
from torch import Tensor

from minbert.attention import attention_scores, causal_mask, padding_mask
from minbert.batch import pad
from minbert.decoder import CausalLM
from minbert.encoding import Tokenizer
from minbert.errors import UserError
from minbert.generation import finite
from minbert.probing import (
    PROMPT,
    TOKENS_AT_ONCE,
    beside,
    check_head,
    check_prompt,
    compare_with_prior,
    inference,
    known_ids,
    text_ids,
    top_tokens,
)

READOUT = "after the last word"
PLACES_AT_ONCE = 64  # at which logits are computed, one for each token of the vocabulary


def log_p(model: CausalLM, rows: list[tuple[list, list]]) -> list[list[float]]:
    """The log-probability of each token of an ending, given all tokens before it, in nats.

    rows     [(ids of a beginning, ids of its ending), ...], at least one id each
    returns  a list for each row, as long as its ending
    Raises UserError for weights that compute NaN.
    """
    found, device = [], model.decoder.token.weight.device
    size = max(1, TOKENS_AT_ONCE // max(len(begin) + len(end) for begin, end in rows))
    for some in (rows[start : start + size] for start in range(0, len(rows), size)):
        read = [[*begin, *end[:-1]] for begin, end in some]  # what follows the last token is not asked
        ids, mask = pad(read, 0).to(device), pad([[1] * len(row) for row in read], 0).to(device)  # [B, T]
        with inference(model):
            vectors = model.decoder(ids, mask)["last_hidden_state"]  # [B, T, D]
            for x, (begin, end) in zip(vectors, some):
                x, scores = x[len(begin) - 1 : len(begin) - 1 + len(end)], []  # [len(end), D]
                for part, due in zip(x.split(PLACES_AT_ONCE), torch.tensor(end).split(PLACES_AT_ONCE)):
                    scores += next_log_p(model, part)[range(len(due)), due].tolist()
                found.append(scores)
    return found


def next_log_p(model: CausalLM, x: Tensor) -> Tensor:
    """Vectors of tokens [..., D] -> the log-probability of each token of the vocabulary to follow: [..., V], float64"""
    return finite(model.readout(x)).log_softmax(dim=-1)


def next_word(
    model: CausalLM, tokenizer: Tokenizer, text: str, words: list[str], prompt: str = PROMPT, top: int = 0
) -> dict:
    """The probabilities of words after a text and a prompt.

    prompt   {} stands for the text; the word comes at its end
    top      number of top tokens to list
    returns  a row as probing.next_word has it. Its readout is READOUT, "prior" is the same of an empty text, and tokens
             are as the tokenizer shows them
    Raises UserError as probing.next_word does, and for a prompt that is empty without a text, if the model has no token
    to begin with.

    Spaces at the end of the prompt are left out, and in byte-level BPE each word has one in front: there a space is the
    first letter of the word that follows. A word of several tokens has the product of their probabilities, each after
    the ones before it.
    """
    check_prompt(prompt)
    filled = [prompt.replace("{}", filling).rstrip(" ") for filling in (text, "")]
    pieces = {word: word_ids(model, tokenizer, word, filled[0]) for word in words}
    if len(set(map(tuple, pieces.values()))) < max(2, len(words)):
        raise UserError(f"give two words or more that differ in the model's vocabulary, not {', '.join(words)}")
    more = max(map(len, pieces.values())) - 1  # tokens of a word that are read before its last one
    begins = [begin(model, tokenizer, each, more) for each in filled]
    scores = iter(log_p(model, [(ids, word) for ids in begins for word in pieces.values()]))
    given, prior = ({word: sum(next(scores)) for word in pieces} for _ in begins)
    row = {"readout": READOUT, "prompt": prompt} | compare_with_prior(given, prior)
    if top:
        with inference(model):
            ids = torch.tensor([begins[0]], device=model.decoder.token.weight.device)
            best = top_tokens(next_log_p(model, model.decoder(ids)["last_hidden_state"][0, -1]), tokenizer, top)
        row["top"] = [each | {"token": shown(tokenizer, each["id"])} for each in best]
    return row


def word_ids(model: CausalLM, tokenizer: Tokenizer, word: str, before: str = "") -> list[int]:
    """The ids of a word as it is written after a text: in byte-level BPE with a space, unless white space is there."""
    apart = getattr(tokenizer, "mask_takes_space", False) and not before[-1:].isspace()
    if not word.strip():
        raise UserError(f"{word!r} holds no word")
    return known_ids(model, tokenizer, " " * apart + word.strip(), 0)


def begin(model: CausalLM, tokenizer: Tokenizer, text: str, more: int = 0) -> list[int]:
    """The ids of a text, or the token that stands before each text, if there are none; more: as in probing.text_ids"""
    ids, first = text_ids(model, tokenizer, text, more), first_token(tokenizer)
    if not ids and first is None:
        title = model.config.form.title
        raise UserError(f"without a text the prompt is empty, and {title} has no token to begin with: add words to it")
    return ids or [first]


def first_token(tokenizer: Tokenizer) -> int | None:
    """The id of the token that stands before each text, such as <|endoftext|>; None: there is none, as in GPT-1."""
    ids = (getattr(tokenizer, name, None) for name in ("bos_token_id", "eos_token_id"))
    return next((id for id in ids if id is not None), None)


def shown(tokenizer: Tokenizer, id: int) -> str:
    """A token for people."""
    return tokenizer.show(id) if hasattr(tokenizer, "show") else tokenizer.convert_ids_to_tokens(id)


def sentence_ids(model: CausalLM, tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """The ids that are given, and those that are scored: all of the text's after the token that stands before it; or,
    if there is none, all but the first. Raises UserError as `log_likelihood`."""
    ids, first = known_ids(model, tokenizer, text, 0), first_token(tokenizer)
    given, scored = (ids[:1], ids[1:]) if first is None else ([first], ids)
    if not scored:
        title = model.config.form.title
        raise UserError(f"{text!r} is one token, and {title} gives the first one no probability: write more")
    return given, scored


def log_likelihood(model: CausalLM, tokenizer: Tokenizer, text: str) -> tuple[float, list]:
    """How well a text reads: the sum of log P(token | all before it).

    The text begins after the token of `first_token`. If the model has none, its first token has no probability.

    returns  the sum, in nats, and [(token, log P), ...]; log P is None where the token has no probability
    Raises UserError for an empty text, for a word that the vocabulary cannot spell, and if nothing is left to score.
    """
    given, scored = sentence_ids(model, tokenizer, text)
    (scores,) = log_p(model, [(given, scored)])
    rows = list(zip((shown(tokenizer, id) for id in scored), scores))
    return sum(scores), [(shown(tokenizer, id), None) for id in given if first_token(tokenizer) is None] + rows


def compare(model: CausalLM, tokenizer: Tokenizer, first: str, second: str) -> dict:
    """Compare two sentences by their log-likelihood; works best if they differ in one word.

    returns  as probing.compare, and "begins_with": the token put in front of both; None: there is none, and log P of
             each first token is None
    """
    id = first_token(tokenizer)
    sides = [log_likelihood(model, tokenizer, text) for text in (first, second)]
    return beside(*sides) | {"begins_with": None if id is None else shown(tokenizer, id)}


def attention_tables(
    model: CausalLM, tokenizer: Tokenizer, text: str, layer: int = 0, head: int = 0, padding: int = 1
) -> dict:
    """One head of one layer at work on a text, as probing.attention_tables with causal=True.

    padding  number of places after the text, for the padding mask to hide; in "tokens" they are called "padding"
    Raises UserError for a layer or a head that the model does not have, and for a text without tokens.
    """
    check_head(model.config, layer, head)
    ids = text_ids(model, tokenizer, text, 0)
    if not ids:
        raise UserError(f"{text!r} holds no word")
    device = model.decoder.token.weight.device
    mask = torch.tensor([[1] * len(ids) + [0] * padding], device=device)  # [1, T]
    real, earlier = padding_mask(mask)[0, 0], causal_mask(mask.size(1), device)
    attention, read = model.decoder.layers[layer].attention, []
    hook = attention.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    try:
        with inference(model):
            all_ids = torch.tensor([ids + [0] * padding], device=device)
            probabilities = model.decoder(all_ids, mask, output_attentions=True)["attentions"][layer][0, head]
            x = read[0]  # [1, T, D], after the norm where the layer has it before
            scores = attention_scores(attention.split(attention.query(x)), attention.split(attention.key(x)))[0, head]
    finally:
        hook.remove()
    return {
        "tokens": [shown(tokenizer, id) for id in ids] + ["padding"] * padding,
        "padding_mask": real,
        "causal_mask": earlier,
        "scores": scores.masked_fill(~(real & earlier), -torch.inf),
        "probabilities": probabilities,
    }
