"""Another name of `minbert predict`, for a clone that is not installed; see minbert/commands/predict.py."""

import sys

from minbert.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
