"""The simple systems that a run compares itself with."""

import json
import random

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from minbert.runs import baseline

NAMES = ("bad", "good")
PARTS = ("train", "dev", "test")


def reviews(rows, seed, classes=2, honest=0.8):
    """(texts, class ids): a word for the class, which is another class's now and then, among words that say nothing."""
    rng = random.Random(seed)
    gold = [rng.randrange(classes) for _ in range(rows)]
    words = [f"class{id if rng.random() < honest else rng.randrange(classes)}" for id in gold]
    return [" ".join([f"word{rng.randrange(300)}" for _ in range(6)] + [word]) for word in words], gold


def parts(*sizes, **options):
    """{part: texts}, {part: class ids}"""
    pairs = {part: reviews(rows, seed, **options) for seed, (part, rows) in enumerate(zip(PARTS, sizes))}
    return {part: texts for part, (texts, _) in pairs.items()}, {part: gold for part, (_, gold) in pairs.items()}


def test_the_commonest_class_of_train_is_the_answer_to_everything():
    gold = {"train": [2, 1, 1, 2, 0], "dev": [1, 0, 1, 1], "test": [2, 2]}
    found = baseline.commonest(gold, ("a", "b", "c"))
    assert found.settings == {"class": "b"}  # of equals, the first
    assert found.predicted == {"dev": [1, 1, 1, 1], "test": [1, 1]}
    assert (found.scores["dev"].accuracy, found.scores["test"].accuracy) == (0.75, 0.0)


def test_words_are_counted_and_c_is_chosen_on_dev_alone():
    texts, gold = parts(300, 100, 60)
    found = baseline.words(texts, gold, NAMES)
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(texts["train"])
    train, dev, test = (vectors.transform(texts[part]) for part in PARTS)
    accuracy, predicted = {}, {}
    for c in baseline.GRID:
        model = LogisticRegression(C=c, solver="liblinear").fit(train, gold["train"])
        accuracy[c], predicted[c] = model.score(dev, gold["dev"]), model.predict(test).tolist()
    assert len(set(accuracy.values())) > 1  # or else any C could pass
    c = found.settings["C"]
    assert accuracy[c] == max(accuracy.values()) == found.scores["dev"].accuracy > 0.7
    assert found.predicted["test"] == predicted[c]
    assert found.settings == {"C": c, "chosen_on_dev": True, "features": len(vectors.vocabulary_)}


def test_without_dev_c_is_fixed_and_said_not_to_be_chosen():
    texts, gold = parts(100, 50, 50)
    del texts["dev"], gold["dev"]
    found = baseline.words(texts, gold, NAMES)
    assert (found.settings["C"], found.settings["chosen_on_dev"]) == (baseline.WITHOUT_DEV, False)
    assert found.scores.keys() == {"test"}


@pytest.mark.parametrize("classes", [3, 7])
def test_more_than_two_classes_are_told_apart(classes):
    texts, gold = parts(400, 100, 100, classes=classes)
    found = baseline.words(texts, gold, [f"class {id}" for id in range(classes)])
    assert found.scores["test"].accuracy > 0.6


def test_a_class_that_train_lacks_is_never_the_answer():
    texts, gold = parts(100, 40, 40)
    gold["test"] = [2] * 40
    found = baseline.words(texts, gold, ("a", "b", "c"))
    assert found.scores["test"].accuracy == 0 and found.scores["dev"].accuracy > 0.6


def test_texts_that_would_take_long_are_skipped_with_their_size(monkeypatch):
    texts, gold = parts(40, 20, 20)
    size = sum(len(text) for part in texts.values() for text in part)
    monkeypatch.setattr(baseline, "LARGEST", 2 * size)
    assert not baseline.words(texts, gold, NAMES).skipped
    monkeypatch.setattr(baseline, "LARGEST", 2 * size - 2)
    found = baseline.words(texts, gold, NAMES)
    assert f"{size:,} characters; for 2 classes it is computed up to {size - 1:,}" in found.skipped
    assert found.scores == {}


def test_one_class_or_no_words_are_skipped_with_the_reason():
    texts, gold = parts(20, 10, 10)
    assert "one class only" in baseline.words(texts, gold | {"train": [1] * 20}, NAMES).skipped
    assert "no words" in baseline.words(texts | {"train": ["! ?"] * 20}, gold, NAMES).skipped


def rivals(*accuracies):
    """Baselines that are right in so many of ten rows, whose class is 0."""
    return {
        str(right): baseline.Baseline(f"the {right}", f"the {right}").score(
            {"test": [0] * 10}, {"test": [0] * right + [1] * (10 - right)}, NAMES
        )
        for right in accuracies
    }


@pytest.mark.parametrize(("right", "difference", "word"), [(10, 0.5, "better"), (6, 0.1, ""), (0, -0.5, "worse")])
def test_the_verdict_is_about_the_better_one_and_needs_an_interval_without_0(right, difference, word):
    verdict = baseline.judge("test", [0] * 10, [0] * right + [1] * (10 - right), rivals(2, 5, 3))
    assert verdict.than == "the 5"
    assert verdict.difference == pytest.approx(difference)
    assert verdict.word == word
    low, high = verdict.interval
    assert low <= verdict.difference <= high
    assert (low <= 0 <= high) == (word == "")


def test_a_skipped_baseline_is_no_rival_and_is_in_the_record():
    found = rivals(4) | {"words": baseline.Baseline("words", "words", skipped="too large")}
    verdict = baseline.judge("test", [0] * 10, [0] * 10, found)
    assert verdict.than == "the 4"
    record = json.loads(json.dumps(baseline.record(found, verdict)))
    assert record["words"] == {"name": "words", "skipped": "too large", "scores": {}}
    assert record["4"]["scores"]["test"]["accuracy"] == pytest.approx(0.4)
    assert record["difference"]["difference"] == pytest.approx(np.float64(0.6))
