"""The one exception for mistakes that the user can fix."""


class UserError(ValueError):
    """Something outside the code is wrong: a path, a file, a name or a value.

    The message says what is wrong, where, and how to fix it. The scripts print it without a traceback and exit with
    status 2.
    """
