"""Another name of `minbert train`, for a clone that is not installed; see minbert/commands/train.py."""

import sys

from minbert.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
