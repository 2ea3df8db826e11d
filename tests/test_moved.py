"""Old names of modules and functions: each leads to the new one, with a warning that says where that is."""

import importlib
import sys
import warnings

import pytest

from minbert import moved
from tests.conftest import ROOT

# What the modules of 0.1.0 defined that are gone, or defined elsewhere now.
OLD = {
    "bert": "Pretrained",
    "checkpoint": "STATE LOCK whole flush_folder claim check_free save_state digest forget load_facts load_state "
    "reading Stopped Stop Keeper",
    "cli": "MOST Parser nearest number natural load_tokenizer readable fits run",
    "config": "LARGEST REQUIRED SUPPORTED contents settings shown default_labels read_labels",
    "corpus": "BREAK REMEMBERED HELD_OUT MOST_HELD_OUT NGRAM read_texts Overlap ngrams pack Packed",
    "dataset": "FORMATS TEXT_COLUMNS LABEL_COLUMNS MOST_CLASSES UNBALANCED Examples LabelSet is_number whole "
    "in_order check_beginning read load reading decode decode_line recognise delimiter_of read_table ragged column "
    "records joiner record first_record labels_path read_lines refuse_bad_rows suspicions normalise",
    "fast": "Linear Dropout Unpadded UsedRows group Group first_only keep keep_memory",
    "hub": "UNWRITABLE WEIGHTS Known UNCASED_VOCAB KNOWN find checkpoints names on_the_hub complete listing legacy "
    "no_folder unknown installed cached download unresolvable damage digest offline",
    "int8": "Int8Linear whole_numbers quantize",
    "optimizer": "fused_adamw clip AdamW linear constant SCHEDULES parameter_groups",
    "parallel": "FIRST_WORD size rank writer start together take_device wrap share mean highest deal gather",
    "plots": "pyplot learning_curve loss_curve confusion_matrix",
    "pretraining": "IGNORED Settings mask_tokens Objective evaluate",
    "report": "RUN_FILES NUMBER FORMULA MEANING warn short table describe_data count_parameters describe_model "
    "Progress reading Meter versions check writable prepare csv_writer write_predictions write_course_predictions "
    "write_run",
    "selftest": "TOLERANCE SIZES LENGTHS RATE pick_device unusable_gpu self_test compare example stages step "
    "difference",
    "stream": "BLOCK LONGEST LOOK Row read windows read_lines decode line_rows table_rows read_records",
    "teacher": "REMEMBERED Teacher mean_of_words",
    "training": "Settings Data NotFinite set_seed pick_device autocast class_weights train_step train_epoch unwatched "
    "predict features FeatureBatch fit under part random_states set_random_states",
    "vocabulary": "MOST_WORDS count_words learn_vocab alphabet spell merge",
    "weights": "Report from_pretrained save_pretrained save_course_checkpoint unpickle check_size named_tensors",
}
NAMES = [f"{module}.{name}" for module, names in OLD.items() for name in names.split()]
RENAMED = {  # some whose names changed
    "checkpoint.whole": "atomic.atomic_write",
    "checkpoint.Keeper": "runs.state.Autosave",
    "config.shown": "jsonfile.quoted",
    "dataset.read": "files.examples.read_examples",
    "dataset.suspicions": "files.checks.data_warnings",
    "fast.keep_memory": "fast.memory.retain_freed_memory",
    "report.reading": "runs.report.text_bar",
    "training.fit": "runs.classifier.fit",
    "training.under": "runs.loop.with_prefix",
    "stream.read": "files.stream.read_rows",
}


def get(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(f"minbert.{module}"), attribute)


@pytest.mark.parametrize("name", NAMES)
def test_an_old_name_leads_to_the_new_one(name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = get(name)
    module, _, attribute = name.partition(".")
    if attribute in vars(sys.modules[f"minbert.{module}"]):  # it is still there
        assert caught == []
        return
    (warning,) = caught
    assert warning.category is DeprecationWarning
    said, _, new = str(warning.message).partition(" is now minbert.")
    new = new.partition(";")[0]
    assert said == f"minbert.{name}" and new not in (name, "")
    assert get(new) is found


@pytest.mark.parametrize("name, new", RENAMED.items())
def test_a_renamed_function(name, new):
    with pytest.warns(DeprecationWarning, match=rf"^minbert\.{name} is now minbert\.{new};"):
        assert get(name) is get(new)


def test_the_warning_points_at_the_line_that_uses_the_name():
    with pytest.warns(DeprecationWarning) as caught:
        from minbert.dataset import read  # noqa: F401
    with pytest.warns(DeprecationWarning) as also:
        importlib.import_module("minbert.hub").find  # noqa: B018
    assert {caught[0].filename, also[0].filename} == {__file__}


def test_what_never_was_is_no_attribute_and_no_module():
    for module in ("dataset", "config", "pretraining"):
        with pytest.raises(AttributeError, match=f"module 'minbert.{module}' has no attribute 'nothing'"):
            importlib.import_module(f"minbert.{module}").nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("minbert.nothing")
    with pytest.raises(ImportError):
        from minbert.hub import nothing  # noqa: F401


def test_no_old_name_hides_a_file():
    for module in moved.GONE:
        assert not (ROOT / "minbert" / f"{module}.py").exists() and not (ROOT / "minbert" / module).exists()


def test_nothing_of_ours_uses_an_old_name():
    for path in [*(ROOT / "minbert").rglob("*.py"), *(ROOT / "bench").rglob("*.py"), *ROOT.glob("*.py")]:
        text = path.read_text(encoding="utf-8").replace(moved.__doc__, "")
        for module in moved.GONE:
            assert f"from minbert.{module} import" not in text and f"import minbert.{module}\n" not in text, path
