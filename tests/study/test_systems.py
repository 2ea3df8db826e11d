"""The ladder's systems: names, settings, word lists and their cut-points, vectors."""

import numpy as np
import pytest

from minbert.errors import UserError
from minbert.study import frozen, lexicon, systems
from tests.study.conftest import tweets
from tests.study.making import KIT, dataset

DATA = dataset(tweets(60, certain=1))


@pytest.mark.parametrize(
    "name", ["nb+count", "nb+tfidf", "svm+count", "svm+tfidf", "logreg+tfidf", "rf+count", "hgb+tfidf"]
)
def test_a_classic_system_learns_what_a_word_says(name):
    system = systems.make(name, KIT).fit(DATA.texts, DATA.labels, None, 1)
    found = system.predict_proba(["court was terrible", "court was great"])
    assert found.shape == (2, 2) and np.allclose(found.sum(axis=1), 1)
    told = system.predict_proba(DATA.texts).argmax(axis=1)
    assert (told == DATA.labels).mean() > 0.85


def test_xgboost_learns_too():
    pytest.importorskip("xgboost", reason="xgb+... needs xgboost")
    system = systems.make("xgb+count", KIT).fit(DATA.texts, DATA.labels, None, 1)
    assert (system.predict_proba(DATA.texts).argmax(axis=1) == DATA.labels).mean() > 0.8


def test_a_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "xgboost", None)
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    with pytest.raises(UserError, match="pip install xgboost"):
        systems.make("xgb+count", KIT).fit(DATA.texts, DATA.labels, None, 1)
    with pytest.raises(UserError, match="pip install vaderSentiment"):
        systems.make("vader", KIT)


@pytest.mark.parametrize("name", ["svm", "svm+words", "nb+vectors", "bert:half", "words:", "SVM+tfidf"])
def test_other_names_are_refused(name):
    with pytest.raises(UserError, match=f"there is no system {name}".replace("+", r"\+")):
        systems.make(name, KIT)


def test_a_class_that_a_small_part_lacks_has_no_probability():
    kit = systems.Kit(classes=3)
    found = systems.make("nb+count", kit).fit(["good court", "bad law"], [0, 2], None, 1).predict_proba(["bad law"])
    assert found[0, 1] == 0 and found[0, 2] > 0.5


def test_the_seed_decides_where_numbers_are_drawn():
    system = systems.make("rf+count", KIT)
    found = [
        system.with_settings({}).fit(DATA.texts, DATA.labels, None, seed).predict_proba(DATA.texts)
        for seed in (1, 1, 2)
    ]
    assert (found[0] == found[1]).all() and (found[0] != found[2]).any()
    assert system.random and not systems.make("nb+count", KIT).random


def test_texts_without_words_are_refused():
    with pytest.raises(UserError, match="no words of two letters or more"):
        systems.make("nb+count", KIT).fit(["a", "b"], [0, 1], None, 1)


def test_settings_to_try_begin_with_the_defaults_and_are_no_more_than_there_are():
    system = systems.make("svm+tfidf", KIT)
    found = systems.choices(system, 7, 1)
    assert found[0] == systems.defaults(system) == {"C": 1.0, "balanced": False, "ngrams": 1, "min_df": 1}
    assert len(found) == 7 == len({tuple(each.values()) for each in found})
    assert len(systems.choices(systems.make("rf+count", KIT), 20, 1)) == 6
    assert len(systems.choices(system, 0, 1)) == len(systems.choices(system, 1, 1)) == 1


def scores(text):
    return float(text)


def test_cut_points_are_where_a_training_part_divides():
    texts = [str(value) for value in np.linspace(-1, 1, 41)]
    labels = [0 if float(text) < -0.3 else 2 if float(text) > 0.5 else 1 for text in texts]
    found = lexicon.Lexicon(scores, 3).fit(texts, labels, None, 1)
    assert (found.predict_proba(texts).argmax(axis=1) == labels).mean() > 0.9
    assert found.settings["cuts"] == pytest.approx([-0.35, 0.55], abs=0.1)


