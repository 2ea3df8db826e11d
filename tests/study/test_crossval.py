"""Settings are chosen by their scores on the inner folds."""

import numpy as np

from tests.study.conftest import tweets
from tests.study.making import dataset, make_study


class Flipped:
    """Knows each label from its text, and is right in a share of the texts that its setting says."""

    random, space, most_settings = False, {"right": [0.5, 0.0, 1.0, 0.25]}, 4

    def __init__(self, gold, right=0.5):
        self.gold, self.settings = gold, {"right": right}

    def with_settings(self, settings):
        return Flipped(self.gold, **settings)

    def fit(self, texts, labels, groups, seed):
        return self

    def predict_proba(self, texts):
        wrong = np.arange(len(texts)) >= self.settings["right"] * len(texts)
        return np.eye(2)[np.array([self.gold[text] for text in texts]) ^ wrong]


def test_the_settings_with_the_best_score_are_taken(tmp_path):
    data = dataset(tweets(60))
    system = Flipped(dict(zip(data.texts, data.labels.tolist())))
    study = make_study(tmp_path, data, {"flipped": system}, tries=4)
    found = list(study.run(study.units()))
    assert len(found) == 3 and all(made["settings"] == {"right": 1.0} for _, made in found)
