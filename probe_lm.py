"""Another name of `minbert probe`, for a clone that is not installed; see minbert/commands/probe.py."""

import sys

from minbert.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["probe", *sys.argv[1:]]))
