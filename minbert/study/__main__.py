"""python -m minbert.study WORD, the same as minbert study WORD."""

import sys

from minbert.commands import common, study

if __name__ == "__main__":
    sys.exit(common.run(study.main))
