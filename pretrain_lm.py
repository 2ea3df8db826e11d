"""The door to minbert/commands/pretrain.py: python pretrain_lm.py is another name of minbert pretrain."""

import sys

from minbert.commands.pretrain import run

if __name__ == "__main__":
    sys.exit(run())
