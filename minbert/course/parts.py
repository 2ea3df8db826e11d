"""The parts of the course: which functions a student writes, in which files, and what each part is worth."""

from collections import Counter
from dataclasses import dataclass

from minbert.course.probes import Probe, probes


@dataclass(frozen=True)
class Part:
    """One part. It is judged with its own files of the student's and the handout's files for all others.

    number   1 to 8, or "whole": all files of a student together
    blank    {file of minbert/: the functions that the student writes, as "attend" or "BertModel.pool"}
    points   of all parts: 100
    seconds  of CPU that it may take
    """

    number: int | str
    title: str
    blank: dict[str, tuple[str, ...]]
    points: int
    seconds: int = 20

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(self.blank)

    @property
    def file(self) -> str:
        """The file in which most of it is."""
        return self.files[0]

    @property
    def names(self) -> list[tuple[str, str, str]]:
        """(file, function, its name in adapter.py) of each function; the whole has those of all parts.

        A method's name has _ in place of the dot. If two files have a function, its file stands in front.
        """
        every = [(file, full) for part in PARTS for file, names in part.blank.items() for full in names]
        count = Counter(full for _, full in every)
        mine = [(file, full) for file, names in self.blank.items() for full in names] or every
        return [
            (file, full, f"{file.removesuffix('.py')}_" * (count[full] > 1) + full.replace(".", "_"))
            for file, full in mine
        ]

    @property
    def probes(self) -> tuple[Probe, ...]:
        return probes(self.number)


PARTS = (
    Part(
        1,
        "words, pieces, ids",
        {"tokenizer.py": ("set_apart", "BertTokenizer.wordpiece"), "encoding.py": ("join", "shorten")},
        points=15,
    ),
    Part(2, "embeddings", {"embeddings.py": ("Embeddings.forward", "sinusoids")}, points=10),
    Part(
        3,
        "masks and attention",
        {
            "attention.py": (
                *("padding_mask", "causal_mask", "attention_scores", "attend"),
                *("MultiHeadAttention.split", "MultiHeadAttention.merge"),
            )
        },
        points=15,
    ),
    Part(4, "the encoder layer", {"encoder.py": ("gelu", "FeedForward.forward", "EncoderLayer.forward")}, points=10),
    Part(
        5,
        "the classifier, frozen and not",
        {
            "heads.py": ("BertSentClassifier.forward", "BertSentClassifier.pool", "BertSentClassifier.train"),
            "bert.py": ("BertModel.pool",),
        },
        points=10,
    ),
    Part(6, "AdamW and the learning rate", {"optimizer.py": ("update", "parameter_groups", "linear")}, points=15),
    Part(
        7,
        "one step of training, and the answer",
        {
            "training.py": ("batch_loss", "update", "class_weights"),
            "optimizer.py": ("clip",),
            "heads.py": ("BertSentClassifier.predict_proba",),
        },
        points=10,
    ),
    Part(
        8,
        "fill-mask",
        {
            "probing.py": ("top_tokens", "fill_position"),
            "heads.py": ("MaskedLMHead.forward", "BertForMaskedLM.predict"),
        },
        points=10,
    ),
)
WHOLE = Part(
    "whole",
    "all files together",
    dict.fromkeys(dict.fromkeys(name for part in PARTS for name in part.files), ()),
    points=5,
    seconds=40,
)


def part(number: int | str) -> Part:
    return next(part for part in (*PARTS, WHOLE) if part.number == number)
