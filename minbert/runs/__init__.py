"""Around the step: loops that can be stopped and gone on with, processes side by side, what a run shows and leaves."""
