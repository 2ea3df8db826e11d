"""The language models of the playground: gaps, next words, and how probable each token of a text is.

The numbers are those of `minbert probe`, whose functions compute them. [MASK] is a gap in `Masked.fill` and `tokens`;
elsewhere it is six characters of text.
"""

import torch

from minbert import left_to_right, probing, tokenizers
from minbert.errors import UserError
from minbert.pages.answering import Model

AT_ONCE = 2048  # tokens that a model reads for one answer of a spectrum: it takes a moment, also on a slow machine
AT_MASK = "at a [MASK] appended"  # of probing.READOUTS, what BERT learnt


class Masked(Model):
    """A masked language model: it fills gaps."""

    kind, readouts, preferred = "masked", tuple(probing.READOUTS), AT_MASK

    def __init__(self, name, model, tokenizer):
        super().__init__(name, model, tokenizer)
        self.special = tokenizer.cls_token_id, tokenizer.mask_token_id, tokenizer.sep_token_id
        if None in self.special:
            raise UserError(f"the vocabulary of {self.called} lacks [CLS], [SEP] or [MASK]: use another model")

    def ids(self, text):
        tokenizer, (cls, mask, sep), ids = self.tokenizer, self.special, []
        for part in tokenizers.with_mask(tokenizer, text).split(tokenizer.mask_token):
            ids += [mask, *tokenizer(part, add_special_tokens=False)["input_ids"]]
        return [cls, *ids[1:], sep]

    def fill(self, text: str, top: int = 5) -> dict:
        """{"masks": for each [MASK] what probing.fill_mask gives}"""
        self.read(text)
        rows = probing.fill_mask(self.model, self.tokenizer, tokenizers.with_mask(self.tokenizer, text), top)
        return {"masks": rows if isinstance(rows[0], list) else [rows]}

    def next_tokens(self, text: str, top: int = 5, readout: str = AT_MASK) -> dict:
        """The likeliest tokens after a text: {"rows": `best`, each with "prior", the same without the text}"""
        if readout not in probing.READOUTS:
            raise UserError(f"there is no readout {readout!r:.60}: take {', '.join(probing.READOUTS)}")
        self.read(text)
        ids, read = probing.text_ids(self.model, self.tokenizer, text.rstrip(), 3), probing.READOUTS[readout]
        asked = [read.question(self.tokenizer, before, [], 1) for before in (ids, [])]
        (given,), (prior,) = (probing.answers(self.model, [question]) for question in asked)
        return {"rows": [row | {"prior": prior[row["id"]].exp().item()} for row in self.best(given, top)]}

    def spectrum(self, text: str, top: int = 5, start: int = 0) -> dict:
        """Each token, masked while all others are read: {"rows": `place`, "next": where to go on, or None}"""
        self.read(text)
        ids, (cls, mask, sep) = probing.text_ids(self.model, self.tokenizer, text), self.special
        later = start + max(1, AT_ONCE // (len(ids) + 2))
        places = range(start, min(later, len(ids)))
        asked = [probing.Question((cls, *ids[:at], mask, *ids[at + 1 :], sep), at + 1) for at in places]
        answers = probing.answers(self.model, asked) if asked else ()
        rows = [self.place(ids[at], log_p, top) for at, log_p in zip(places, answers)]
        return {"rows": rows, "next": later if later < len(ids) else None}


class Causal(Model):
    """A causal language model: it goes on."""

    kind, readouts, preferred = "causal", (left_to_right.READOUT,), left_to_right.READOUT
    at_once = 64  # places of a text that one answer looks at, after one pass

    def ids(self, text):
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def log_p(self, ids: list[int], places: slice):
        """What follows the tokens at these places: log-probabilities [places, V]"""
        with probing.inference(self.model):
            vectors = self.model.decoder(torch.tensor([ids]))["last_hidden_state"][0, places]  # [places, D]
            return left_to_right.next_log_p(self.model, vectors)

    def fill(self, text: str, top: int = 5) -> dict:
        raise UserError(f"{self.title} reads from left to right and learnt no gaps: look at the next word instead")

    def next_tokens(self, text: str, top: int = 5, readout: str = left_to_right.READOUT) -> dict:
        """As Masked.next_tokens; "prior" is None where the model cannot begin without a text."""
        self.read(text)
        text, first = text.rstrip(" "), left_to_right.first_token(self.tokenizer)
        given = self.log_p(left_to_right.begin(self.model, self.tokenizer, text), slice(-1, None))[0]
        prior = None if first is None else self.log_p([first], slice(-1, None))[0]
        rows = self.best(given, top)
        return {"rows": [row | {"prior": None if prior is None else prior[row["id"]].exp().item()} for row in rows]}

    def spectrum(self, text: str, top: int = 5, start: int = 0) -> dict:
        """Each token after all before it, as Masked.spectrum. A model without a token to begin with gives the first
        token of a text no probability: its row has None, and no top."""
        ids, first = self.read(text), left_to_right.first_token(self.tokenizer)
        given = [*([] if first is None else [first]), *ids][:-1]
        scored, later = ids[len(ids) - len(given) :], start + self.at_once  # all, or all but the first
        here = slice(start, later)
        log_p = self.log_p(given, here) if scored[here] else ()
        rows = [self.place(id, each, top) for id, each in zip(scored[here], log_p)]
        if start == 0 and len(scored) < len(ids):
            rows.insert(0, {"token": self.shown(ids[0]), "log_p": None, "p": None, "top": [], "covered": 0.0})
        return {"rows": rows, "next": later if later < len(scored) else None}
