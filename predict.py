"""The door to minbert/commands/predict.py: python predict.py is another name of minbert predict."""

import sys

from minbert.commands.predict import run

if __name__ == "__main__":
    sys.exit(run())
