"""Parts 1 and 2, by others."""

from tests.course.held_out import Bug

WORDPIECE, SHORTEN = "BertTokenizer.wordpiece", "shorten"
BUGS = [
    Bug(
        1,
        "tokenizer",
        "the shortest piece, by while loops",
        WORDPIECE,
        """
        def wordpiece(self, word):
            if len(word) > 200:
                return ["[UNK]"]
            output, rest, first = [], word, True
            while rest:
                size = 1
                while size <= len(rest):
                    candidate = rest[:size] if first else "##" + rest[:size]
                    if candidate in self.vocab:
                        break
                    size += 1
                else:
                    return ["[UNK]"]
                output.append(candidate)
                rest, first = rest[size:], False
            return output
        """,
        ("the shortest piece is taken, not the longest",),
    ),
    Bug(
        1,
        "tokenizer",
        "recursive, ## forgotten",
        WORDPIECE,
        """
        def wordpiece(self, word):
            def cut(rest):
                if not rest:
                    return []
                for k in range(len(rest)):
                    head = rest[: len(rest) - k]
                    if head in self.vocab:
                        tail = cut(rest[len(head):])
                        return None if tail is None else [head] + tail
                return None

            found = cut(word) if len(word) <= 200 else None
            return ["[UNK]"] if found is None else found
        """,
        ("later pieces are looked up without ##",),
    ),
    Bug(1, "tokenizer", "the limit is 99", "if len(word) > MAX_WORD:", "if len(word) >= 100:"),
    Bug(
        1,
        "tokenizer",
        "digits are set apart, too",
        '    ascii_symbol = "!" <= char <= "~" and not char.isalnum()',
        '    ascii_symbol = "!" <= char <= "~" and not char.isalpha()',
        ("digits are set apart, too",),
    ),
    Bug(
        1,
        "encoding",
        "one at a time, the first of two equal ones",
        SHORTEN,
        """
        def shorten(row, room):
            before = sum(len(part) for part in row)
            while sum(len(part) for part in row) > room:
                lengths = [len(part) for part in row]
                del row[lengths.index(max(lengths))][-1]
            return before > room
        """,
        ("of two texts of equal length, the first is cut",),
    ),
    Bug(
        1,
        "encoding",
        "an odd [SEP] at the front",
        "return [[*begin, *row[0], *end] for row in rows]",
        "return [[*end, *begin, *row[0], *end] for row in rows]",
    ),
    Bug(1, "tokenizer", "the pair's segment is 2", "pair_segment=1", "pair_segment=2"),
    Bug(2, "embeddings", "half a position", "self.position(positions) +", "0.5 * self.position(positions) +"),
    Bug(
        2,
        "embeddings",
        "one-hot products, no segments",
        "Embeddings.forward",
        """
        def forward(self, input_ids, token_type_ids=None, positions=None):
            if positions is None:
                positions = self.positions(input_ids)
            words = torch.nn.functional.one_hot(input_ids, self.token.num_embeddings).float()
            places = torch.nn.functional.one_hot(positions, self.position.num_embeddings).float()
            x = torch.einsum("btv,vd->btd", words, self.token.weight)
            x = x + torch.einsum("...tp,pd->...td", places, self.position.weight)
            return self.dropout(self.norm(x))
        """,
        ("the segments are forgotten",),
    ),
    Bug(
        2,
        "embeddings",
        "std of n - 1, eps outside",
        "return self.dropout(self.norm(x))",
        "x = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + self.norm.eps)\n"
        "        return self.dropout(x * self.norm.weight + self.norm.bias)",
        ("the norm divides by torch's std + eps: D - 1, and eps outside the root",),
    ),
    Bug(
        2,
        "embeddings",
        "dropout of positions",
        "+ self.position(positions) +",
        "+ self.dropout(self.position(positions)) +",
    ),
    Bug(
        2,
        "embeddings",
        "positions as in RoBERTa",
        "torch.arange(length, device=input_ids.device)",
        "(input_ids != 0).long().cumsum(1)",
        ("the positions start at 1",),
    ),
    Bug(
        2,
        "embeddings",
        "sinusoids by loops, exchanged",
        "sinusoids",
        """
        def sinusoids(length, size):
            import math
            table = torch.zeros(length, size)
            for p in range(length):
                for i in range(size):
                    angle = p / 10000 ** (2 * (i // 2) / size)
                    table[p, i] = math.cos(angle) if i % 2 == 0 else math.sin(angle)
            return table
        """,
        ("the sinusoids: sine and cosine are exchanged",),
    ),
    Bug(
        1,
        "tokenizer",
        "## from the third letter on only",
        "BertTokenizer.wordpiece",
        """
        def wordpiece(self, word):
            if len(word) > MAX_WORD:
                return [self.unk_token]
            out = []
            i = 0
            while i < len(word):
                j = len(word)
                found = None
                while j > i:
                    sub = word[i:j]
                    if i > 1:
                        sub = "##" + sub
                    if sub in self.vocab:
                        found = sub
                        break
                    j -= 1
                if found is None:
                    return [self.unk_token]
                out.append(found)
                i = j
            return out
        """,
    ),
    Bug(
        1,
        "tokenizer",
        "the fewest pieces, from the front",
        "BertTokenizer.wordpiece",
        """
        def wordpiece(self, word):
            if len(word) > MAX_WORD:
                return [self.unk_token]
            best = {0: []}
            for end in range(1, len(word) + 1):
                for start in range(end):
                    piece = word[start:end] if start == 0 else "##" + word[start:end]
                    if start in best and piece in self.vocab:
                        if end not in best or len(best[start]) + 1 < len(best[end]):
                            best[end] = best[start] + [piece]
            return best.get(len(word), [self.unk_token])
        """,
    ),
    Bug(
        1,
        "tokenizer",
        "brackets and the accent grave forgotten",
        "set_apart",
        """
        def set_apart(char):
            cp = ord(char)
            if (33 <= cp <= 47) or (58 <= cp <= 64) or (123 <= cp <= 126):
                return f" {char} "
            if unicodedata.category(char).startswith("P"):
                return f" {char} "
            return char
        """,
    ),
    Bug(
        1,
        "tokenizer",
        "the whole word, or letters",
        "BertTokenizer.wordpiece",
        """
        def wordpiece(self, word):
            if len(word) > MAX_WORD:
                return [self.unk_token]

            if word in self.vocab:
                return [word]
            pieces = [word[0]] + ["##" + c for c in word[1:]]
            if all(p in self.vocab for p in pieces):
                return pieces
            return [self.unk_token]
        """,
        ("a word that the vocabulary does not hold is cut into letters",),
    ),
    Bug(
        2,
        "embeddings",
        "segment vectors times the segment",
        "Embeddings.forward",
        """
        def forward(self, input_ids, token_type_ids=None, positions=None):
            if positions is None:
                positions = self.positions(input_ids)
            x = self.token(input_ids) + self.position(positions)
            if token_type_ids is not None:
                x = x + self.segment(token_type_ids) * token_type_ids.unsqueeze(-1)
            return self.dropout(self.norm(x))
        """,
    ),
    Bug(
        2,
        "embeddings",
        "each vector normalised, dropout, and the norm once more",
        "Embeddings.forward",
        """
        def forward(self, input_ids, token_type_ids=None, positions=None):
            if token_type_ids is None:
                token_type_ids = torch.zeros_like(input_ids)
            if positions is None:
                positions = self.positions(input_ids)
            three = self.token(input_ids), self.position(positions), self.segment(token_type_ids)
            return self.norm(self.dropout(sum(map(self.norm, three))))
        """,
    ),
]
