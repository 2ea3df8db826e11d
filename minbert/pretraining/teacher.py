"""A bigger encoder that teaches a small one: it gives initial embeddings, and a target vector for each word."""

import itertools

import numpy as np
import torch
from torch import Tensor

from minbert.bert import BertModel
from minbert.heads import BertForMaskedLM
from minbert.pretraining.corpus import TokenFile
from minbert.tokenizer import BertTokenizer

REMEMBERED = 500_000  # words whose ids are cached


class Teacher:
    """A bigger encoder. It gives the student initial embeddings, and for each word a vector to learn.

    model      in evaluation mode
    tokenizer  the teacher's; the student's may cut the same words into other pieces
    """

    def __init__(self, model: BertModel, tokenizer: BertTokenizer):
        self.model, self.tokenizer, self.size = model, tokenizer, model.config.hidden_size
        self.ids = {}  # {the student's ids of a word: the teacher's}

    @torch.no_grad()
    def bequeath(self, model: BertForMaskedLM, student: BertTokenizer) -> None:
        """Copy the teacher's embeddings and its first layers into a new model of the teacher's sizes.

        Of the layers that one can leave out, the last cost least (Sajjad et al. 2023, top-layer dropping). A token that
        the teacher lacks starts with the mean of the embeddings of the pieces that the teacher cuts it into.
        """
        ours, theirs = model.bert, self.model
        pieces = theirs.embeddings.token.weight
        for token, id in student.vocab.items():
            if token in self.tokenizer.vocab:
                ids = [self.tokenizer.vocab[token]]
            else:
                ids = self.tokenizer.encode(token.removeprefix("##"), add_special_tokens=False)
            if ids:
                ours.embeddings.token.weight[id] = pieces[ids].mean(0)
        for name in ("position", "segment"):
            source, target = getattr(theirs.embeddings, name).weight, getattr(ours.embeddings, name).weight
            rows = min(len(source), len(target))
            target[:rows] = source[:rows]
        ours.embeddings.norm.load_state_dict(theirs.embeddings.norm.state_dict())
        for layer, source in zip(ours.encoder.layers, theirs.encoder.layers):
            layer.load_state_dict(source.state_dict())

    @torch.no_grad()
    def initialize(self, model: BertForMaskedLM, student: BertTokenizer) -> None:
        """Derive the token embeddings of a new model from the teacher's, in place; special tokens keep theirs.

        The teacher reads each token as a text. Its embedding and its last hidden state, side by side, are reduced to
        the student's size by principal components, as Model2Vec does. The components are scaled by the root of their
        singular values: that evens them out, so that the decoder can tell tokens apart.

        student  the new model's tokenizer
        """
        ids = [id for token, id in student.vocab.items() if token not in student.special]
        tokens, found = [student.tokens[id].removeprefix("##") for id in ids], []
        for start in range(0, len(tokens), 512):
            batch = self.tokenizer(tokens[start : start + 512], padding=True, return_tensors="pt")
            weight = (batch.attention_mask / batch.attention_mask.sum(1, keepdim=True))[:, :, None]
            inner, outer = self.model.embeddings.token(batch.input_ids), self.model(**batch)["last_hidden_state"]
            found.append(torch.stack([(inner * weight).sum(1), (outer * weight).sum(1)]))
        both = torch.cat(found, dim=1)  # [2, tokens, D]
        both = both - both.mean(dim=1, keepdim=True)
        both = both / both.norm(dim=-1).mean(dim=1)[:, None, None]  # equal weight for the two
        u, singular, _ = torch.linalg.svd(torch.cat(list(both), dim=-1), full_matrices=False)
        weights = model.bert.embeddings.token.weight
        size = min(weights.size(1), len(singular))
        components = u[:, :size] * singular[:size].sqrt()
        scale = model.config.initializer_range * weights.size(1) ** 0.5 / components.norm(dim=-1).mean()
        weights[torch.tensor(ids), :size] = components * scale

    @torch.no_grad()
    def word_vectors(self, rows: np.ndarray, packed: TokenFile, student: BertTokenizer) -> tuple[Tensor, Tensor]:
        """The student's ids [B, T] -> the teacher's vectors of their N words [N, D], the word at each position [B, T]

        The word at a special token is -1. A word beyond the teacher's last position has the vector 0.
        """
        texts, text_words, student_words, number = [], [], np.full(rows.shape, -1), 0
        for row, ids in enumerate(rows):
            begins = ~(packed.continues[ids] | packed.special[ids])
            begins[1:] |= packed.special[ids[:-1]] & ~packed.special[ids[1:]]
            bounds = [*np.flatnonzero(begins | packed.special[ids]).tolist(), len(ids)]
            text, words = [self.tokenizer.cls_token_id], [-1]  # the teacher's ids, the word of each
            for start, end in itertools.pairwise(bounds):
                if not packed.special[ids[start]]:
                    pieces = self.pieces(tuple(ids[start:end].tolist()), student)
                    text, words = text + pieces, words + [number] * len(pieces)
                    student_words[row, start:end] = number
                    number += 1
            texts.append(text), text_words.append(words)
        limit = self.model.config.max_position_embeddings
        longest = min(limit, max(map(len, texts)))
        ids, words = (
            torch.tensor([(row + [filler] * longest)[:longest] for row in table])
            for table, filler in ((texts, self.tokenizer.pad_token_id), (text_words, -1))
        )
        mask = (ids != self.tokenizer.pad_token_id).long()
        device = next(self.model.parameters()).device
        x = self.model(ids.to(device), mask.to(device))["last_hidden_state"].float()
        return mean_of_words(x, words.to(device), number), torch.from_numpy(student_words).to(device)

    def pieces(self, key: tuple[int, ...], student: BertTokenizer) -> list[int]:
        """The student's ids of a word -> the teacher's"""
        if key not in self.ids:
            if len(self.ids) >= REMEMBERED:
                self.ids.clear()
            word = student.decode(key, clean_up=False).removeprefix("##")  # a row may start within a word
            self.ids[key] = self.tokenizer.encode(word, add_special_tokens=False)
        return self.ids[key]


def mean_of_words(x: Tensor, words: Tensor, number: int) -> Tensor:
    """x [B, T, D], the word at each position [B, T] or -1 -> each word's mean vector [number, D]; 0 if it is absent"""
    real = words >= 0
    total = x.new_zeros(number, x.size(-1)).index_add(0, words[real], x[real])
    return total / torch.bincount(words[real], minlength=number).clamp(min=1)[:, None]
