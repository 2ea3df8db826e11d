"""Each known mistake, planted in the package, fails its own part and no other, and the failure names it."""

import importlib
import inspect
import itertools
import re
from pathlib import Path

import pytest
import torch

from minbert import course
from minbert.course import mistakes
from minbert.course.diagnosis import TOLERANCE, check, check_equal
from tests.conftest import ROOT, VOCAB
from tests.course.planted import PLANTED

FILES = {int(path.stem[4]): path for path in sorted((ROOT / "tests" / "parts").glob("part*.py"))}
PARTS = {number: importlib.import_module(f"tests.parts.{path.stem}") for number, path in FILES.items()}
EACH = [(number, mistake) for number, planted in PLANTED.items() for mistake in planted]


def failures(part, golden):
    """Run a part's tests as pytest does, with no fixture but `golden`: the messages of those that fail."""
    found = []
    for name, test in vars(part).items():
        if name.startswith("test_"):
            marks = [mark.args for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
            for values in itertools.product(*(cases for _, cases in marks)):
                arguments = {"golden": golden} if "golden" in inspect.signature(test).parameters else {}
                for (names, _), value in zip(marks, values):
                    split = re.split(r",\s*", names)
                    arguments |= dict(zip(split, value if len(split) > 1 else [value]))
                try:
                    test(**arguments)
                except Exception as error:
                    found.append(str(error))
    return found


def test_there_are_eight_parts_and_each_carries_its_marker():
    assert list(PARTS) == list(PLANTED) == list(range(1, 9))
    for number, part in PARTS.items():
        assert part.pytestmark.name == f"part{number}"


@pytest.mark.parametrize("number", PARTS)
def test_without_a_mistake_every_part_passes(number, golden):
    assert failures(PARTS[number], golden) == []


@pytest.mark.parametrize("number, mistake", EACH)
def test_a_mistake_fails_its_part_alone_and_is_named(number, mistake, golden, monkeypatch):
    torch.manual_seed(0)
    PLANTED[number][mistake](monkeypatch)
    found = {other: failures(part, golden) for other, part in PARTS.items()}
    assert [other for other, messages in found.items() if messages] == [number]
    named = {message.splitlines()[0].partition("Likely mistake: ")[2] for message in found[number]} - {""}
    assert named == {mistake}, found[number]


# Golden inputs of each stage, for the tables of known mistakes


def tables(golden):
    """Each table of known mistakes on its golden input, and the right result: {name: (right, mistakes)}"""
    layer, state, hidden = "encoder.layers.0.", golden.weights(), golden.stage("1.feed_forward_norm")
    query, key, value = (golden.heads(f"0.{name}") for name in ("query", "key", "value"))
    ids, segments, eps = golden.batch.input_ids, golden.batch.token_type_ids, golden.config.layer_norm_eps
    logits, labels = golden.stage("logits"), golden.batch.labels
    weight, grad = state["classifier.weight"], golden.part("pretrain/grad/")["classifier.weight"]
    gradient = (logits.softmax(-1) - torch.eye(4)[labels]) / 3
    x, attention = golden.stage("embeddings"), lambda x: golden.stage("0.attention") * x.square().mean()
    right_layer = mistakes.layer(golden.weights(layer), x, attention, eps)
    p = logits[0].softmax(-1)
    return {
        "embeddings": (x, mistakes.embeddings(golden.weights("embeddings."), ids, segments, eps)),
        "probabilities": (golden.stage("0.probabilities"), mistakes.probabilities(query, key, golden.mask)),
        "mixes": (golden.heads("0.merged"), mistakes.mixes(query, key, value, golden.mask)),
        "merges": (golden.stage("0.merged"), mistakes.merges(golden.heads("0.merged"))),
        "layers": (right_layer, mistakes.layers(golden.weights(layer), x, attention, eps)),
        "logits": (logits, mistakes.logits(state, hidden, golden.stage("pooler"))),
        "poolers": (golden.stage("pooler"), mistakes.poolers(state, hidden)),
        "steps": (
            golden.part("pretrain/after/")["classifier.weight"],
            mistakes.steps(weight, grad, betas=(0.9, 0.999), **golden.step),
        ),
        "loss_gradients": (gradient, mistakes.loss_gradients(logits, labels)),
        "clipped": (gradient * 0.01 / gradient.norm(), mistakes.clipped(gradient, 0.01)),
        "second_gradients": (gradient, mistakes.second_gradients(gradient)),
        "answers": (logits.softmax(-1), mistakes.answers(logits)),
        "top_scores": (p.topk(3).values, mistakes.top_scores(logits[0], 3)),
    }


NAMES = "embeddings probabilities mixes merges layers logits poolers steps loss_gradients clipped second_gradients"


@pytest.mark.parametrize("name", [*NAMES.split(), "answers", "top_scores"])
def test_known_mistakes_differ_from_the_right_result_and_from_each_other(golden, name):
    right, wrong = tables(golden)[name]
    for (first, x), (second, y) in itertools.combinations({"the right result": right, **wrong}.items(), 2):
        assert x.shape != y.shape or (x - y).abs().max() > 3 * TOLERANCE, f"{first} looks like {second}"


def test_every_known_mistake_is_planted(golden):
    known = {mistake for _, wrong in tables(golden).values() for mistake in wrong}
    known |= set(mistakes.wordpieces("film", VOCAB))
    known |= {mistake for wrong in mistakes.projections(*torch.zeros(3, 1)).values() for mistake in wrong}
    assert known <= {mistake for _, mistake in EACH}


def test_only_tests_import_the_course():
    folder = Path(course.__file__).parent
    others = [path for path in folder.parent.rglob("*.py") if path.parent != folder]
    pattern = re.compile(r"^\s*(from|import) minbert(\.| import )course\b", re.MULTILINE)
    assert not [path.name for path in others if pattern.search(path.read_text())]


# What a failure says


def test_a_difference_without_a_known_mistake_still_names_stage_and_size():
    message = r"^layer 0, output: the largest difference is 2\.50e-01; at most 1e-05 is allowed$"
    with pytest.raises(AssertionError, match=message):
        check("layer 0, output", torch.full((2, 3), 0.25), torch.zeros(2, 3), mistakes={"another": torch.ones(2, 3)})


def test_a_wrong_shape_is_reported_and_can_be_a_known_mistake():
    right, ours = torch.zeros(3, 9, 15), torch.zeros(3, 2, 15)
    message = r"^x: the shape is \[3, 2, 15\], but should be \[3, 9, 15\]\. Likely mistake: T is cut$"
    with pytest.raises(AssertionError, match=message):
        check("x", ours, right, mistakes={"T is cut": ours.clone()})


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_nan_and_infinity_never_pass(poison):
    with pytest.raises(AssertionError, match="NaN or Inf"):
        check("x", torch.tensor([0.0, poison]), torch.zeros(2))


def test_only_real_tokens_count():
    ours, right, real = torch.tensor([[1.0], [5.0]]), torch.ones(2, 1), torch.tensor([[True], [False]])
    check("x", ours, right, real)
    with pytest.raises(AssertionError, match=r"4\.00e\+00"):
        check("x", ours, right)


def test_within_the_tolerance_is_equal():
    check("x", torch.tensor([1e-6]), torch.zeros(1))
    check("x", torch.tensor([1.5e-5]), torch.zeros(1), tolerance=2e-5)
    with pytest.raises(AssertionError):
        check("x", torch.tensor([1.5e-5]), torch.zeros(1))


def test_several_mistakes_that_fit_are_all_named():
    with pytest.raises(AssertionError, match=r"Likely mistake: a; or c$"):
        check("x", torch.ones(2), torch.zeros(2), mistakes={"a": torch.ones(2), "b": torch.eye(2), "c": torch.ones(2)})


def test_lists_are_equal_or_not():
    check_equal("pieces", ["a"], ["a"])
    with pytest.raises(AssertionError, match=r"^pieces: the result is \['b'\], but should be \['a'\]$"):
        check_equal("pieces", ["b"], ["a"], {"another": ["c"]})
    with pytest.raises(AssertionError, match=r"Likely mistake: b for a$"):
        check_equal("pieces", ["b"], ["a"], {"another": ["c"], "b for a": ["b"]})
