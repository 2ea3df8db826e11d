"""Another name of `minbert probe`, for a clone that is not installed; see minbert/commands/probe.py."""

import sys

from minbert.__main__ import main as minbert


def main(words=None):
    """Run `minbert probe WORDS`, by default the words of the command line. Returns the exit status."""
    return minbert(["probe", *(sys.argv[1:] if words is None else words)])


run = main  # its name before version 0.2

if __name__ == "__main__":
    sys.exit(main())
