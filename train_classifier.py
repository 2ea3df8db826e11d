"""The door to minbert/commands/train.py: python train_classifier.py is another name of minbert train."""

import sys

from minbert.commands.train import run

if __name__ == "__main__":
    sys.exit(run())
