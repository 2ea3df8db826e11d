"""The sizes of a model: everything that the code has to learn from a checkpoint's config.json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from minbert.config_json import PROBLEM_TYPES, Described, may_set, read_config, write_config
from minbert.errors import UserError
from minbert.format import check_format
from minbert.jsonfile import quoted

# The legal values of each field: (smallest, largest) of a number, or all of the words.
BOUNDS = {
    "vocab_size": (1, 10_000_000),
    "hidden_size": (1, 65_536),
    "num_attention_heads": (1, 4_096),
    **dict.fromkeys(("intermediate_size", "max_position_embeddings"), (1, 1_000_000)),
    **dict.fromkeys(("num_hidden_layers", "type_vocab_size"), (1, 1_000)),
    "num_labels": (1, 100_000),
    **dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), (0.0, 1.0)),
    "layer_norm_eps": (0.0, 1.0),
    "initializer_range": (0.0, 10.0),
    "hidden_act": ("gelu", "gelu_new", "relu"),
    "sinusoidal_positions": (False, True),
    "tie_word_embeddings": (True, False),
    "pooling": ("pooler", "cls", "mean"),
    "problem_type": PROBLEM_TYPES,
    "option": ("pretrain", "flexible"),
}
OPTION_ALIASES = {  # other course kits' names for the two options
    **dict.fromkeys(("freeze", "frozen", "last-linear-layer"), "pretrain"),
    **dict.fromkeys(("finetune", "full-model"), "flexible"),
}


@may_set("use_cache")  # transformers' Trainer does; nothing reads it
@dataclass(frozen=True)
class Config(Described):
    """The sizes of a BERT, named as in config.json; the defaults are bert-base-uncased's.

    Raises UserError, naming the field, for a value of the wrong type or out of bounds.
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
    sinusoidal_positions: bool = False  # True: fixed sinusoids in place of learned positions
    tie_word_embeddings: bool = True  # the masked-LM head decodes with the token embeddings
    num_labels: int = 2  # of the classifier on top, as are the fields below
    classifier_dropout: float | None = None  # None: the same as hidden_dropout_prob
    pooling: str = "pooler"
    option: str = "flexible"
    problem_type: str = PROBLEM_TYPES[0]  # what a classifier's outputs mean: the loss that it learns by
    labels: tuple[str, ...] = ()  # names of the classes in the order of their ids; () if they have none
    bounds = BOUNDS  # no field: a family of models may have other limits

    def __post_init__(self):
        if isinstance(self.option, str):
            object.__setattr__(self, "option", OPTION_ALIASES.get(self.option, self.option))
        object.__setattr__(self, "labels", tuple(map(str, self.labels or ())))
        for field in fields(self):
            check_field(field.name, getattr(self, field.name), field.type, self.bounds)
        if self.hidden_size % (heads := self.num_attention_heads):
            raise UserError(f"hidden_size {self.hidden_size} cannot be split into {heads} attention heads")
        if self.labels and len(set(self.labels)) != self.num_labels:
            raise UserError(f"num_labels is {self.num_labels}, but the labels are {', '.join(self.labels)}")

    @classmethod
    def of(cls, source) -> "Config":
        """A Config from a Config, a mapping, or a namespace like the course kits'.

        In the kits' namespace hidden_dropout_prob is the dropout before the classifier, and the encoder keeps its
        default. It is read that way, unless the namespace has a classifier_dropout, too.
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
    def from_json(cls, path: str | Path) -> "Config":
        """Read a checkpoint's config.json. Raises UserError, naming the file, for a missing or unsupported setting."""
        values = read_config(Path(path), {field.name for field in fields(cls)}, cls.form, cls.settings)
        try:
            return cls(**values)
        except UserError as error:
            raise UserError(f"{path}: {cls.form.in_its_words(str(error))}") from None

    def to_json(self, path: str | Path, architecture: str) -> None:
        """Write config.json, from which Hugging Face's class `architecture` builds the same model."""
        write_config(path, asdict(self), architecture, self.form)

    def change(self, **values) -> "Config":
        """A copy with some values changed."""
        return replace(self, **values)


def check_field(name: str, value, type_, limits: Mapping = BOUNDS) -> None:
    """Raise UserError unless a value fits its field's type and its limits."""
    bounds = limits.get(name)
    if bounds is None or (value is None and type_ == float | None):
        return
    number = int if type_ is int else (int, float)
    if isinstance(bounds[0], (str, bool)):
        if not isinstance(value, type(bounds[0])) or value not in bounds:
            raise UserError(f"{name} is {quoted(value)}, but can be: {', '.join(map(str, bounds))}")
    elif isinstance(value, bool) or not isinstance(value, number) or not bounds[0] <= value <= bounds[1]:
        kind = "a whole number" if type_ is int else "a number"
        raise UserError(f"{name} is {quoted(value)}, but must be {kind} from {bounds[0]} to {bounds[1]}")
