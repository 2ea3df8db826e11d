"""A bounded memory of what a rule says of pieces of text. Most pieces of a long text occur again."""

import itertools


class Cache(dict):
    """A piece of text -> what the rule makes of it; the rule is asked the first time.

    known  what the cache begins with, a dict

    Bounded: long pieces are not kept, and the cache is emptied when it is full.
    """

    MOST, LONGEST = 2**17, 50

    def __init__(self, rule, known=None):
        super().__init__(known or {})
        self.rule = rule

    def __missing__(self, piece):
        found = self.rule(piece)
        if len(piece) <= self.LONGEST:
            if len(self) >= self.MOST:
                self.clear()
            self[piece] = found
        return found

    def add(self, found):
        """Keep what the rule makes of some pieces, none of them long."""
        if len(self) + len(found) > self.MOST:
            self.clear()
        self.update(itertools.islice(found.items(), self.MOST))
