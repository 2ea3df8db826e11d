"""The sizes of a model. Everything that code cannot know before it has read a checkpoint's config.json."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from minbert.errors import UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.jsonfile import quoted, read_json

# What a field may hold: (smallest, largest) for a number, the legal words for a name.
BOUNDS = {
    "vocab_size": (1, 10_000_000),
    "hidden_size": (1, 65_536),
    "num_hidden_layers": (1, 1_000),
    "num_attention_heads": (1, 4_096),
    "intermediate_size": (1, 1_000_000),
    "max_position_embeddings": (1, 1_000_000),
    "type_vocab_size": (1, 1_000),
    "num_labels": (1, 100_000),
    "hidden_dropout_prob": (0.0, 1.0),
    "attention_probs_dropout_prob": (0.0, 1.0),
    "classifier_dropout": (0.0, 1.0),
    "layer_norm_eps": (0.0, 1.0),
    "initializer_range": (0.0, 10.0),
    "hidden_act": ("gelu", "gelu_new", "relu"),
    "sinusoidal_positions": (False, True),
    "tie_word_embeddings": (True, False),
    "pooling": ("pooler", "cls", "mean"),
    "option": ("pretrain", "flexible"),
}
OPTION_ALIASES = {  # what other course kits call the two ways to train
    "freeze": "pretrain",
    "frozen": "pretrain",
    "last-linear-layer": "pretrain",
    "finetune": "flexible",
    "full-model": "flexible",
}
# Keys of config.json that would change the computation if they held anything but these.
SUPPORTED = {
    "model_type": ("bert", None),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}
REQUIRED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)


@dataclass(frozen=True)
class Config:
    """The sizes of a BERT, under the names of config.json; the defaults are bert-base-uncased.

    Raises UserError for a value of the wrong type or out of bounds, naming the field.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    layer_norm_eps: float = 1e-12
    initializer_range: float = 0.02
    sinusoidal_positions: bool = False  # True: the fixed positions of the Transformer paper, not learned ones
    tie_word_embeddings: bool = True  # the masked-LM head's decoder is the embeddings of the tokens
    # The classifier on top
    num_labels: int = 2
    classifier_dropout: float | None = None  # None: the same as hidden_dropout_prob
    pooling: str = "pooler"
    option: str = "flexible"
    labels: tuple[str, ...] = ()  # names of the classes in the order of their ids; () if nobody named them

    def __post_init__(self):
        if isinstance(self.option, str):
            object.__setattr__(self, "option", OPTION_ALIASES.get(self.option, self.option))
        object.__setattr__(self, "labels", tuple(map(str, self.labels or ())))
        for field in fields(self):
            check(field.name, getattr(self, field.name), field.type)
        if self.hidden_size % self.num_attention_heads:
            raise UserError(
                f"hidden_size {self.hidden_size} cannot be split into {self.num_attention_heads} attention heads"
            )
        if self.labels and len(set(self.labels)) != self.num_labels:
            raise UserError(f"num_labels is {self.num_labels}, but the labels are {', '.join(self.labels)}")

    @classmethod
    def of(cls, source):
        """A Config from a Config, a mapping or a namespace such as the course kits'.

        The kits' namespace names one dropout, hidden_dropout_prob, and means the one before the classifier: the
        encoder keeps its own. So does this, unless a namespace names classifier_dropout itself.
        """
        if isinstance(source, cls):
            return source
        values = dict(source) if isinstance(source, Mapping) else dict(vars(source))
        if not isinstance(source, Mapping) and "classifier_dropout" not in values:
            values["classifier_dropout"] = values.pop("hidden_dropout_prob", None)
        check_format("the model's config", values)
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})

    @classmethod
    def from_json(cls, path):
        """Read config.json as plain data: known keys, typed and bounded; what is unknown is ignored, never run."""
        path = Path(path)
        values = read_json(path)
        check_format(path, values)
        missing = [name for name in REQUIRED if name not in values]
        if missing:
            raise UserError(f"{path}: does not describe a BERT, it lacks {', '.join(missing)}")
        for key, legal in SUPPORTED.items():
            if values.get(key) not in legal:
                raise UserError(f"{path}: {key} is {quoted(values[key])}, but only {legal[0]!r} is supported")
        names = {field.name for field in fields(cls)}
        chosen = {name: value for name, value in values.items() if name in names}
        if labels := read_labels(path, values.get("id2label")):
            chosen["num_labels"] = len(labels)
        chosen["labels"] = () if labels == default_labels(len(labels)) else labels
        try:
            return cls(**chosen)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def to_json(self, path, architecture):
        """Write config.json so that Hugging Face reads the same model from it; architecture is its class name."""
        values = asdict(self) | {"model_type": "bert", "architectures": [architecture], KEY: FORMAT}
        labels = values.pop("labels")
        values["id2label"] = {str(id): name for id, name in enumerate(labels or default_labels(self.num_labels))}
        values["label2id"] = {name: int(id) for id, name in values["id2label"].items()}
        Path(path).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def change(self, **values):
        """The same sizes but for these."""
        return replace(self, **values)

    def encoder_size(self):
        """How many numbers the embeddings and the layers consist of, without pooler and heads."""
        wide, inner = self.hidden_size, self.intermediate_size
        embeddings = (self.vocab_size + self.max_position_embeddings + self.type_vocab_size + 2) * wide
        return embeddings + self.num_hidden_layers * (4 * wide * wide + 2 * wide * inner + 9 * wide + inner)


def check(name, value, type_):
    """Raise UserError unless value fits the field's type and BOUNDS."""
    bounds = BOUNDS.get(name)
    if bounds is None or (value is None and type_ == float | None):
        return
    if isinstance(bounds[0], (str, bool)):
        if not isinstance(value, type(bounds[0])) or value not in bounds:
            raise UserError(f"{name} is {quoted(value)}, but can be: {', '.join(map(str, bounds))}")
        return
    number = int if type_ is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, number) or not bounds[0] <= value <= bounds[1]:
        kind = "a whole number" if type_ is int else "a number"
        raise UserError(f"{name} is {quoted(value)}, but must be {kind} from {bounds[0]} to {bounds[1]}")


def default_labels(number):
    """The names Hugging Face gives to classes that have none."""
    return tuple(f"LABEL_{id}" for id in range(number))


def read_labels(path, id2label):
    """The names of config.json's id2label in the order of their ids; () if it holds none."""
    if not isinstance(id2label, dict) or not id2label:
        return ()
    if any(isinstance(label, (dict, list)) for label in id2label.values()):
        raise UserError(f"{path}: id2label must name each class by a word")
    labels = tuple(str(id2label.get(str(id))) for id in range(len(id2label)))
    if set(id2label) != {str(id) for id in range(len(id2label))} or len(set(labels)) != len(labels):
        raise UserError(f"{path}: id2label must name the classes 0 to {len(id2label) - 1}, each differently")
    return labels
