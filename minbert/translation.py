"""Texts -> their translations, sentence by sentence, and at what of a text each piece of its translation looked.

Translators learn from pairs of sentences, so a text is split at the ends of its sentences, and joined again.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from minbert.batch import by_length, pad
from minbert.errors import UserError
from minbert.search import beam_search
from minbert.training import TOKENS

END = re.compile(r"(?<=[.!?…。！？])(?P<closed>[\"'”’»)\]]*)(?:\s+(?=[\"'“‘«(\[¿¡]*\w))")
SHORT = re.compile(r"(?:^|[\s(])(?:\w|\d+|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|No|vs|e\.g|i\.e|z\.B|etc|approx)\.$")
CHARACTERS = 100  # of a text for each token that the model can read: more than the longest pieces have


@dataclass
class Sentence:
    """A sentence of a text, and what was found for it.

    gap    what stood between it and the next one
    ids    as the model read it
    cut    whether it was longer than the model can read
    beams  [(score, ids), ...], the best first
    """

    text: str
    gap: str
    ids: list[int] = field(default_factory=list)
    cut: bool = False
    beams: list[tuple[float, list[int]]] = field(default_factory=list)


def split(text: str) -> list[tuple[str, str]]:
    """[(sentence, the space after it), ...], which joined are the text without the spaces at its ends.

    No sentence ends after a number or a known short form: "am 3. Mai", "Dr. Smith".
    """
    text, found, begin = text.strip(), [], 0
    for match in END.finditer(text):
        end = match.end("closed")
        if not SHORT.search(text, begin, match.start()):
            found.append((text[begin:end], text[end : match.end()]))
            begin = match.end()
    return [*found, (text[begin:], "")] if text else []


def read(tokenizer, text: str, limit: int, language: str = "") -> list[Sentence]:
    """The sentences of a text as the model reads them, each cut to `limit` tokens.

    language  ">>fr<<" or "": put in front of each sentence. What stands in front of the text has the same effect
    Raises UserError for a text without one if the model needs it, and for one that the model does not know.
    """
    if tokenizer.codes and text.strip() and not (language := language or tokenizer.language(text.strip())):
        known = ", ".join(tokenizer.codes[:10]) + ", ..." * (len(tokenizer.codes) > 10)
        raise UserError(f"the model translates into several languages: put one of {known} in front of the text")
    if language and language not in tokenizer.codes:
        known = f"knows {', '.join(tokenizer.codes)}" if tokenizer.codes else "has one target language"
        raise UserError(f"the model has no token {language}: it {known}")
    found = [Sentence(*pair) for pair in split(text.strip().removeprefix(language))]
    for sentence in found:
        words = " ".join(sentence.text.split())
        short = words[: CHARACTERS * limit]
        *ids, end = tokenizer(language + short)["input_ids"]
        sentence.cut = len(short) < len(words) or len(ids) >= limit
        sentence.ids = [*ids[: limit - 1], end]
    return found


def translate(model, tokenizer, texts: Iterable[str], language: str = "", **search) -> list[list[Sentence]]:
    """For each text its sentences with their translations; `joined` makes a text of them.

    search  beams, length_penalty, max_length, early_stopping of search.beam_search
    Sentences of about the same length are translated together. Raises UserError as `read` does.
    """
    found = [read(tokenizer, text, model.config.max_position_embeddings, language) for text in texts]
    sentences = [sentence for text in found for sentence in text]
    device = next(model.parameters()).device
    room = max(1, TOKENS[device.type] // (search.get("beams") or model.search.beams))
    for rows in by_length([len(sentence.ids) for sentence in sentences], room):
        some = [sentences[row] for row in rows]
        ids = pad([sentence.ids for sentence in some], model.config.pad_token_id).to(device)
        mask = pad([[1] * len(sentence.ids) for sentence in some], 0).to(device)
        for sentence, beams in zip(some, beam_search(model, ids, mask, **search)):
            sentence.beams = beams
    return found


def joined(sentences: list[Sentence], tokenizer) -> str:
    """The best translations of a text's sentences, with the spaces that stood between these."""
    return "".join(decode(tokenizer, sentence.beams[0][1]) + sentence.gap for sentence in sentences)


def decode(tokenizer, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=True)


@torch.inference_mode()
def looks(model, sentence: Sentence, rank: int = 0, layer: int = -1) -> Tensor:
    """At what of the sentence each token of a translation looked when it was written: [T, S], rows add up to 1.

    The mean over the heads of a layer's cross-attention. rank: of the translation among the beams
    """
    device = next(model.parameters()).device
    source = torch.tensor([sentence.ids], device=device)
    rows = model.decoder_inputs(torch.tensor([sentence.beams[rank][1]], device=device))
    output = model(source, None, rows, output_cross_attentions=True)
    return output["cross_attentions"][layer][0].mean(dim=0)  # [T, S]
