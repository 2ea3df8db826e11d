"""Reference values of the study: made by scipy, statsmodels, ppi-python, krippendorff and cleanlab."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def study_golden(shared):
    """study_golden["holm"] -> what the reference libraries computed; skips the test without ../shared."""
    return json.loads(Path(shared("reference/study/goldens.json")).read_text("utf-8"))
