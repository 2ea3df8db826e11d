"""A task whose steps are epochs over examples: which examples a step reads, its learning rate, when an epoch ends."""

from minbert.batch import epoch_order
from minbert.optimizer import SCHEDULES
from minbert.runs.loop import Task


class Epochs(Task):
    """A subclass has, beside what a Task has:

    train     its examples; only len(train) is asked
    settings  training.Settings
    "loss" of the progress is summed over the examples of the epoch.
    """

    epoch, order = 0, None  # the epoch, from 1, whose order of examples is at hand

    def rate(self, progress):
        _, total, warmup = self.settings.steps(len(self.train))
        return self.settings.lr * SCHEDULES[self.settings.schedule](progress["steps"], warmup, total)

    def rows(self, progress):
        epoch, batch = divmod(progress["steps"], self.settings.steps(len(self.train))[0])
        if epoch + 1 != self.epoch:
            self.epoch, self.order = epoch + 1, self.new_order(epoch + 1)
        size = self.settings.batch_size
        return self.order[batch * size :][:size].tolist()

    def new_order(self, epoch):
        """The order of the examples in an epoch, which depends on the seed and the epoch alone."""
        return epoch_order(len(self.train), self.settings.seed, epoch)

    def count(self, progress, figures, rate):
        progress["loss"] += figures["loss"] * len(self.rows(progress))

    def due(self, progress):
        return progress["steps"] == (len(progress["history"]) + 1) * self.settings.steps(len(self.train))[0]

    def finished(self, progress):
        return len(progress["history"]) == self.settings.epochs

    def possible(self, progress):
        """Whether there can be such a progress between two steps of this run."""
        steps, _, _ = self.settings.steps(len(self.train))
        epochs = len(progress["history"])
        return epochs <= self.settings.epochs and 0 <= progress["steps"] - epochs * steps <= steps
