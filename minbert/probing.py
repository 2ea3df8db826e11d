"""What a masked language model makes of a text: fill-mask, five readouts of "the next word", scores of sentences.

Every number answers a Question: these tokens are shown, the probabilities are read at that place. A text is only text,
"[SEP]" in it is five characters; `fill_mask` alone knows [MASK].
"""

import contextlib
import difflib
import functools
import itertools
import math
from typing import NamedTuple

import torch

from minbert.attention import attention_scores, causal_mask, padding_mask
from minbert.batch import pad
from minbert.errors import UserError

TOKENS_AT_ONCE = 4096  # in a batch of questions, padding included; bounds the memory: 8 rows of 512 tokens


class Question(NamedTuple):
    """What the model is shown, and where its answer is read."""

    ids: tuple  # [CLS] and [SEP] included
    at: int  # the place that is read
    hidden: int | None = None  # a place at which no token looks; it can be read all the same
    causal: bool = False  # no token looks at those after it


class Readout(NamedTuple):
    """A place at which to read "the next word", and what stands there."""

    sep: bool = False  # [SEP] follows the text, as in training
    hide_sep: bool = False  # but no token looks at it
    mask: bool = False  # before it a [MASK] for each piece of the word
    causal: bool = False

    def question(self, tokenizer, text, written, missing):
        """Ask for a word's next piece after a text: ids of the text, of the pieces so far, how many are to come"""
        ids = [tokenizer.cls_token_id, *text, *written]
        tail = [tokenizer.mask_token_id] * (missing * self.mask) + [tokenizer.sep_token_id] * self.sep
        at = len(ids) if tail else len(ids) - 1
        return Question((*ids, *tail), at, at if self.hide_sep else None, self.causal)


# BERT learnt to answer at a [MASK], with [SEP] in sight and looking both ways. The others are where people read too.
READOUTS = {
    "at [SEP]": Readout(sep=True),
    "at [SEP], [SEP] hidden as a key": Readout(sep=True, hide_sep=True),
    "at the last word, [SEP] dropped": Readout(),
    "at a [MASK] appended": Readout(sep=True, mask=True),
    "causal attention": Readout(causal=True),  # at the last word, too
}
PROMPT = "{} This movie review is"


@contextlib.contextmanager
def only_looking(model):
    """Neither dropout nor gradients."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def ask(model, questions):
    """Yield for each question the log-probability of each token of the vocabulary: [V], float64.

    questions  all causal, or none
    Raises UserError for a vocabulary without the tokens that it takes to ask.
    """
    if any(None in question.ids for question in questions):
        raise UserError("the vocabulary lacks [CLS], [SEP] or [MASK]: this model cannot be asked")
    device = model.bert.embeddings.token.weight.device
    size = max(1, TOKENS_AT_ONCE // max(len(question.ids) for question in questions))
    for rows in (questions[start : start + size] for start in range(0, len(questions), size)):
        ids = pad([list(row.ids) for row in rows], 0).to(device)  # [B, T]
        mask = pad([[int(at != row.hidden) for at in range(len(row.ids))] for row in rows], 0).to(device)
        with only_looking(model):
            x = model.bert(ids, mask, causal=rows[0].causal)["last_hidden_state"]  # [B, T, D]
            logits, _ = model.predict(x[range(len(rows)), [row.at for row in rows]])  # [B, V]
        yield from logits.cpu().double().log_softmax(dim=-1)


def text_ids(model, tokenizer, text):
    """A text's ids, without [CLS] and [SEP]. Raises UserError if it is longer than the model can read."""
    ids, most = tokenizer(text, add_special_tokens=False)["input_ids"], model.config.max_position_embeddings - 2
    if len(ids) > most:
        raise UserError(f"{text[:40]!r}...: {len(ids)} tokens, but the model reads {most} at most: shorten the text")
    return ids


def known_ids(model, tokenizer, text):
    """The same. Raises UserError too if there is nothing in it, or a word that the vocabulary cannot write."""
    ids = text_ids(model, tokenizer, text)
    if not ids:
        raise UserError(f"{text!r} holds no word")
    if tokenizer.unk_token_id in ids:
        unknown = next(word for word in tokenizer.words(text) if "[UNK]" in tokenizer.wordpiece(word))
        raise UserError(f"the model's vocabulary cannot write {unknown!r}: choose another word")
    return ids


