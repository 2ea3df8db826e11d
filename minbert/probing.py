"""A masked language model's view of a text: fill-mask, five readouts of "the next word", scores of sentences.

Every number answers a Question: the model reads these tokens, and its answer is read at that position. A text is plain
text, and "[SEP]" in it is five characters; only `fill_mask` gives [MASK] a meaning.
"""

import contextlib
import difflib
import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from minbert.attention import attention_scores, causal_mask, padding_mask
from minbert.batch import pad
from minbert.errors import UserError
from minbert.heads import BertForMaskedLM
from minbert.tokenizer import BertTokenizer

TOKENS_AT_ONCE = 4096  # in a batch of questions, padding included: 8 rows of 512 tokens; limits the memory


class Question(NamedTuple):
    """The tokens that the model reads, and the position at which its answer is read."""

    ids: tuple  # [CLS] and [SEP] included
    at: int  # the position of the answer
    hidden: int | None = None  # a position at which no token looks; it can still hold the answer
    causal: bool = False  # no token looks at later ones


class Readout(NamedTuple):
    """A way to read "the next word": at which position, and what follows the text."""

    sep: bool = False  # [SEP] follows the text, as in training
    hide_sep: bool = False  # no token looks at that [SEP]
    mask: bool = False  # a [MASK] for each piece of the word stands before it
    causal: bool = False

    def question(self, tokenizer: BertTokenizer, text: list, written: list, missing: int) -> Question:
        """The Question for a word's next piece: ids of the text, ids of the pieces so far, number of pieces missing."""
        ids = [tokenizer.cls_token_id, *text, *written]
        tail = [tokenizer.mask_token_id] * (missing * self.mask) + [tokenizer.sep_token_id] * self.sep
        at = len(ids) if tail else len(ids) - 1
        return Question((*ids, *tail), at, at if self.hide_sep else None, self.causal)


# BERT learnt to answer at a [MASK], looking both ways, [SEP] included. People read the other positions, too.
READOUTS = {
    "at [SEP]": Readout(sep=True),
    "at [SEP], [SEP] hidden as a key": Readout(sep=True, hide_sep=True),
    "at the last word, [SEP] dropped": Readout(),
    "at a [MASK] appended": Readout(sep=True, mask=True),
    "causal attention": Readout(causal=True),  # also at the last word
}
PROMPT = "{} This movie review is"


@contextlib.contextmanager
def inference(model: torch.nn.Module):
    """A context without dropout and without gradients; the model goes back to its mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def answers(model: BertForMaskedLM, questions: list[Question]) -> Iterator[Tensor]:
    """Yield for each question the log-probability of each token of the vocabulary: [V], float64, in nats.

    questions  all causal, or none
    Raises UserError if the vocabulary lacks a special token that a question needs.
    """
    if any(None in question.ids for question in questions):
        raise UserError("the vocabulary lacks [CLS], [SEP] or [MASK], which these questions need: use another model")
    device = model.bert.embeddings.token.weight.device
    size = max(1, TOKENS_AT_ONCE // max(len(question.ids) for question in questions))
    for rows in (questions[start : start + size] for start in range(0, len(questions), size)):
        ids = pad([list(row.ids) for row in rows], 0).to(device)  # [B, T]
        mask = pad([[int(at != row.hidden) for at in range(len(row.ids))] for row in rows], 0).to(device)
        with inference(model):
            x = model.bert(ids, mask, causal=rows[0].causal)["last_hidden_state"]  # [B, T, D]
            logits, _ = model.predict(x[range(len(rows)), [row.at for row in rows]])  # [B, V]
        yield from logits.cpu().double().log_softmax(dim=-1)


def text_ids(model: BertForMaskedLM, tokenizer: BertTokenizer, text: str, more: int = 2) -> list[int]:
    """A text's ids, without [CLS] and [SEP]. Raises UserError if they and `more` are too many tokens for the model."""
    ids, limit = tokenizer(text, add_special_tokens=False)["input_ids"], model.config.max_position_embeddings - more
    if len(ids) > limit:
        raise UserError(f"{text[:40]!r}...: {len(ids)} tokens, but the model reads at most {limit}: shorten the text")
    return ids


