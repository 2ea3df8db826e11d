"""The door to minbert/commands/train.py: python train_classifier.py is another name of minbert train."""

import sys

from minbert.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