def score_words(model, words, question):
    """The log-probability of words, each scored whole: the sum over its pieces from left to right, each given those
    before it (the chain rule within a word, as in Kauf & Ivanova 2023, PLL-word-l2r).

    words     {word: the ids of its pieces}
    question  a function of the ids of the pieces so far, and of how many are to come -> Question
    returns   {word: log P}; more pieces are more factors, so words of different lengths compare by ratio to a prior
    """
    uses = {}  # {question: [(word, piece), ...]}: what many words ask is asked once
    for word, pieces in words.items():
        for number, piece in enumerate(pieces):
            uses.setdefault(question(pieces[:number], len(pieces) - number), []).append((word, piece))
    scores = dict.fromkeys(words, 0.0)
    for answered, log_p in zip(uses.values(), ask(model, list(uses))):
        for word, piece in answered:
            scores[word] += log_p[piece].item()
    return scores


def top_tokens(logits, tokenizer, top=5):
    """The most probable tokens, best first: [{"score": probability, "id": id, "token": token}, ...]

    logits  [V], before the softmax; log-probabilities will do, they are their own softmax's logits
    """
    best = logits.softmax(dim=-1)[: len(tokenizer)].topk(min(top, len(tokenizer)))  # a model can have spare rows
    return [
        {"score": score, "id": id, "token": tokenizer.convert_ids_to_tokens(id)}
        for score, id in zip(best.values.tolist(), best.indices.tolist())
    ]


def fill_mask(model, tokenizer, text, top=5, targets=None):
    """What stands at [MASK]: the most probable tokens, or how probable given words are (as Hugging Face's fill-mask).

    targets  words; None: the top tokens of the vocabulary. A word of several pieces is scored whole: the one [MASK]
             becomes as many as it has pieces, and they are filled from left to right (score_words)
    returns  [{"score": probability, "id": id, "token": token, "sequence": the text with it}, ...], best first; "id" is
             a list for a target of several pieces. For a text of several [MASK]s, a list of that for each of them,
             in which the others stay masked
    Raises UserError for a text without [MASK], and for a target that the vocabulary cannot write.
    """
    check_masked(text)
    mask, ids = tokenizer.mask_token_id, [tokenizer.cls_token_id]
    for part in text.split("[MASK]"):
        ids += [*text_ids(model, tokenizer, part), mask]
    ids[-1] = tokenizer.sep_token_id  # after the last part there is no [MASK]
    words = {target: known_ids(model, tokenizer, target) for target in targets or ()}
    places = [at for at, id in enumerate(ids) if id == mask]
    found = [fill_place(model, tokenizer, ids[:at], ids[at + 1 :], top, words) for at in places]
    return found if len(found) > 1 else found[0]


def check_masked(text):
    if "[MASK]" not in text:
        raise UserError("the text has no [MASK]: write one, capitals and brackets, where a word is missing")


def fill_place(model, tokenizer, left, right, top, words):
    """fill_mask for the place between these ids, [CLS] and [SEP] included; words {target: the ids of its pieces}"""

    def question(written, missing):
        return Question((*left, *written, *[tokenizer.mask_token_id] * missing, *right), len(left) + len(written))

    if words:
        scores = score_words(model, words, question)
        rows = sorted(((math.exp(scores[word]), words[word]) for word in words), key=lambda row: -row[0])
    else:
        rows = [(row["score"], [row["id"]]) for row in top_tokens(next(ask(model, [question([], 1)])), tokenizer, top)]
    return [
        {
            "score": score,
            "id": pieces if len(pieces) > 1 else pieces[0],
            "token": tokenizer.decode(pieces),
            "sequence": tokenizer.decode([*left, *pieces, *right][1:-1]),
        }
        for score, pieces in rows
    ]


def next_word(model, tokenizer, text, words, prompt=PROMPT, readouts=tuple(READOUTS), top=0):
    """How probable words are after a text and a prompt, at each place where one could read it.

    prompt    {} is where the text goes; the word comes at its end
    readouts  names of READOUTS
    returns   for each readout {"readout", "prompt", "p": {word: probability}, "ratio": the first word's to the best
              other's, "label": the most probable word, "prior" and "prior_ratio": the same if the text
              is empty, "corrected": {word: p / prior, made to sum to 1}, "corrected_label", "top": the top tokens}
    Raises UserError for a prompt without {}, fewer than two words, or a word that the vocabulary cannot write.

    p / prior is Holtzman et al. 2021's domain-conditional PMI: what the text adds to what the prompt says by itself.
    Words of several pieces are scored whole (score_words), the first ones written out where the next are asked for.
    """
    check_prompt(prompt)
    pieces = {word: known_ids(model, tokenizer, word) for word in words}
    if len(set(map(tuple, pieces.values()))) < max(2, len(words)):
        raise UserError(f"to choose from, two words or more that differ in the model's vocabulary: {', '.join(words)}")
    filled = [text_ids(model, tokenizer, prompt.replace("{}", filling)) for filling in (text, "")]
    rows = []
    for name in readouts:
        asked, empty = (functools.partial(READOUTS[name].question, tokenizer, ids) for ids in filled)
        row = judge(score_words(model, pieces, asked), score_words(model, pieces, empty))
        if top:
            row["top"] = top_tokens(next(ask(model, [asked([], 1)])), tokenizer, top)
        rows.append({"readout": name, "prompt": prompt} | row)
    return rows


