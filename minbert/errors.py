"""Mistakes that the user can fix, and a stop that the user asked for."""


class UserError(ValueError):
    """Something outside the code is wrong: a path, a file, a name or a value.

    The message says what is wrong, where, and how to fix it. The scripts print it without a traceback and exit with
    status 2.
    """


class Stopped(Exception):
    """A program stopped because a signal asked it to: the signal's number, and a message for the user."""
