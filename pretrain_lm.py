"""Another name of `minbert pretrain`, for a clone that is not installed; see minbert/commands/pretrain.py."""

import sys

from minbert.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
