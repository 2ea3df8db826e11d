"""The one exception for what a person can put right."""


class UserError(ValueError):
    """Something outside the code is wrong: a path, a file, a name, a value.

    The message says what, where, and what to do about it. The scripts print it without a traceback and exit
    with status 2.
    """
