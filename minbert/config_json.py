"""config.json, the description in a model's folder: each of its keys is honoured, harmless or refused.

Reading runs no code. A key that stands in no table is named when the model is loaded. Hugging Face reads the same
model from the file that is written.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from minbert.errors import UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.jsonfile import plain_word, quoted, read_json
from minbert.modules_json import read_modules

REQUIRED = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
    "max_position_embeddings",
)
# Keys that change what is computed, with the only values that are supported. A family of models may have its own.
SUPPORTED = {
    "model_type": ("bert", None),
    "position_embedding_type": ("absolute", None),
    "directionality": ("bidi", None),
    **dict.fromkeys(("is_decoder", "add_cross_attention", "is_encoder_decoder"), (False, None)),
    **dict.fromkeys(("pruned_heads", "per_layer_config", "adapters", "rope_scaling", "rope_parameters"), ({}, None)),
    "tokenizer_class": (  # those with BERT's rules, and XLM-RoBERTa's, as in multilingual-e5-small
        *("BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast"),
        *("ElectraTokenizer", "ElectraTokenizerFast", "XLMRobertaTokenizer", "XLMRobertaTokenizerFast"),
        *("PreTrainedTokenizerFast", "TokenizersBackend", None),
    ),
}
# Keys that ask for something else than a plain BERT, unless they are empty.
REFUSED = {
    "auto_map": "the model is computed by Python code of its own, which minbert never runs",
    "quantization_config": "the weights are quantized; minbert reads floating-point numbers: save them unquantized",
}
# Keys that are read below, besides the fields of Config.
READ = ("architectures", "id2label", "label2id", KEY, "transformers_version")
# Keys that do not change what is computed: other forms of the output, storage, training, generation, the past.
HARMLESS = (
    *("output_hidden_states", "output_attentions", "return_dict", "return_dict_in_generate", "output_scores"),
    *("dtype", "torch_dtype", "use_bfloat16", "torchscript", "chunk_size_feed_forward", "gradient_checkpointing"),
    *("use_cache", "output_past", "_name_or_path", "name_or_path", "finetuning_task", "task_specific_params"),
    *("_attn_implementation", "attn_implementation", "_attn_implementation_autoset", "_num_labels", "_commit_hash"),
    *("trust_remote_code", "tie_encoder_decoder", "tie_last_hidden_states", "cross_attention_hidden_size"),
    *("pad_token_id", "cls_token_id", "mask_token_id", "unk_token_id", "bos_token_id", "eos_token_id"),
    *("sep_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "prefix"),
    *("pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"),
    *("sentence_transformers", "sbert_ce_default_activation_function", "tf_legacy_loss", "keys_to_ignore_at_inference"),
    *("max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty"),
    *("temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "num_return_sequences"),
    *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "remove_invalid_values"),
    *("exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens"),
)
# Hugging Face's classes without a head that is called classifier, and with one that finds the class of a text; without
# the family's name in front.
FIT = (
    *("ForSequenceClassification", "Model", "ForPreTraining", "ForMaskedLM", "LMHeadModel", "ForCausalLM"),
    *("ForNextSentencePrediction", "ForQuestionAnswering"),
)
UNFIT = {  # classes whose classifier does something else
    "ForTokenClassification": "labels each token, not the text",
    "ForSequenceClassification": "labels the text, not each token",
    "ForMultipleChoice": "chooses between several texts",
}
NO_HEAD = tuple(end for end in FIT if end != "ForSequenceClassification")  # classes without such a head at all
PROBLEMS = {  # the values of problem_type: what a classifier of texts does. The first: where a file says nothing
    "single_label_classification": "finds one class of a text",
    "multi_label_classification": "gives each label a probability of its own",
    "regression": "gives a score, not a class",
}
PROBLEM_TYPES = tuple(PROBLEMS)


# Other families, {model_type: (the file of their classes, how the classes' names begin, how they end)}.
ENCODER = ("Model", "ForMaskedLM", "SentClassifier")
DECODER = ("LMHeadModel", "Model", "SentClassifier")
HOMES = {
    "roberta": ("minbert.families.roberta", "Roberta", ENCODER),
    "xlm-roberta": ("minbert.families.roberta", "Roberta", ENCODER),
    "camembert": ("minbert.families.roberta", "Roberta", ENCODER),
    "distilbert": ("minbert.families.distilbert", "DistilBert", ENCODER),
    "electra": ("minbert.families.electra", "Electra", (*ENCODER, "ForPreTraining")),
    "openai-gpt": ("minbert.families.gpt", "OpenAIGPT", DECODER[:2]),
    "gpt2": ("minbert.families.gpt2", "GPT2", DECODER),
    "marian": ("minbert.families.marian", "Marian", ("ForTranslation", "Model")),
}


@dataclass(frozen=True)
class Form:
    """What is particular to the config.json of a family of models.

    title      the family in messages
    classes    how Hugging Face's names of its classes begin, for each model_type: {"bert": "Bert"}
    keys       {our field: the file's key}, where they differ
    required   the fields without which no model is described
    supported  as SUPPORTED, in its place or beside it
    harmless   as HARMLESS, beside it
    absent     our fields that are neither read nor written: the family has one value for them
    """

    title: str = "BERT"
    classes: Mapping = field(default_factory=lambda: {"bert": "Bert"})
    keys: Mapping = field(default_factory=dict)
    required: tuple = REQUIRED
    supported: Mapping = field(default_factory=dict)
    harmless: tuple = ()
    absent: tuple = ()

    def ours(self, values: Mapping) -> dict:
        """The file's values under the names of our fields; what has no name of ours keeps its own."""
        fields = {key: name for name, key in self.keys.items()}
        left_out = {*self.keys, *self.absent} - set(fields)  # in the file they are other people's words
        return {fields.get(key, key): value for key, value in values.items() if key not in left_out}

    def theirs(self, values: Mapping) -> dict:
        """Our fields' values under the file's keys."""
        return {self.keys.get(name, name): value for name, value in values.items() if name not in self.absent}

    def in_its_words(self, message: str) -> str:
        """A message that begins with the name of a field, with the file's key in its place."""
        name, space, rest = message.partition(" ")
        return self.keys.get(name, name) + space + rest


BERT = Form()


class Described:
    """The base of a Config: what the config of another family of models has otherwise than BERT's."""

    form = BERT

    @classmethod
    def settings(cls, values: Mapping) -> dict:
        """The values of a config.json under the names of our fields. Raises UserError for what is not computed here."""
        return cls.form.ours(values)

    @property
    def most_tokens(self) -> int:
        """The longest text that the model reads, in tokens, special ones included."""
        return self.max_position_embeddings - self.first_position

    @property
    def first_position(self) -> int:
        """The row of the first token's position in the table of positions."""
        return 0

    @property
    def others_size(self) -> int:
        """The number of parameters in layers that BERT does not have."""
        return 0

    @property
    def embedding_size(self) -> int:
        """The width of the embeddings."""
        return self.hidden_size


def other_family(path: Path, form: Form, name: str) -> str | None:
    """Why the class `name`, whose files have this form, does not read a config.json of another family; or None.

    Only for the families that there are: what no one computes, `read_config` refuses.
    """
    kind = read_json(path).get("model_type")
    if not isinstance(kind, str) or kind in form.classes or kind not in {"bert", *HOMES}:
        return None
    module, begin, ends = HOMES.get(kind, ("minbert", "Bert", ENCODER))
    end = next((end for end in ends if name.endswith(end)), ends[0])
    return f"{path}: model_type is {kind!r}: {name} is for {form.title}; use {begin}{end} of {module}"


def read_config(path: Path, names: set[str], form: Form = BERT, settings=None) -> dict:
    """The fields `names` of a config.json, {name: value}.

    settings  a function: the file's values -> the same under the names of our fields; None: form.ours
    Raises UserError, naming the file, if it does not describe a model that this package computes, or contradicts
    itself.
    """
    values = read_json(path)
    check_format(path, values)
    kinds = SUPPORTED["model_type"] if form is BERT else tuple(form.classes)
    for key, legal in (SUPPORTED | {"model_type": kinds} | dict(form.supported)).items():
        if values.get(key) not in legal:
            raise UserError(f"{path}: {key} is {quoted(values[key])}, but only {legal[0]!r} is supported")
    for key, reason in REFUSED.items():
        if values.get(key):
            raise UserError(f"{path}: {key} says that {reason}")
    missing = [key for name in form.required if (key := form.keys.get(name, name)) not in values]
    if missing:
        raise UserError(f"{path}: does not describe a {form.title}: it lacks {', '.join(missing)}")
    try:
        ours = (settings or form.ours)(values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    chosen = {name: value for name, value in ours.items() if name in names}
    if labels := read_labels(path, values):
        chosen["num_labels"] = len(labels)
    chosen["labels"] = () if labels == default_labels(len(labels)) else labels
    chosen.pop("pooling", None)
    if "problem_type" in names:
        chosen["problem_type"] = known_problem(values)
    if form is not BERT:  # a head that reads more than one vector in its way is BERT's alone
        return chosen
    return chosen | ({} if (pooling := read_pooling(path, values)) is None else {"pooling": pooling})


def write_config(path: str | Path, values: dict, architecture: str, form: Form = BERT) -> None:
    """Write config.json from the fields of a Config, {name: value}, for Hugging Face's class `architecture`."""
    kind, values = values.pop("model_type", next(iter(form.classes))), form.theirs(values)
    values = values | {"model_type": kind, "architectures": [architecture], KEY: FORMAT}
    if values["problem_type"] == PROBLEM_TYPES[0]:
        del values["problem_type"]
    labels = values.pop("labels") or default_labels(values["num_labels"])
    values["id2label"] = {str(id): name for id, name in enumerate(labels)}
    values["label2id"] = {name: id for id, name in enumerate(labels)}
    Path(path).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def may_set(*ignored: str):
    """A decorator of a frozen dataclass: setting the names `ignored` does nothing; all others raise, as before."""

    def decorate(cls):
        refuse = cls.__setattr__
        cls.__setattr__ = lambda self, name, value: None if name in ignored else refuse(self, name, value)
        return cls

    return decorate


def default_labels(number: int) -> tuple[str, ...]:
    """Hugging Face's names for unnamed classes."""
    return tuple(f"LABEL_{id}" for id in range(number))


def read_labels(path: Path, values: dict) -> tuple[str, ...]:
    """The class names in id2label, in the order of their ids; () if there are none.

    Raises UserError if num_labels or label2id contradict it.
    """
    id2label, label2id = values.get("id2label"), values.get("label2id")
    if not id2label:
        return ()
    if not isinstance(id2label, dict) or any(isinstance(label, (dict, list)) for label in id2label.values()):
        raise UserError(f"{path}: id2label must map each class to a name")
    labels = tuple(str(id2label.get(str(id))) for id in range(len(id2label)))
    if set(id2label) != {str(id) for id in range(len(id2label))} or len(set(labels)) != len(labels):
        raise UserError(f"{path}: id2label must name the classes 0 to {len(id2label) - 1}, each differently")
    if values.get("num_labels", len(labels)) != len(labels):
        raise UserError(f"{path}: num_labels is {quoted(values['num_labels'])}, but id2label has {len(labels)} classes")
    inverse = {label: id for id, label in enumerate(labels)}
    as_words = {label: str(id) for label, id in inverse.items()}
    if label2id and label2id not in (inverse, as_words):
        raise UserError(f"{path}: label2id contradicts id2label: correct one, or delete label2id")
    return labels


def read_pooling(path: Path, values: dict) -> str | None:
    """What a classifier on this model reads by default; None if the folder does not say it, or pools in other ways.

    transformers keeps our key `pooling` when it trains and saves a model, but its own classifier reads the pooler.
    """
    by_transformers, stored = "transformers_version" in values, values.get("pooling")
    if by_transformers and values.get("architectures") == ["BertForSequenceClassification"]:
        return "pooler"
    modules = read_modules(path.parent)
    if modules is None or modules.pooling == stored:
        return stored
    if stored is not None and not by_transformers:
        said = f"modules.json says {modules.pooling}"
        raise UserError(f"{path}: pooling is {quoted(stored)}, but {said}: correct one, or delete modules.json")
    return modules.pooling if modules.pooling in ("cls", "mean") else None


def known_problem(values: Mapping) -> str:
    """The problem_type of a config.json: what it says, or what transformers and we take an absent or odd one for."""
    said = values.get("problem_type")
    if isinstance(said, str) and said in PROBLEMS:
        return said
    outputs = len(values.get("id2label") or ()) or values.get("num_labels")
    ours = KEY in values and "transformers_version" not in values
    return "regression" if said is None and outputs == 1 and not ours else PROBLEM_TYPES[0]


def architectures(path: Path) -> list[str]:
    """The names of Hugging Face's classes in a config.json, of which a folder has one at most."""
    classes = read_json(path).get("architectures") or []
    return [plain_word(name) for name in (classes if isinstance(classes, list) else [classes])]


def unfit_classifier(
    path: Path, form: Form = BERT, problem: str = PROBLEM_TYPES[0], of: str = "ForSequenceClassification"
) -> str | None:
    """What the classifier described by a config.json does, if it is not what is wanted; or None.

    problem  what is wanted of a classifier of texts, one of PROBLEM_TYPES
    of       how the names of Hugging Face's classes end that have the wanted head: of texts, or of tokens
    """
    values = read_json(path)
    ends = set()
    for name in architectures(path):
        end = next((name.removeprefix(begin) for begin in form.classes.values() if name.startswith(begin)), name)
        if end not in (of, *NO_HEAD):
            return f"{UNFIT.get(end, 'is of a kind that minbert does not know')} ({name})"
        ends.add(end)
    if of != "ForSequenceClassification":
        return None
    said, found = values.get("problem_type"), known_problem(values)
    if said is not None and (not isinstance(said, str) or said not in PROBLEMS):
        return f"solves an unknown problem (problem_type {plain_word(said)})"
    outputs = len(values.get("id2label") or ()) or values.get("num_labels")
    if found == problem == "regression" and outputs not in (1, None):
        return f"gives {quoted(outputs)} scores, not one (problem_type regression)"
    if found == problem or (said is None and found == PROBLEM_TYPES[0] and of not in ends):  # it has no classifier
        return None
    how = "it has one output" if said is None and found == "regression" else f"problem_type {found}"
    return f"{PROBLEMS[found]} ({how})"


def unknown_keys(path: Path, names: set[str], form: Form = BERT) -> list[str]:
    """The keys of a config.json that are in no table and not in `names`, as they are shown in messages."""
    fields = form.theirs(dict.fromkeys(names - {"labels"}))  # labels: a field, but in the file it is id2label
    known = {*fields, *SUPPORTED, *form.supported, *REFUSED, *READ, *HARMLESS, *form.harmless}
    return [plain_word(key) for key in read_json(path) if key not in known]
