"""A training run that is stopped, and goes on."""

import pytest

from minbert.commands import train
from minbert.runs import state


def stop_and_resume(words, steps, out, here, monkeypatch):
    """Train with these words into a folder, stop after so many steps, and resume."""
    step, done = state.Autosave.step, []

    def stop(self, due=False):
        done.append(due)
        step(self, due=due)
        if len(done) == steps:
            raise KeyboardInterrupt

    monkeypatch.setattr(state.Autosave, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        train.main([*words, "--out", out])
    monkeypatch.undo()
    monkeypatch.chdir(here)
    train.main(["--resume", out])
