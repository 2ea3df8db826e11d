"""Another name of `minbert convert`: python -m minbert.legacy FILE.pt OUT; see minbert/commands/convert.py."""

import sys

from minbert.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]]))
