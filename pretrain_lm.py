"""Another name of `minbert pretrain`, for a clone that is not installed; see minbert/commands/pretrain.py."""

import sys

from minbert.__main__ import main as minbert


def main(words=None):
    """Run `minbert pretrain WORDS`, by default the words of the command line. Returns the exit status."""
    return minbert(["pretrain", *(sys.argv[1:] if words is None else words)])


if __name__ == "__main__":
    sys.exit(main())