def known_ids(model: BertForMaskedLM, tokenizer: BertTokenizer, text: str, more: int = 2) -> list[int]:
    """As `text_ids`, but an empty text or a word that becomes [UNK] is a UserError, too."""
    ids = text_ids(model, tokenizer, text, more)
    if not ids:
        raise UserError(f"{text!r} holds no word")
    if tokenizer.unk_token_id in ids:
        unknown = next(word for word, _, pieces, _ in tokenizer.explain(text).words if tokenizer.unk_token in pieces)
        raise UserError(f"the model's vocabulary cannot spell {unknown!r}: choose another word")
    return ids


def score_words(model: BertForMaskedLM, words: dict[str, list], question) -> dict[str, float]:
    """The log-probability of each word: the sum over its pieces from left to right, each piece given the ones before.

    This is the chain rule within a word, as in Kauf & Ivanova 2023 (PLL-word-l2r). A word of more pieces has more
    factors, so compare words of different lengths by their ratio to a prior.

    words     {word: the ids of its pieces}
    question  a function: ids of the pieces so far, number of pieces missing -> Question
    returns   {word: log P}, in nats
    """
    uses = {}  # {question: [(word, piece), ...]}: each question is answered once, for all words that need it
    for word, pieces in words.items():
        for number, piece in enumerate(pieces):
            uses.setdefault(question(pieces[:number], len(pieces) - number), []).append((word, piece))
    scores = dict.fromkeys(words, 0.0)
    for use, log_p in zip(uses.values(), answers(model, list(uses))):
        for word, piece in use:
            scores[word] += log_p[piece].item()
    return scores


def top_tokens(logits: Tensor, tokenizer: BertTokenizer, top: int = 5) -> list[dict]:
    """The most probable tokens, best first: [{"score": probability, "id": id, "token": token}, ...]

    logits  [V], before the softmax; log-probabilities do as well: softmax(log p) = p
    """
    best = logits.softmax(dim=-1)[: len(tokenizer)].topk(min(top, len(tokenizer)))  # a model can have spare rows
    return [
        {"score": score, "id": id, "token": tokenizer.convert_ids_to_tokens(id)}
        for score, id in zip(best.values.tolist(), best.indices.tolist())
    ]


def best_tokens(model, tokenizer, question, top):
    """The top tokens for one missing piece. question  (ids written so far, number of missing pieces) -> Question"""
    return top_tokens(next(answers(model, [question([], 1)])), tokenizer, top)


def fill_mask(
    model: BertForMaskedLM, tokenizer: BertTokenizer, text: str, top: int = 5, targets: Sequence[str] | None = None
) -> list:
    """The most probable tokens at [MASK], or the probabilities of given words (like Hugging Face's fill-mask).

    targets  words; None: the top tokens of the vocabulary. For a word of several pieces, [MASK] becomes one [MASK] for
             each piece, and they are filled from left to right (score_words)
    returns  [{"score": probability, "id": id, "token": token, "sequence": the text with it}, ...], best first; "id" is
             a list for a target of several pieces. For a text with several [MASK]s: one such list for each [MASK],
             while the others stay masked
    Raises UserError for a text without [MASK], and for a target that the vocabulary cannot spell.
    """
    check_masked(text, tokenizer.mask_token)
    mask, ids = tokenizer.mask_token_id, [tokenizer.cls_token_id]
    for between in text.split(tokenizer.mask_token):
        ids += [*text_ids(model, tokenizer, between), mask]
    ids[-1] = tokenizer.sep_token_id  # in place of the [MASK] after the last one
    words = {target: known_ids(model, tokenizer, target) for target in targets or ()}
    positions = [at for at, id in enumerate(ids) if id == mask]
    found = [fill_position(model, tokenizer, ids[:at], ids[at + 1 :], top, words) for at in positions]
    return found if len(found) > 1 else found[0]


def check_masked(text: str, mask: str = "[MASK]") -> None:
    if mask not in text:
        spelling = ", in capitals and brackets," if mask == "[MASK]" else ""
        raise UserError(f"the text has no {mask}: write one{spelling} where a word is missing")


