"""A bigger encoder that teaches a small one: where its embeddings begin, and what its words should become."""

import itertools

import numpy as np
import torch

REMEMBERED = 500_000  # words whose ids are kept


class Teacher:
    """A bigger encoder: it starts the student's embeddings, and gives each word the vector that the student's is to be.

    model      BertModel, in evaluation mode
    tokenizer  its own; student and teacher share words, not pieces
    """

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer, self.size = model, tokenizer, model.config.hidden_size
        self.ids = {}  # pieces of a word as the student cuts it: as the teacher does

    @torch.no_grad()
    def start(self, model, student):
        """Give the embeddings of a new model's tokens, but for the special ones, what the teacher knows of them.

        Each token is read by the teacher as a text of its own; what it puts in (embeddings) and gets out (last hidden
        states), side by side, are brought to the student's size by their principal components, as Model2Vec does. The
        root of the components' sizes evens them out, so that the decoder can tell tokens apart.
        """
        ids = [id for token, id in student.vocab.items() if token not in student.special]
        tokens, found = [student.tokens[id].removeprefix("##") for id in ids], []
        for at in range(0, len(tokens), 512):
            batch = self.tokenizer(tokens[at : at + 512], padding=True, return_tensors="pt")
            weight = (batch.attention_mask / batch.attention_mask.sum(1, keepdim=True))[:, :, None]
            inner, outer = self.model.embeddings.token(batch.input_ids), self.model(**batch)["last_hidden_state"]
            found.append(torch.stack([(inner * weight).sum(1), (outer * weight).sum(1)]))
        both = torch.cat(found, dim=1)  # [2, V, D]
        both = both - both.mean(dim=1, keepdim=True)
        both = both / both.norm(dim=-1).mean(dim=1)[:, None, None]  # the two weigh the same
        u, size, _ = torch.linalg.svd(torch.cat(list(both), dim=-1), full_matrices=False)
        weights = model.bert.embeddings.token.weight
        kept = min(weights.size(1), len(size))
        start = u[:, :kept] * size[:kept].sqrt()
        scale = model.config.initializer_range * weights.size(1) ** 0.5 / start.norm(dim=-1).mean()
        weights[torch.tensor(ids), :kept] = start * scale

    @torch.no_grad()
    def words(self, rows, packed, student):
        """The student's ids [B, T] -> the teacher's vectors of their N words [N, D], and which word is where [B, T].

        A special token is word -1. A word past the end of what the teacher can read has the vector 0.
        """
        texts, units, place, number = [], [], np.full(rows.shape, -1), 0
        for row, ids in enumerate(rows):
            begins = ~(packed.continues[ids] | packed.special[ids])
            begins[1:] |= packed.special[ids[:-1]] & ~packed.special[ids[1:]]
            bounds = [*np.flatnonzero(begins | packed.special[ids]).tolist(), len(ids)]
            text, unit = [self.tokenizer.cls_token_id], [-1]
            for start, end in itertools.pairwise(bounds):
                if not packed.special[ids[start]]:
                    pieces = self.pieces(tuple(ids[start:end].tolist()), student)
                    text, unit = text + pieces, unit + [number] * len(pieces)
                    place[row, start:end] = number
                    number += 1
            texts.append(text), units.append(unit)
        limit = self.model.config.max_position_embeddings
        longest = min(limit, max(map(len, texts)))
        ids, unit = (
            torch.tensor([(row + [filler] * longest)[:longest] for row in table])
            for table, filler in ((texts, self.tokenizer.pad_token_id), (units, -1))
        )
        mask = (ids != self.tokenizer.pad_token_id).long()
        device = next(self.model.parameters()).device
        x = self.model(ids.to(device), mask.to(device))["last_hidden_state"].float()
        return mean_of_words(x, unit.to(device), number), torch.from_numpy(place).to(device)

    def pieces(self, key, student):
        """The teacher's ids of a word, given the student's"""
        if key not in self.ids:
            if len(self.ids) >= REMEMBERED:
                self.ids.clear()
            word = student.decode(key, clean_up=False).removeprefix("##")  # a row may begin in the middle of a word
            self.ids[key] = self.tokenizer.encode(word, add_special_tokens=False)
        return self.ids[key]


def mean_of_words(x, unit, number):
    """x [B, T, D], the word at each place [B, T] or -1 -> each word's mean vector [number, D]; 0 where it is nowhere"""
    there = unit >= 0
    total = x.new_zeros(number, x.size(-1)).index_add(0, unit[there], x[there])
    return total / torch.bincount(unit[there], minlength=number).clamp(min=1)[:, None]
