"""The door to minbert/commands/convert.py: python -m minbert.legacy FILE.pt OUT is another name of minbert convert."""

import sys

from minbert.commands.convert import run

if __name__ == "__main__":
    sys.exit(run())