def test_given_cut_points_stay_and_a_bin_has_the_class_that_is_over_represented_there():
    texts, labels = ["-1", "-1", "0", "0", "1", "1", "1"], [0, 0, 1, 0, 1, 1, 0]
    found = lexicon.Lexicon(scores, 2, (-0.05, 0.05)).fit(texts, labels, None, 1)
    assert found.settings["cuts"] == [-0.05, 0.05]
    assert found.predict_proba(["-1", "0", "1", "0.05"]).argmax(axis=1).tolist() == [0, 1, 1, 1]


def test_a_word_list_is_a_mean_of_its_words(tmp_path):
    (tmp_path / "words.tsv").write_text("# moral words\ngood\t1\nBad\t-2\n")
    score = lexicon.word_list(str(tmp_path / "words.tsv"))
    assert [score(text) for text in ("Good, good and BAD", "nothing")] == [0.0, 0.0]
    assert score("bad") == -2.0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("good\tone\n", ":1: must be a word, a tab"),
        ("good 1\n", ":1: must be"),
        ("# x\n", "no words"),
        ("a\tnan\n", "finite"),
    ],
)
def test_another_word_list_is_refused(tmp_path, text, reason):
    (tmp_path / "words.tsv").write_text(text)
    with pytest.raises(UserError, match=reason):
        lexicon.word_list(str(tmp_path / "words.tsv"))


def test_vader_tells_praise():
    pytest.importorskip("vaderSentiment", reason="needs vaderSentiment")
    score = lexicon.vader()
    assert score("I love it, great!") > 0.5 > -0.5 > score("Terrible, I hate it")


def test_word_vectors_of_a_file_and_of_a_model(tmp_path, encoder):
    (tmp_path / "glove.txt").write_text("good 1 0\nbad 0 1\n")
    mean = frozen.glove(str(tmp_path / "glove.txt"))
    assert mean(["Good bad", "other"]).tolist() == [[0.5, 0.5], [0.0, 0.0]]
    (tmp_path / "glove.txt").write_text("good 1 0\nbad 0\n")
    with pytest.raises(UserError, match="line 2 has 1 numbers, not 2"):
        frozen.glove(str(tmp_path / "glove.txt"))
    reader = frozen.Reader(encoder, ["good", "good bad"], ("a", "b"))
    table = reader.load("pretrain").bert.embeddings.token.weight.detach()
    ids = [reader.tokenizer.vocab[word] for word in ("good", "bad")]
    assert np.allclose(reader.mean_embeddings(["good bad"])[0], table[ids].mean(dim=0).numpy())


def test_features_are_read_once_and_kept(encoder, tmp_path, monkeypatch):
    texts = DATA.texts[:6]
    found = frozen.Reader(encoder, texts, ("a", "b"), cache=tmp_path).all_features()
    monkeypatch.setattr(frozen.classifier, "features", None)
    again = frozen.Reader(encoder, texts, ("a", "b"), cache=tmp_path)
    assert (again.all_features() == found).all()
    with pytest.raises(TypeError):
        frozen.Reader(encoder, texts[:5], ("a", "b"), cache=tmp_path).all_features()


def test_pairs_are_read_as_pairs(encoder):
    texts = [("good court", "senate"), ("good court", "union")]
    reader = frozen.Reader(encoder, texts, ("a", "b"))
    ids = reader.data(texts).encoding
    assert ids["input_ids"][0] != ids["input_ids"][1] and 1 in ids["token_type_ids"][0]


def test_the_score_of_a_word_list_is_a_mean(tmp_path):
    """A long text that says good twice is no better than a short one."""
    path = tmp_path / "list.tsv"
    path.write_text("good\t1\nbad\t-2\n")
    score = lexicon.word_list(str(path))
    assert [score(text) for text in ("good", "Good, good film", "good but bad", "film")] == [1, 1, -0.5, 0]
