"""Features of texts, and a learner of scikit-learn's kind: the classic systems of the ladder.

count, tfidf   words and runs of words, counted; weighed by how rare they are in the training texts
vectors        the mean of the words' vectors
"""

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from minbert.errors import UserError
from minbert.study.data import as_one

WORDS = {"ngrams": [1, 2], "min_df": [1, 2]}  # of count and tfidf: the longest run of words; texts a word must be in
C = [1.0, 0.01, 0.03, 0.1, 0.3, 3.0, 10.0, 30.0]


@dataclass(frozen=True)
class Learner:
    """A classifier of scikit-learn's kind: how it is made from its settings, and which settings there are."""

    make: object  # (kit, seed, settings) -> estimator
    space: dict
    random: bool = False
    linear: bool = False  # needs vectors of one scale
    dense: bool = False  # cannot read counts as they are
    tune_words: bool = True


def naive_bayes(kit, seed, alpha):
    return MultinomialNB(alpha=alpha)


def svm(kit, seed, C, balanced):
    return LinearSVC(C=C, class_weight="balanced" if balanced else None, dual=True, max_iter=5000, random_state=seed)


def logistic(kit, seed, C, balanced):
    return LogisticRegression(C=C, class_weight="balanced" if balanced else None, max_iter=1000)


def forest(kit, seed, max_features, min_samples_leaf):
    options = {"max_features": max_features, "min_samples_leaf": min_samples_leaf}
    return RandomForestClassifier(kit.trees, random_state=seed % 2**31, n_jobs=1, **options)


def xgboost_package():
    """xgboost. Raises UserError where it is not installed."""
    try:
        import xgboost
    except ImportError:
        raise UserError("xgb+... needs a package: pip install xgboost; hgb+... needs none") from None
    return xgboost


def xgboost(kit, seed, **settings):
    return xgboost_package().XGBClassifier(random_state=seed % 2**31, n_jobs=1, tree_method="hist", **settings)


def histogram(kit, seed, **settings):
    return HistGradientBoostingClassifier(random_state=seed % 2**31, early_stopping=False, **settings)


LEARNERS = {
    "nb": Learner(naive_bayes, {"alpha": [1.0, 0.01, 0.03, 0.1, 0.3, 3.0]}),
    "svm": Learner(svm, {"C": C, "balanced": [False, True]}, linear=True),
    "logreg": Learner(logistic, {"C": C, "balanced": [False, True]}, linear=True),
    "rf": Learner(
        forest, {"max_features": ["sqrt", 0.05], "min_samples_leaf": [1, 3, 9]}, random=True, tune_words=False
    ),
    "xgb": Learner(
        xgboost,
        {"max_depth": [6, 3], "learning_rate": [0.3, 0.1], "n_estimators": [100, 300], "subsample": [1.0, 0.7]},
        random=True,
        tune_words=False,
    ),
    "hgb": Learner(
        histogram,
        {"max_leaf_nodes": [31, 8], "learning_rate": [0.1, 0.05], "max_iter": [100, 300]},
        random=True,
        dense=True,
        tune_words=False,
    ),
}
VECTORISERS = {"count": CountVectorizer, "tfidf": TfidfVectorizer}
FEATURES = (*VECTORISERS, "vectors")


@dataclass
class Classic:
    """Features of the texts, and a learner. Everything is fitted on the training part, vocabulary and idf too."""

    learner: Learner
    features: str  # one of FEATURES
    kit: object  # systems.Kit
    settings: dict = field(default_factory=dict)

    def __post_init__(self):
        words = self.features in VECTORISERS
        self.space = self.learner.space | (WORDS if words and self.learner.tune_words else {})
        self.random = self.learner.random or (words and self.learner.dense)
        self.settings = {name: values[0] for name, values in self.space.items()} | self.settings

    def with_settings(self, settings):
        return replace(self, settings=settings)

    def prepare(self, texts):
        """Have the vectors made, once, before the folds are shared out."""
        if self.features == "vectors":
            self.kit.vectors(texts[:1])

    def fit(self, texts, labels, groups, seed):
        own = dict(self.settings)
        ngrams, min_df = own.pop("ngrams", 1), own.pop("min_df", 1)
        self.present, labels = np.unique(labels, return_inverse=True)  # a small part may lack a class
        if self.features == "vectors":
            steps = [FunctionTransformer(self.kit.vectors)] + [StandardScaler()] * self.learner.linear
        else:
            steps = [FunctionTransformer(joined), VECTORISERS[self.features](ngram_range=(1, ngrams), min_df=min_df)]
            steps += [dense(seed)] * self.learner.dense
        self.model = make_pipeline(*steps, self.learner.make(self.kit, seed, **own))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the test parts say whether it is good enough
            try:
                self.model.fit(texts, labels)
            except ValueError as error:
                if "vocabulary" in str(error) or "no terms remain" in str(error).lower():
                    raise UserError("the training texts have no words of two letters or more") from None
                raise
        return self

    def predict_proba(self, texts):
        """[N, C]; of a support vector machine, the softmax of its margins, which is not calibrated."""
        if hasattr(self.model, "predict_proba"):
            found = self.model.predict_proba(texts)
        else:
            margins = self.model.decision_function(texts)
            margins = np.stack([-margins / 2, margins / 2], axis=1) if margins.ndim == 1 else margins
            found = np.exp(margins - margins.max(axis=1, keepdims=True))
            found /= found.sum(axis=1, keepdims=True)
        probabilities = np.zeros((len(texts), self.kit.classes))
        probabilities[:, self.present] = found
        return probabilities


def joined(texts):
    return list(map(as_one, texts))


def dense(seed):
    from sklearn.decomposition import TruncatedSVD

    return Components(TruncatedSVD, seed)


class Components(FunctionTransformer):
    """The first 200 singular vectors of counts, or as many as the words and texts of a training part allow."""

    def __init__(self, kind, seed):
        super().__init__()
        self.kind, self.seed = kind, seed

    def fit(self, x, y=None):
        self.svd = self.kind(max(1, min(200, min(x.shape) - 1)), random_state=self.seed % 2**31).fit(x)
        return self

    def transform(self, x):
        return self.svd.transform(x)

    def fit_transform(self, x, y=None):
        return self.fit(x).transform(x)
