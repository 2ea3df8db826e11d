"""The sizes of a model: all that the code cannot know before it has read a checkpoint's config.json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from minbert.config_json import read_config, write_config
from minbert.errors import UserError
from minbert.format import check_format
from minbert.jsonfile import quoted

# What a field may hold: (smallest, largest) of a number, or the legal words.
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
    **dict.fromkeys(("freeze", "frozen", "last-linear-layer"), "pretrain"),
    **dict.fromkeys(("finetune", "full-model"), "flexible"),
}


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
            heads = f"{self.num_attention_heads} attention heads"
            raise UserError(f"hidden_size {self.hidden_size} cannot be split into {heads}")
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
        """Read a checkpoint's config.json. Raises UserError, naming the file, for what is missing or unsupported."""
        values = read_config(Path(path), {field.name for field in fields(cls)})
        try:
            return cls(**values)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def to_json(self, path, architecture):
        """Write config.json so that Hugging Face's class called `architecture` reads the same model from it."""
        write_config(path, asdict(self), architecture)

    def change(self, **values):
        """A copy with these values in place of its own."""
        return replace(self, **values)


def check(name, value, type_):
    """Raise UserError unless a value fits its field's type and BOUNDS."""
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
