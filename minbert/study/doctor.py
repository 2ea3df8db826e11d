"""What is wrong with the data of a study, before anything is trained: findings, each with a number and a remedy."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np

from minbert.metrics import wilson
from minbert.study import duplicates
from minbert.study.data import Dataset, as_one
from minbert.wording import counted

STOP, WARN, OK = "stop", "warn", "ok"
FEW_GROUPS, FEW_TEXTS, FEW_STEPS = 30, 30, 50
LONG_WORDS = 350  # more words than this are likely to be more than 512 tokens
MANY_TEXTS, PURE = 20, 0.99  # a word in so many texts, so often with one label, may be how the texts were collected
SHARE_OF_AUTHORS = 0.1
BROKEN = re.compile("Ã[\x80-\xbf¤¶¼Ÿ©¨]|â€|\ufffd")  # UTF-8 that was read as cp1252, and what could not be read


@dataclass(frozen=True)
class Finding:
    """How bad it is (STOP, WARN, OK), what was found, and what to do."""

    level: str
    text: str
    remedy: str = ""


def examine(data: Dataset, folds: int, batch_size: int, epochs: int, authors: dict | None = None) -> list[Finding]:
    """All findings on labelled texts that are to be divided into `folds`.

    authors  {column: values} of a column that names authors; data.authors counts whatever it is called
    """
    groups = duplicates.groups(data.texts, data.authors)
    parts = (
        contradictions(data),
        copies(data),
        by_author(data, authors or {}),
        classes(data, groups, folds),
        steps(data, folds, batch_size, epochs),
        telling_words(data),
        odd_texts(data),
    )
    return [finding for part in parts for finding in part]


def contradictions(data):
    """Copies with different labels: no system can have both right."""
    labels, rows = defaultdict(set), defaultdict(list)
    for id, text, label in zip(data.ids, data.texts, data.labels.tolist()):
        key = duplicates.exact(text)
        labels[key].add(label)
        rows[key].append(id)
    twice = [rows[key] for key in rows if len(labels[key]) > 1]
    if twice:
        where = ", ".join("/".join(ids[:3]) for ids in twice[:3])
        what = counted(len(twice), "text occurs", "texts occur")
        yield Finding(STOP, f"{what} with different labels: rows {where}", "decide which label holds")


def copies(data):
    sizes = duplicates.sizes(duplicates.groups(data.texts))
    if sizes:
        groups = counted(len(sizes), "group")
        yield Finding(WARN, f"{sizes.total():,} texts are copies or near copies, in {groups}", "each stays in one fold")


def by_author(data, found):
    """Texts of one author are alike. found: {column: values} of columns that may name authors"""
    columns = {"": data.authors} if data.authors else found
    for column, values in columns.items():
        counts = Counter(filter(None, values))
        most = counts.most_common(3)
        share = sum(count for _, count in most) / len(values)
        if counts and share >= SHARE_OF_AUTHORS and len(counts) < len(values):
            said = f"{len(most)} authors wrote {share:.0%} of the texts"
            remedy = (
                "their texts stay together" if not column else f"use --group_column {column}, or intervals are narrow"
            )
            yield Finding(WARN, said, remedy)
        if not column and len(counts) < FEW_GROUPS:
            yield Finding(WARN, f"there are {len(counts)} authors only", "intervals rest on few independent texts")


def classes(data, groups, folds):
    """Are there enough groups of each class for the folds, and how well will the rarest one be known?"""
    for name, label in zip(data.names, range(len(data.names))):
        there = len(np.unique(groups[data.labels == label]))
        if there < folds:
            what = f"class {name} has {counted(there, 'group')} of texts, fewer than {folds} folds"
            yield Finding(STOP, what, f"take {there} folds, or label more" if there > 1 else "label more")
    name, count = min(data.counts().items(), key=lambda item: item[1])
    rest = count // folds
    if rest:
        low, high = wilson((rest + 1) // 2, rest)
        level = WARN if rest < FEW_TEXTS else OK
        reach = f"its recall is known to about +-{100 * (high - low) / 2:.0f} points per fold"
        yield Finding(level, f"{folds} folds leave {rest} texts of {name} in each test part: {reach}")


def steps(data, folds, batch_size, epochs):
    """How long a flexible BERT trains."""
    count = -(-len(data) * (folds - 1) * 9 // (folds * 10) // batch_size) * epochs
    if count < FEW_STEPS:
        yield Finding(WARN, f"bert:flexible trains for {count} steps in a fold", "more --epochs, or bert:frozen")


def telling_words(data):
    """Words that stand in many texts of nearly one label: a search term or a mark of where the texts come from."""
    texts, by_label = Counter(), Counter()
    for text, label in zip(data.texts, data.labels.tolist()):
        for word in set(re.findall(r"[\w@#']+", as_one(text).lower())):
            texts[word] += 1
            by_label[word, label] += 1
    shares = np.bincount(data.labels) / len(data)
    telling = [
        (word, label)
        for (word, label), count in by_label.items()
        if texts[word] >= MANY_TEXTS and count >= PURE * texts[word] and shares[label] < 0.9
    ]
    for word, label in sorted(telling, key=lambda pair: (-texts[pair[0]], pair))[:3]:
        what = f"{word!r} is in {texts[word]} texts, {by_label[word, label]} of them {data.names[label]}"
        yield Finding(WARN, what, "if that is how they were collected, remove the word")


def odd_texts(data):
    texts = list(map(as_one, data.texts))
    long = sum(len(text.split()) > LONG_WORDS for text in texts)
    if long:
        yield Finding(WARN, f"{long} texts have more than {LONG_WORDS} words", "a BERT of 512 positions cuts them")
    broken = sum(bool(BROKEN.search(text)) for text in texts)
    if broken:
        yield Finding(WARN, f"{broken} texts hold characters such as 'Ã©' or '�'", "read the file with its --encoding")
