"""A text -> what a model reads of it, with every try of the longest match on the way: the first steps of a walk."""

from dataclasses import dataclass

import torch
from torch import Tensor

from minbert.errors import UserError
from minbert.tokenizer import BertTokenizer

MOST = 30  # tokens, [CLS] and [SEP] included: a table of all pairs still fits on a screen


@dataclass
class Reading:
    """How a text became ids.

    stages   (name, text) as the tokenizer changes it; a stage that changes nothing is left out
    words    (word, (start, end) in the text, tries, pieces, ids); tries as of `tries`
    tokens   T strings, with [CLS], [SEP] and one [PAD]
    ids      int64 [1, T]
    attention_mask  int64 [1, T], 1 token, 0 padding
    """

    text: str
    stages: list
    words: list
    tokens: list
    ids: Tensor
    attention_mask: Tensor


def tries(tokenizer: BertTokenizer, word: str) -> list[tuple[str, bool]]:
    """Each piece that the longest match tries, and whether the vocabulary holds it: [("lovely", False), ...]"""
    found, start, prefix = [], 0, ""
    while start < len(word):
        for end in range(min(len(word), start + tokenizer.longest), start, -1):
            found.append((prefix + word[start:end], prefix + word[start:end] in tokenizer.in_words))
            if found[-1][1]:
                break
        else:
            return found
        start, prefix = end, "##"
    return found


def read(tokenizer: BertTokenizer, text: str, mask_counts: bool) -> Reading:
    """A text as the model reads it, with one [PAD] after it.

    mask_counts  [MASK] in the text is the token; False: it is six characters, as everything is
    Raises UserError for a text without words, and for one of more than MOST tokens.
    """
    mask, words, at = tokenizer.mask_token, [], 0
    explained = []
    for part in text.split(mask) if mask_counts else [text]:
        explained.append(tokenizer.explain(part))
        for word, (start, end), pieces, ids in explained[-1].words:
            tried = [(word, True)] if pieces == [word] else tries(tokenizer, word)
            words.append((word, (at + start, at + end), tried, pieces, ids))
        at += len(part)
        if at < len(text):
            words.append((mask, (at, at + len(mask)), [(mask, True)], [mask], [tokenizer.mask_token_id]))
            at += len(mask)
    ids = [id for *_, ids in words for id in ids]
    if not ids:
        raise UserError("the sentence holds no word: there is nothing to walk through")
    ids = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
    if len(ids) > MOST:
        raise UserError(f"the sentence has {len(ids)} tokens, and the page shows at most {MOST}: take a shorter one")
    names = {"cleaned": "cleaned", "lowered": "in lower case", "stripped": "without accents"}
    stages, before = [], text
    for name, title in names.items():
        now = mask.join(getattr(part, name) for part in explained)
        stages += [(title, now)] * (now != before)
        before = now
    attention_mask = torch.tensor([[1] * len(ids) + [0]])
    ids.append(tokenizer.pad_token_id)
    return Reading(text, stages, words, tokenizer.convert_ids_to_tokens(ids), torch.tensor([ids]), attention_mask)