def check_prompt(prompt):
    if prompt.count("{}") != 1 or "[MASK]" in prompt:
        raise UserError(
            f"the prompt {prompt!r} needs one {{}}, where the text goes, and no [MASK]: the word comes last"
        )


def ratio(log_p):
    """How many times as probable the first word is as the best of the others."""
    first, *others = log_p.values()
    return math.exp(min(first - max(others), 700.0))  # e^709 is the largest float


def judge(log_p, prior):
    """{word: log P} with and without the text -> the figures of a row of next_word"""
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


def pseudo_log_likelihood(model, tokenizer, text, whole_words=False):
    """How well a text reads: the sum of log P(token | all others), each token masked in turn (Salazar et al. 2020).

    whole_words  mask also the later pieces of the token's own word, which else give it away, so that rare words cut
                 into many pieces do not score too well (Kauf & Ivanova 2023, PLL-word-l2r)
    returns      the sum, in nats, and [(token, log P), ...]
    Raises UserError for an empty text, and for a word that the vocabulary cannot write.
    """
    ids = known_ids(model, tokenizer, text)
    tokens, mask = tokenizer.convert_ids_to_tokens(ids), tokenizer.mask_token_id
    questions = []
    for at in range(len(ids)):
        end = at + 1
        while whole_words and end < len(ids) and tokens[end].startswith("##"):
            end += 1
        shown = (tokenizer.cls_token_id, *ids[:at], *[mask] * (end - at), *ids[end:], tokenizer.sep_token_id)
        questions.append(Question(shown, at + 1))
    scores = [log_p[id].item() for id, log_p in zip(ids, ask(model, questions))]
    return sum(scores), list(zip(tokens, scores))


def compare(model, tokenizer, first, second, whole_words=False):
    """Two sentences, best alike but for a word, by their pseudo-log-likelihood.

    returns  {"scores": the two sums, "preferred": 0 or 1, "rows": [(of the first, of the second), ...]}: in each row
             (token, log P) of either, the same tokens side by side, and None where one has no counterpart
    """
    (one, left), (two, right) = (pseudo_log_likelihood(model, tokenizer, text, whole_words) for text in (first, second))
    rows, tokens = [], ([token for token, _ in side] for side in (left, right))
    for _, a, b, c, d in difflib.SequenceMatcher(None, *tokens, autojunk=False).get_opcodes():
        rows += itertools.zip_longest(left[a:b], right[c:d])
    return {"scores": [one, two], "preferred": int(two > one), "rows": rows}


def attention_tables(model, tokenizer, text, layer=0, head=0, causal=False, padding=1):
    """One head of one layer at work on a text: who may look at whom, how well they meet, who looks at whom.

    layer, head  counted from 0
    padding      how many [PAD] to put after the text, so that the padding mask has something to hide
    returns      {"tokens": T strings, "padding_mask": [1, T] and "causal_mask": [T, T], True = may be looked at,
                 "scores": [T, T], Q K^T / sqrt(K), -inf where a mask hides, "probabilities": [T, T], the model's own,
                 the softmax of each row of scores}
    """
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    if not (0 <= layer < layers and 0 <= head < heads):
        raise UserError(f"no head {head} in layer {layer}: layers are 0 to {layers - 1}, heads 0 to {heads - 1}")
    ids = [tokenizer.cls_token_id, *text_ids(model, tokenizer, text), tokenizer.sep_token_id]
    attention_mask = torch.tensor([[1] * len(ids) + [0] * padding])  # [1, T]
    ids = torch.tensor([ids + [tokenizer.pad_token_id] * padding])  # [1, T]
    not_padding, not_later = padding_mask(attention_mask)[0, 0], causal_mask(ids.size(1))
    with only_looking(model):
        output = model.bert(ids, attention_mask, None, causal, output_hidden_states=True, output_attentions=True)
        attention, x = model.bert.encoder.layers[layer].attention, output["hidden_states"][layer]
        scores = attention_scores(attention.split(attention.query(x)), attention.split(attention.key(x)))[0, head]
    return {
        "tokens": tokenizer.convert_ids_to_tokens(ids[0]),
        "padding_mask": not_padding,
        "causal_mask": not_later,
        "scores": scores.masked_fill(~(not_padding & not_later if causal else not_padding), -math.inf),
        "probabilities": output["attentions"][layer][0, head],
    }
