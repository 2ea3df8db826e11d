"""The texts of the bench, kind by kind, each a file of JSON lines: text, label, and ids of all-MiniLM-L6-v2."""

import json
import random
import warnings
from pathlib import Path

from minbert import BertSentClassifier, BertTokenizer, fast
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet

ROOT = Path(__file__).parent.parent
LENGTH = 512  # tokens of a text, at most
NUMBER = {"SST": None, "tweets": 800, "long reviews": 60, "words": 1000, "Chinese": 200}
TWEETS_TO_TOKENIZE = 8000
MOST = None  # of each kind, in a trial
# How the Thousand Character Classic begins (Zhou Xingsi, 6th century).
CLASSIC = (
    "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁律吕调阳云腾致雨露结为霜"
    "金生丽水玉出昆冈剑号巨阙珠称夜光果珍李柰菜重芥姜海咸河淡鳞潜羽翔龙师火帝鸟官人皇"
    "始制文字乃服衣裳推位让国有虞陶唐吊民伐罪周发殷汤坐朝问道垂拱平章"
)
PHRASES = [CLASSIC[at : at + 4] for at in range(0, len(CLASSIC), 4)]


def find_data(folder):
    """{sst-train: path, ..., tweets: [path, ...]}; the shipped reviews where the folder lacks them."""
    parts = {}
    for name in ("sst", "cfimdb"):
        for part in ("train", "dev"):
            path = Path(folder, name, f"{name}-{part}.txt")
            parts[f"{name}-{part}"] = str(path if path.exists() else ROOT / "data" / "reviews" / f"{part}.csv")
    tweets = [path for path in sorted(Path(folder, "tweeteval").glob("*/train_text.txt")) if path.is_file()]
    return parts | {"tweets": list(map(str, tweets)) or [parts["sst-dev"]]}


def kinds(data):
    """{kind: texts} for prediction. data: as `find_data` gives it"""
    sst = read_examples(data["sst-dev"]).texts
    found = {
        "SST": sst,
        "tweets": tweets(data),
        "long reviews": read_examples(data["cfimdb-dev"]).texts,
        "words": list(dict.fromkeys(word for text in sst for word in text.split())),
        "Chinese": chinese(NUMBER["Chinese"]),
    }
    return {kind: texts[: NUMBER[kind]][:MOST] for kind, texts in found.items()}


def to_tokenize(data):
    """{kind: texts}, more of them, for tokenizers."""
    reviews = [text for name in ("sst-train", "cfimdb-train") for text in read_examples(data[name]).texts]
    found = {"reviews": reviews, "tweets": tweets(data)[:TWEETS_TO_TOKENIZE], "Chinese": chinese(4000)}
    return {kind: texts[:MOST] for kind, texts in found.items()}


def tweets(data):
    """Of all tasks, mixed."""
    texts = [text for path in data["tweets"] for text in read_examples(path).texts]
    random.Random(0).shuffle(texts)
    return texts


def chinese(number):
    """Sentences of 1 to 12 phrases drawn from PHRASES."""
    draw = random.Random(0)
    return ["，".join(draw.choices(PHRASES, k=draw.randint(1, 12))) + "。" for _ in range(number)]


def write(path, texts, labels=None, tokenizer="all-MiniLM-L6-v2"):
    """A file for all systems. labels: of each text; None: 0"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # texts that are cut
        ids = fast.swap_in(BertTokenizer.from_pretrained(tokenizer))(texts, truncation=True, max_length=LENGTH)
    rows = zip(texts, labels or [0] * len(texts), ids["input_ids"], strict=True)
    lines = [json.dumps(dict(zip(("text", "label", "ids"), row)), ensure_ascii=False) for row in rows]
    Path(path).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return str(path)


def numbered(path, limit=None):
    """The texts of a file that training reads, and the number of each one's class."""
    examples = read_examples(path)
    labels = LabelSet.collect(examples).ids(examples)
    return examples.texts[:limit][:MOST], labels[:limit][:MOST]


def small_classifier(folder):
    """Write tiny with a new classifier, for what is measured apart from the model."""
    BertSentClassifier.from_pretrained("tiny", num_labels=2).save_pretrained(folder)
    BertTokenizer.from_pretrained("tiny").save_pretrained(folder)
