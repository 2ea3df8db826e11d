"""How numbers stand in messages."""


def counted(number: int, one: str, many: str | None = None, form: str = "") -> str:
    """'1 token', '2 tokens', '0 tokens'.

    many  where the plural is not `one` with an s: counted(2, "batch", "batches")
    form  of the number, as in format(): "," gives '1,024 tokens'
    """
    return f"{number:{form}} {one if number == 1 else many or one + 's'}"
