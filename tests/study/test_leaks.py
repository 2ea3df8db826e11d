"""Ways in which a test part leaks into what is trained: each is planted once, so that the check is seen to catch it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from minbert.errors import UserError
from minbert.study import bert, frozen, tables
from minbert.study.folds import make_folds
from minbert.study.scores import Score
from tests.study.conftest import tweets
from tests.study.making import KIT, accuracy, dataset, make_study, rows_of, systems

WORDS = ("nb+count", "svm+tfidf", "logreg+tfidf", "rf+count", "hgb+tfidf")


class Spy:
    """A system that notes every text it is shown, and learns the commonest class; of two settings."""

    random, space = True, {"size": [1, 2]}

    def __init__(self, shown, settings=None):
        self.shown, self.settings = shown, settings or {"size": 1}

    def with_settings(self, settings):
        return Spy(self.shown, settings)

    def fit(self, texts, labels, groups, seed):
        self.shown.append((list(texts), list(groups)))
        self.best = np.bincount(labels, minlength=2) / len(labels)
        return self

    def predict_proba(self, texts):
        return np.tile(self.best, (len(texts), 1))


class Cheat(Spy):
    """A system that knows the labels of all texts."""

    def __init__(self, known, settings=None):
        super().__init__([], settings)
        self.known = known

    def with_settings(self, settings):
        return Cheat(self.known, settings)

    def predict_proba(self, texts):
        return np.eye(2)[[self.known[text] for text in texts]]


def probabilities(study):
    """Those of the first test part."""
    return dict(study.run(study.units()[:1])).popitem()[1]["probabilities"]


@pytest.mark.fault("studies: a word, a setting or an epoch that a test part has decided")
@pytest.mark.parametrize("name", [*WORDS, "transductive"])
def test_a_word_that_only_test_texts_have_gains_nothing(tmp_path, name):
    """The label itself, written into each text of a test part, must not move a prediction there."""

    class Transductive(systems.Classic):
        def fit(self, texts, labels, groups, seed):  # the planted leak: it also reads what is to be predicted
            extra = [at for at, part in enumerate(study.folds.parts[0]) if part == 1]
            more = [study.data.texts[at] for at in extra]
            return super().fit([*texts, *more], [*labels, *study.data.labels[extra]], None, seed)

    data = dataset(tweets(60))
    system = Transductive(systems.LEARNERS["nb"], "count", KIT) if name == "transductive" else systems.make(name, KIT)
    study = make_study(tmp_path / "plain", data, {name: system})
    plain = probabilities(study)
    part = study.folds.parts[0]
    marked = [
        f"{text} the{label}label" if fold == 1 else text for text, label, fold in zip(data.texts, data.labels, part)
    ]
    study = replace(study, folder=tmp_path / "marked", data=replace(data, texts=marked))
    assert (probabilities(study) == plain) == (name != "transductive")


@pytest.mark.fault("studies: a word, a setting or an epoch that a test part has decided")
def test_fit_is_shown_texts_of_the_training_part_alone(tmp_path):
    shown = []
    study = make_study(tmp_path, dataset(tweets(60)), {"spy": Spy(shown)}, repeats=2, tries=2)
    for unit, (_, _, train, test) in zip(study.units(), study.folds.splits()):
        shown.clear()
        list(study.run([unit]))
        assert len(shown) == 7  # two settings on three inner folds, and once more
        outside = {study.data.texts[at] for at in test}
        assert all(not outside & set(texts) for texts, _ in shown)
        assert len(shown[-1][0]) == len(train)
        assert all(len(texts) < len(train) for texts, _ in shown[:-1])


@pytest.mark.fault("studies: copies of a text in a training part and its test part")
@pytest.mark.parametrize("grouped", [True, False])
def test_copies_with_random_labels_stay_at_chance(tmp_path, grouped):
    """Three copies of each text: whoever divides them has learnt what is tested."""
    rng = np.random.default_rng(1)
    rows = [(text, ("against", "support")[rng.integers(2)], "") for text, *_ in tweets(66, certain=0)]
    rows = [(change(text), label, "") for text, label, _ in rows for change in (str, str.upper, "RT @you: {}".format)]
    study = make_study(tmp_path, dataset(rows), ["logreg+tfidf"], grouped=grouped)
    groups = make_study(tmp_path, dataset(rows), []).folds.groups
    assert len(set(groups.tolist())) == 66
    reached = accuracy(rows_of(study))
    assert (reached < 0.65) == grouped


@pytest.mark.fault("studies: copies of a text in a training part and its test part")
def test_inner_folds_and_the_part_that_chooses_keep_groups_whole(tmp_path):
    shown = []
    rows = [row for row in tweets(40) for _ in range(2)]
    study = make_study(tmp_path, dataset(rows), {"spy": Spy(shown)}, tries=2)
    list(study.run(study.units()[:1]))
    everyone = shown[-1][1]
    for _, groups in shown[:-1]:
        assert {everyone.count(group) for group in groups} == {groups.count(group) for group in groups} == {2}


@pytest.fixture
def reader(encoder):
    data = dataset(tweets(40))
    return frozen.Reader(encoder, data.texts, data.names), data


def digest(model):
    return {name: weight.double().sum().item() for name, weight in model.bert.state_dict().items()}


@pytest.mark.fault("studies: a model that begins with what another fold has learnt")
@pytest.mark.parametrize("planted", [False, True])
def test_each_fold_and_seed_begins_with_the_checkpoint(reader, tmp_path, monkeypatch, planted):
    reader, data = reader
    begins, load, kept = [], frozen.Reader.load, []

    def watched(self, option):
        model = kept[0] if planted and kept else load(self, option)  # the planted leak: one model for all folds
        kept.append(model)
        begins.append(digest(model))
        return model

    checkpoint = digest(reader.load("flexible"))
    monkeypatch.setattr(frozen.Reader, "load", watched)
    system = bert.Bert(reader, "flexible", {"lr": [1e-2], "epochs": [1]}, batch_size=4)
    study = make_study(tmp_path, data, {"bert:flexible": system}, count=2, seeds=2)
    list(study.run(study.units()))
    assert len(begins) == 4
    assert all(begin == checkpoint for begin in begins) != planted


@pytest.mark.fault("studies: a word, a setting or an epoch that a test part has decided")
def test_the_best_epoch_is_chosen_on_a_part_of_the_training_part(reader, tmp_path, monkeypatch):
    reader, data = reader
    seen = []
    train = bert.Bert.train

    def watched(self, learnt, held, seed):
        seen.append((set(learnt[0]), set(held[0])))
        return train(self, learnt, held, seed)

    monkeypatch.setattr(bert.Bert, "train", watched)
    study = make_study(tmp_path, data, {"b": bert.Bert(reader, "frozen", {"lr": [1e-2], "epochs": [2]})}, count=2)
    list(study.run(study.units()))
    for (learnt, held), (_, _, inside, _) in zip(seen, study.folds.splits()):
        assert not learnt & held and learnt | held == {data.texts[at] for at in inside}
        assert 0 < len(held) <= 4


@pytest.mark.fault("studies: a checkpoint that was trained on the labels of a test part")
def test_a_checkpoint_that_learnt_the_labels_is_refused(encoder, tmp_path, write):
    data = dataset(tweets(20))
    folder = tmp_path / "trained"
    folder.mkdir()
    frozen.refuse_what_was_learnt(folder, data.texts)  # it says nothing of labels
    path = write([("Another text", "against", ""), (data.texts[3].upper(), "support", "")], "train.csv")
    run = {"data": {"train": {"path": str(path)}}, "arguments": {"text_column": "tweet", "label_column": "stance"}}
    (folder / "run.json").write_text(json.dumps(run))
    frozen.refuse_what_was_learnt(folder, data.texts[:3])
    with pytest.raises(UserError, match="was trained on 1 of these 20 texts, with their labels"):
        frozen.refuse_what_was_learnt(folder, data.texts)
    path.unlink()
    with pytest.raises(UserError, match="its training texts cannot be read"):
        frozen.refuse_what_was_learnt(folder, data.texts)


@pytest.mark.fault("studies: a word, a setting or an epoch that a test part has decided")
def test_settings_do_not_depend_on_the_labels_of_the_test_part(tmp_path):
    data = dataset(tweets(60))
    study = make_study(tmp_path / "one", data, ["svm+tfidf"], tries=4)
    part = study.folds.parts[0]
    other = replace(data, labels=np.where(part == 1, 1 - data.labels, data.labels))
    found = [study, replace(study, folder=tmp_path / "two", data=other)]
    made = [dict(each.run(each.units()[:1])).popitem()[1] for each in found]
    assert made[0]["settings"] == made[1]["settings"] and made[0]["probabilities"] == made[1]["probabilities"]
    tries = [sorted((each.folder / "units").glob("*-try*.json")) for each in found]
    scores = [[json.loads(path.read_text())["score"] for path in paths] for paths in tries]
    assert scores[0] == scores[1] and len(scores[0]) == 4


@pytest.mark.parametrize("planted", [False, True])
def test_random_labels_give_chance(tmp_path, planted):
    from minbert.commands.study_compare import chance

    data = dataset(tweets(90))
    np.random.default_rng(3).shuffle(data.labels)
    cheat = Cheat(dict(zip(data.texts, data.labels.tolist())))
    study = make_study(tmp_path, data, {"x": cheat if planted else systems.make("logreg+tfidf", KIT)}, count=5)
    (said,) = chance(tables.summarise(rows_of(study), Score(2)), 2)
    assert ("NOT at chance" in said) == planted


@pytest.mark.fault("studies: copies of a text in a training part and its test part")
def test_folds_that_divide_copies_are_refused(write, study, tmp_path):
    rows = [row for row in tweets(30) for _ in range(2)]
    data = dataset(rows)
    path = tmp_path / "folds.csv"
    from minbert.study.folds import write_folds

    write_folds(path, data.ids, make_folds(data.labels, np.arange(60), 3, 1, 1))
    words = ("--data", write(rows), "--folds_file", path, "--folds", 3, "--repeats", 1, "--systems", "nb+count")
    status, _, err = study(
        "compare", *words, "--out", tmp_path / "out", "--text_column", "tweet", "--label_column", "stance"
    )
    assert status == 2 and "groups of copies or of one author: make the folds anew" in err
