"""python -m minbert.study COMMAND, the same as minbert study COMMAND."""

import sys

from minbert.commands import common, study

if __name__ == "__main__":
    sys.exit(common.run(study.main))