def fill_position(model, tokenizer, left, right, top, words):
    """fill_mask between the ids `left` and `right`, [CLS] and [SEP] included; words {target: the ids of its pieces}"""

    def question(written, missing):
        return Question((*left, *written, *[tokenizer.mask_token_id] * missing, *right), len(left) + len(written))

    if words:
        scores = score_words(model, words, question)
        rows = sorted(((math.exp(scores[word]), words[word]) for word in words), key=lambda row: -row[0])
    else:
        best = best_tokens(model, tokenizer, question, top)
        rows = [(row["score"], [row["id"]]) for row in best]
    return [
        {
            "score": score,
            "id": pieces if len(pieces) > 1 else pieces[0],
            "token": tokenizer.decode(pieces),
            "sequence": tokenizer.decode([*left, *pieces, *right][1:-1]),
        }
        for score, pieces in rows
    ]


def next_word(
    model: BertForMaskedLM,
    tokenizer: BertTokenizer,
    text: str,
    words: Sequence[str],
    prompt: str = PROMPT,
    readouts: Sequence[str] = tuple(READOUTS),
    top: int = 0,
) -> list[dict]:
    """The probabilities of words after a text and a prompt, for each readout.

    prompt    {} stands for the text; the word comes at its end
    readouts  names of READOUTS
    top       number of top tokens to list
    returns   a dict for each readout: "readout", its name; "prompt"; "p", {word: probability}; "ratio", p of the first
              word / p of the best other one; "label", the most probable word; "prior" and "prior_ratio", p and ratio
              for an empty text; "corrected", {word: p / prior}, scaled to sum to 1; "corrected_label"; and, if asked
              for, "top", the top tokens
    Raises UserError for a prompt without {}, fewer than two words, or a word that the vocabulary cannot spell.

    p / prior is the domain-conditional PMI of Holtzman et al. 2021: how much the text adds to the prompt alone. A word
    of several pieces is read piece by piece, each after the ones before it (score_words).
    """
    check_prompt(prompt, tokenizer.mask_token)
    pieces = {word: known_ids(model, tokenizer, word) for word in words}
    if len(set(map(tuple, pieces.values()))) < max(2, len(words)):
        raise UserError(f"give two words or more that differ in the model's vocabulary, not {', '.join(words)}")
    filled = [text_ids(model, tokenizer, prompt.replace("{}", filling)) for filling in (text, "")]
    rows = []
    for name in readouts:
        question, empty = (functools.partial(READOUTS[name].question, tokenizer, ids) for ids in filled)
        row = compare_with_prior(score_words(model, pieces, question), score_words(model, pieces, empty))
        if top:
            row["top"] = best_tokens(model, tokenizer, question, top)
        rows.append({"readout": name, "prompt": prompt} | row)
    return rows


def check_prompt(prompt: str, mask: str = "[MASK]") -> None:
    if prompt.count("{}") != 1 or mask in prompt:
        raise UserError(f"the prompt {prompt!r} needs one {{}}, for the text, and no {mask}: the word comes last")


def ratio(log_p: dict[str, float]) -> float:
    """P of the first word / P of the best of the others."""
    first, *others = log_p.values()
    return math.exp(min(first - max(others), 700.0))  # e^709 is about the largest float


def compare_with_prior(log_p: dict[str, float], prior: dict[str, float]) -> dict:
    """{word: log P} with the text and without it -> the figures of a row of next_word"""
    gain = {word: log_p[word] - prior[word] for word in log_p}
    share = torch.tensor(list(gain.values()), dtype=torch.float64).softmax(dim=0)
    return {
        "p": {word: math.exp(score) for word, score in log_p.items()},
        "ratio": ratio(log_p),
        "label": max(log_p, key=log_p.get),
        "prior": {word: math.exp(score) for word, score in prior.items()},
        "prior_ratio": ratio(prior),
        "corrected": dict(zip(gain, share.tolist())),
        "corrected_label": max(gain, key=gain.get),
    }


