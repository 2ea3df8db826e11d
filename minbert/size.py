"""How many parameters a model has, and where, by formulas that are shown as they are computed.

    sizes = Sizes("bert", L=12, D=768, H=12, F=3072, V=30522, P=512, S=2)
    total(parameters(sizes, "classifier"))      # 109483778

A formula is a Python expression in the letters of LETTERS. The same string is printed and evaluated, so that what is
read is what was computed. Nothing here needs torch. Memory, FLOPs and hours are in cost.py, and the sizes of published
models in published.py.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from minbert.errors import UserError

LETTERS = {
    **{"L": "layers", "A": "attentions in them", "D": "numbers for a token", "H": "heads of an attention"},
    **{"F": "width of the feed-forward layer", "V": "vocabulary", "E": "numbers for a token in the embeddings"},
    **{"P": "rows in the table of positions", "S": "segments", "C": "classes", "N": "parameters"},
    **{"B": "texts side by side", "T": "tokens of a text", "w": "bytes of a number"},
    "g": "FLOPs of a token in the forward pass",
    **{"f": "FLOPs to train on a token", "n": "tokens to train on", "G": "devices", "p": "peak FLOPs a second of one"},
    **{"u": "utilisation: the part of the peak that is reached", "m": "bytes of memory of a device"},
}
FUNCTIONS = {"max": max, "ceil": math.ceil}


class Line(NamedTuple):
    """One term of a sum: its title, its formula, and the same in words."""

    title: str
    formula: str
    words: str


class Row(NamedTuple):
    """A line and its value."""

    title: str
    formula: str
    words: str
    value: float


@dataclass(frozen=True)
class Sizes:
    """What the formulas read of a model. Raises UserError for a family that is not in BODIES.

    family  as model_type in config.json
    A       None: one for each layer. In a translator's decoder each layer has a second one, which looks at the source
    E       None: the same as D
    tied    whether the head of words decodes with the token embeddings
    """

    family: str
    L: int
    D: int
    H: int
    F: int
    V: int
    P: int
    S: int = 0
    E: int | None = None
    A: int | None = None
    tied: bool = True
    C: int = 2
    most: int | None = None  # tokens of the longest text; None: P

    def __post_init__(self):
        if self.family not in BODIES:
            raise UserError(f"the size of a model of the family {self.family} is not computed; {', '.join(BODIES)} are")

    @property
    def letters(self) -> dict:
        values = asdict(self) | {"A": self.A or self.L, "E": self.E or self.D}
        return {letter: values[letter] for letter in "LADHFVEPSC"}

    @property
    def writes(self) -> bool:
        """Whether it is a decoder, or has one."""
        return self.family in ("openai-gpt", "gpt2", "marian")


def of(config) -> Sizes:
    """The Sizes of a Config of any family. Raises UserError if there are no formulas for it."""
    family = getattr(config, "model_type", None) or next(iter(config.form.classes))
    family = "roberta" if "roberta" in config.form.classes else family
    layers, heads, labels = config.num_hidden_layers, config.num_attention_heads, config.num_labels
    rest = {"S": config.type_vocab_size, "E": config.embedding_size, "tied": config.tie_word_embeddings, "C": labels}
    rest |= {"V": config.vocab_size, "P": config.max_position_embeddings, "most": config.most_tokens}
    if decoder := getattr(config, "decoder_layers", 0):
        if config.decoder_ffn_dim != config.intermediate_size:
            raise UserError("the two stacks have feed-forward layers of different sizes: there is no formula for it")
        layers, rest["A"] = layers + decoder, layers + 2 * decoder  # a decoder's layer looks back, and at the source
    return Sizes(family, L=layers, D=config.hidden_size, H=heads, F=config.intermediate_size, **rest)


# Parameters: a matrix has rows * columns of them, a bias one for each row; a norm has a weight and a bias.
TOKENS = Line("token embeddings", "V*E", "for each token of the vocabulary a vector")
POSITIONS = Line("positions", "P*E", "for each position a vector")
SEGMENTS = Line("segments", "S*E", "for each segment a vector")
NORM = Line("norm of embeddings", "2*E", "a weight and a bias for each number")
WIDEN = Line("to the layers' width", "E*D + D", "a matrix from the embeddings to the layers, and its bias")
LAYERS = (
    Line("attention", "A*4*(D*D + D)", "query, key, value and output: a matrix and its bias each"),
    Line("feed-forward", "L*(2*D*F + D + F)", "a matrix that widens, one that narrows, and their biases"),
    Line("norms of layers", "(A + L)*2*D", "after or before each attention and feed-forward layer"),
)
LAST_NORM = Line("last norm", "2*D", "after the last layer")
POOLER = Line("pooler", "D*D + D", "a matrix and its bias, for the first token")
BODIES = {
    "bert": (TOKENS, POSITIONS, SEGMENTS, NORM, *LAYERS, POOLER),
    "roberta": (TOKENS, POSITIONS, SEGMENTS, NORM, *LAYERS),
    "distilbert": (TOKENS, POSITIONS, NORM, *LAYERS),
    "electra": (TOKENS, POSITIONS, SEGMENTS, NORM, WIDEN, *LAYERS),
    "openai-gpt": (TOKENS, POSITIONS, *LAYERS),
    "gpt2": (TOKENS, POSITIONS, *LAYERS, LAST_NORM),
    "marian": (TOKENS, *LAYERS),  # both stacks share one table of tokens, and positions are computed
}
CLASSES = Line("classifier", "D*C + C", "a matrix from a text's vector to the classes, and its bias")
DENSE = Line("classifier, layer 1", "D*D + D", "one more layer before the classes")
WORDS = Line("head of words", "D*E + E + 2*E + V", "one more layer, a norm, a bias for each token of the vocabulary")
READOUT = Line("readout", "V*E", "one more vector for each token: not the embeddings'")
HEADS = {  # of a family: {head: its lines}; what is tied to the embeddings costs nothing
    "bert": {"none": (), "classifier": (CLASSES,), "words": (WORDS,)},
    "roberta": {"none": (POOLER,), "classifier": (DENSE, CLASSES), "words": (WORDS,)},
    "distilbert": {"none": (), "classifier": (DENSE, CLASSES), "words": (WORDS,)},
    "electra": {"none": (), "classifier": (DENSE, CLASSES), "words": (WORDS,)},
    "openai-gpt": {"words": (), "none": ()},
    "gpt2": {"words": (), "none": (), "classifier": (CLASSES._replace(formula="D*C", words="a matrix, without bias"),)},
    "marian": {"words": (), "none": ()},
}


def lines_of(sizes: Sizes, head: str) -> Iterable[Line]:
    """The lines of a model's parameters. Raises UserError for a head that there is not in its family."""
    heads = HEADS[sizes.family]
    if head not in heads:
        raise UserError(f"there is no head {head} for a model of the family {sizes.family}, but: {', '.join(heads)}")
    body = BODIES[sizes.family]
    untied = (READOUT,) if head == "words" and not sizes.tied else ()
    same = sizes.letters["E"] == sizes.D
    return [line for line in (*body, *heads[head], *untied) if not (line is WIDEN and same)]


def value(formula: str, letters: Mapping) -> float:
    """A formula's value. Only the formulas of this file come here, never a user's words."""
    return eval(formula, {"__builtins__": {}, **FUNCTIONS}, dict(letters))


def computed(lines: Iterable[Line], letters: Mapping) -> list[Row]:
    return [Row(*line, value(line.formula, letters)) for line in lines]


def total(rows: Iterable[Row]) -> float:
    return sum(row.value for row in rows)


def parameters(sizes: Sizes, head: str) -> list[Row]:
    """Where the parameters are. head: none, classifier or words"""
    return computed(lines_of(sizes, head), sizes.letters)
