"""Another name of `minbert predict`, for a clone that is not installed; see minbert/commands/predict.py."""

import sys

from minbert.__main__ import main as minbert


def main(words=None):
    """Run `minbert predict WORDS`, by default the words of the command line. Returns the exit status."""
    return minbert(["predict", *(sys.argv[1:] if words is None else words)])


run = main  # its name before version 0.2

if __name__ == "__main__":
    sys.exit(main())
