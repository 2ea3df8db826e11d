"""How numbers stand in messages, and which name may have been meant."""

import difflib
from collections.abc import Iterable


def counted(number: int, one: str, many: str | None = None, form: str = "") -> str:
    """'1 token', '2 tokens', '0 tokens'.

    many  where the plural is not `one` with an s: counted(2, "batch", "batches")
    form  of the number, as in format(): "," gives '1,024 tokens'
    """
    return f"{number:{form}} {one if number == 1 else many or one + 's'}"


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean WORD?' of those known, in upper or lower case, or nothing if none of them is like it."""
    names = {other.lower(): other for other in known}
    begin = [other for other in names.values() if len(word) > 3 and other.startswith(word)]
    close = begin or [names[other] for other in difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.7)]
    return f"; did you mean {' or '.join(close)}?" if close else ""
