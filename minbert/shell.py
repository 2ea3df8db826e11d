"""Command lines to copy: how a command is called here, with words quoted where a shell needs it.

Every command line that minbert prints for copying is made here.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

SCRIPTS = {  # other names of the commands, in a clone
    "train": "train_classifier.py",
    "predict": "predict.py",
    "probe": "probe_lm.py",
    "pretrain": "pretrain_lm.py",
}


def called(command: str) -> str:
    """How to call a command, in the way this program was called.

    "minbert train", "python -m minbert train", or "python train_classifier.py" for someone who called a script.
    """
    program = Path(sys.argv[0] if sys.argv else "")
    if program.name in SCRIPTS.values() and command in SCRIPTS:
        return quote("python", program.with_name(SCRIPTS[command]))
    if program.name == "legacy.py" and command == "convert":
        return "python -m minbert.legacy"
    if program.name in ("__main__.py", "legacy.py", *SCRIPTS.values()):
        return f"python -m minbert {command}"
    return f"minbert {command}"


def advice(command: str, *words) -> str:
    """A command line to copy: `command`, as it is called here, and its words."""
    return f"{called(command)} {quote(*words)}"


def quote(*words) -> str:
    """Words as one line that the shell takes apart into the same words."""
    words = [str(word) for word in words]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
