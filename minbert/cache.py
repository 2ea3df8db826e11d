"""A bounded memory of what a rule says of pieces of text. Most pieces of a long text occur again."""


class Cache(dict):
    """A piece of text -> what the rule makes of it; the rule is asked the first time.

    Bounded: long pieces are not kept, and the cache is emptied when it is full.
    """

    MOST, LONGEST = 2**17, 50

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def __missing__(self, piece):
        found = self.rule(piece)
        if len(piece) <= self.LONGEST:
            if len(self) >= self.MOST:
                self.clear()
            self[piece] = found
        return found
