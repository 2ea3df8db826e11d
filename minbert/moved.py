"""Old names of modules and functions. They work in this release, with a DeprecationWarning that says where to look.

from minbert.dataset import read  # DeprecationWarning: minbert.dataset.read is now minbert.files.examples....
"""

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder

# A module that is gone: where its names are now, in the order to look.
GONE = {
    "checkpoint": ("runs.state", "atomic"),
    "cli": ("commands.common", "shell"),
    "corpus": ("pretraining.corpus",),
    "dataset": ("files.examples", "files.formats", "files.labels", "files.lines", "files.table", "files.checks"),
    "hub": ("weights.hub",),
    "int8": ("fast.int8",),
    "parallel": ("runs.parallel",),
    "plots": ("runs.plots",),
    "report": ("runs.report",),
    "selftest": ("runs.selftest",),
    "stream": ("files.stream",),
    "teacher": ("pretraining.teacher",),
    "vocabulary": ("pretraining.vocabulary",),
}
# Names that changed, or that left a module which is still there.
RENAMED = {
    "bert.Pretrained": "weights.Pretrained",
    "checkpoint.Keeper": "runs.state.Autosave",
    "checkpoint.digest": "runs.state.sha256_of",
    "checkpoint.reading": "runs.state.state_errors",
    "checkpoint.whole": "atomic.atomic_write",
    "cli.MOST": "commands.common.LARGEST",
    "config.LARGEST": "jsonfile.MAX_JSON",
    "config.REQUIRED": "config_json.REQUIRED",
    "config.SUPPORTED": "config_json.SUPPORTED",
    "config.contents": "jsonfile.read_bytes",
    "config.default_labels": "config_json.default_labels",
    "config.read_labels": "config_json.read_labels",
    "config.settings": "jsonfile.read_json",
    "config.shown": "jsonfile.quoted",
    "corpus.MOST_HELD_OUT": "pretraining.corpus.HELD_OUT_TOKENS",
    "corpus.Packed": "pretraining.corpus.TokenFile",
    "dataset.ragged": "files.table.row_problem",
    "dataset.read": "files.examples.read_examples",
    "dataset.reading": "files.lines.file_errors",
    "dataset.suspicions": "files.checks.data_warnings",
    "dataset.whole": "files.labels.plain_label",
    "fast.Group": "fast.packing.Group",
    "fast.Unpadded": "fast.packing.Packing",
    "fast.UsedRows": "fast.rows.UsedRows",
    "fast.first_only": "fast.twins.first_only",
    "fast.group": "fast.packing.group",
    "fast.keep": "fast.dropout.keep_mask",
    "fast.keep_memory": "fast.memory.retain_freed_memory",
    "optimizer.fused_adamw": "fast.optimizer.fused_adamw",
    "pretraining.IGNORED": "pretraining.masking.IGNORED",
    "pretraining.Objective": "pretraining.objective.Objective",
    "pretraining.Settings": "pretraining.settings.Settings",
    "pretraining.evaluate": "pretraining.objective.evaluate",
    "pretraining.mask_tokens": "pretraining.masking.mask_tokens",
    "report.NUMBER": "runs.columns.NUMBER",
    "report.check": "runs.report.check_outputs",
    "report.reading": "runs.report.text_bar",
    "report.write_course_predictions": "runs.report.write_predictions",
    "stream.read": "files.stream.read_rows",
    "tokenizer.Encoding": "encoding.Encoding",
    "training.FeatureBatch": "runs.classifier.FeatureBatch",
    "training.LEARNING_RATES": "commands.train.RATES",
    "training.NARROW": "commands.train.NARROW",
    "training.fit": "runs.classifier.fit",
    "training.part": "runs.loop.without_prefix",
    "training.pick_device": "runs.selftest.pick_device",
    "training.random_states": "runs.loop.random_states",
    "training.set_random_states": "runs.loop.set_random_states",
    "training.under": "runs.loop.with_prefix",
    "training.unwatched": "training.no_bar",
    "vocabulary.MOST_WORDS": "pretraining.vocabulary.WORD_LIMIT",
    "weights.Report": "weights.fill.Report",
    "weights.check_size": "weights.fill.check_size",
    "weights.named_tensors": "weights.read.named_tensors",
    "weights.unpickle": "weights.read.unpickle",
}
STAYS = {name.partition(".")[0] for name in RENAMED} - set(GONE)


def install():
    """Let Python's import system know the old names."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())


class Finder:
    """Finds the modules of GONE, which are empty, and those of STAYS, where they are; to both it adds `look_up`."""

    def find_spec(self, fullname, path=None, target=None):
        package, _, module = fullname.partition(".")
        if package != "minbert" or module not in STAYS | set(GONE):
            return None
        if module in GONE:
            return ModuleSpec(fullname, Empty())
        spec = PathFinder.find_spec(fullname, path, target)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            add_old_names(module)

        spec.loader.exec_module = exec_module
        return spec


class Empty:
    """The loader of a module in which there is nothing but its old names."""

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__doc__ = f"Moved to {', '.join('minbert.' + home for home in GONE[old(module)])}."
        add_old_names(module)


def old(module):
    return module.__name__.removeprefix("minbert.")


def add_old_names(module):
    module.__getattr__ = lambda name: look_up(old(module), name)


def look_up(module, name):
    """What was called minbert.MODULE.NAME, with a warning. Raises AttributeError if nothing is known of it."""
    places = [f"{home}.{name}" for home in GONE.get(module, ())] * (not name.startswith("__"))
    for place in (RENAMED[f"{module}.{name}"],) if f"{module}.{name}" in RENAMED else places:
        home, _, attribute = place.rpartition(".")
        try:
            found = getattr(import_module(f"minbert.{home}"), attribute)
        except AttributeError:
            continue
        warnings.warn(
            f"minbert.{module}.{name} is now minbert.{place}; the old name works in this release only",
            DeprecationWarning,
            stacklevel=3,
        )
        return found
    raise AttributeError(f"module 'minbert.{module}' has no attribute {name!r}")
