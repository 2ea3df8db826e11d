"""The door to minbert/commands/probe.py: python probe_lm.py is another name of minbert probe."""

import sys

from minbert.commands.probe import run

if __name__ == "__main__":
    sys.exit(run())
