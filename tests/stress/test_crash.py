"""A share of `make crash-test`: runs that are killed, and disks that fail under them."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.fault("saving: a run killed at any moment, or any write that fails")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_share_of_the_crashes_loses_nothing():
    """In a process that has no threads yet: the programs are forks of it."""
    command = [sys.executable, "-m", "tests.stress.crash", "--kills", "3", "--every", "17"]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " faults, 0 lost something" in ran.stdout