def pseudo_log_likelihood(
    model: BertForMaskedLM, tokenizer: BertTokenizer, text: str, whole_words: bool = False
) -> tuple[float, list]:
    """How well a text reads: the sum of log P(token | all others), each token masked in turn (Salazar et al. 2020).

    whole_words  also mask the later pieces of the token's own word. They give the token away, so that rare words of
                 many pieces score too well (Kauf & Ivanova 2023, PLL-word-l2r)
    returns      the sum, in nats, and [(token, log P), ...]
    Raises UserError for an empty text, and for a word that the vocabulary cannot spell.
    """
    ids = known_ids(model, tokenizer, text)
    tokens, mask = tokenizer.convert_ids_to_tokens(ids), tokenizer.mask_token_id
    questions = []
    for at in range(len(ids)):
        end = at + 1
        while whole_words and end < len(ids) and tokens[end].startswith("##"):
            end += 1
        masked = (tokenizer.cls_token_id, *ids[:at], *[mask] * (end - at), *ids[end:], tokenizer.sep_token_id)
        questions.append(Question(masked, at + 1))
    scores = [log_p[id].item() for id, log_p in zip(ids, answers(model, questions))]
    return sum(scores), list(zip(tokens, scores))


def compare(
    model: BertForMaskedLM, tokenizer: BertTokenizer, first: str, second: str, whole_words: bool = False
) -> dict:
    """Compare two sentences by their pseudo-log-likelihood; works best if they differ in one word.

    returns  {"scores": the two sums, "preferred": 0 or 1, "rows": [(left, right), ...]}. left and right are (token,
             log P) of the first and the second sentence; equal tokens stand side by side, None where one is missing
    """
    return beside(*(pseudo_log_likelihood(model, tokenizer, text, whole_words) for text in (first, second)))


def beside(first: tuple[float, list], second: tuple[float, list]) -> dict:
    """Two sentences, each (its sum, [(token, log P), ...]) -> what `compare` returns"""
    (one, left), (two, right) = first, second
    rows, tokens = [], ([token for token, _ in side] for side in (left, right))
    for _, a, b, c, d in difflib.SequenceMatcher(None, *tokens, autojunk=False).get_opcodes():
        rows += itertools.zip_longest(left[a:b], right[c:d])
    return {"scores": [one, two], "preferred": int(two > one), "rows": rows}


def attention_tables(
    model: BertForMaskedLM,
    tokenizer: BertTokenizer,
    text: str,
    layer: int = 0,
    head: int = 0,
    causal: bool = False,
    padding: int = 1,
) -> dict:
    """One head of one layer at work on a text: who may look at whom, how well they match, who looks at whom.

    layer, head  counted from 0
    padding      number of [PAD]s after the text, for the padding mask to hide
    returns      {"tokens": T strings, "padding_mask": [1, T] and "causal_mask": [T, T], True = may be looked at,
                 "scores": [T, T], Q K^T / sqrt(K), -inf where a mask hides, "probabilities": [T, T], the model's own,
                 the softmax of each row of scores}
    Raises UserError for a layer or a head that the model does not have.
    """
    check_head(model.config, layer, head)
    ids = [tokenizer.cls_token_id, *text_ids(model, tokenizer, text), tokenizer.sep_token_id]
    attention_mask = torch.tensor([[1] * len(ids) + [0] * padding])  # [1, T]
    ids = torch.tensor([ids + [tokenizer.pad_token_id] * padding])  # [1, T]
    real, earlier = padding_mask(attention_mask)[0, 0], causal_mask(ids.size(1))
    with inference(model):
        output = model.bert(ids, attention_mask, None, causal, output_hidden_states=True, output_attentions=True)
        attention, x = model.bert.encoder.layers[layer].attention, output["hidden_states"][layer]
        scores = attention_scores(attention.split(attention.query(x)), attention.split(attention.key(x)))[0, head]
    return {
        "tokens": tokenizer.convert_ids_to_tokens(ids[0]),
        "padding_mask": real,
        "causal_mask": earlier,
        "scores": scores.masked_fill(~(real & earlier if causal else real), -math.inf),
        "probabilities": output["attentions"][layer][0, head],
    }


def check_head(config, layer: int, head: int) -> None:
    """Raise UserError for a layer or a head that a model does not have."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    if not (0 <= layer < layers and 0 <= head < heads):
        raise UserError(f"no head {head} in layer {layer}: layers are 0 to {layers - 1}, heads 0 to {heads - 1}")
