"""The door to minbert/commands/pretrain.py: python pretrain_lm.py is another name of minbert pretrain."""

import sys

from minbert.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["pretrain", *sys.argv[1:]]))
