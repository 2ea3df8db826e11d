"""config: what a config.json, a mapping or a namespace may say, and what is refused."""

import json
import os
from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import pytest
import torch

from minbert import BertModel, Config, UserError, config_json
from minbert.config import BOUNDS
from minbert.jsonfile import quoted
from minbert.weights.fill import encoder_size

BERT_BASE = {  # what a published config.json must hold
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
OTHER = Config(  # no field as it is by default
    vocab_size=101,
    hidden_size=15,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=23,
    max_position_embeddings=40,
    type_vocab_size=5,
    hidden_act="relu",
    hidden_dropout_prob=0.25,
    attention_probs_dropout_prob=0.5,
    layer_norm_eps=1e-6,
    initializer_range=0.125,
    sinusoidal_positions=True,
    tie_word_embeddings=False,
    num_labels=3,
    classifier_dropout=0.75,
    pooling="mean",
    option="pretrain",
    problem_type="multi_label_classification",
    labels=("größer", "gleich", "小さい"),
)


@pytest.fixture
def read(tmp_path):
    """read({...}) or read(b"...") -> Config.from_json of a file that holds this"""

    def read(content):
        path = tmp_path / "config.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return Config.from_json(path)

    return read


# config.json


def test_the_defaults_are_bert_base_uncased(read):
    assert read(BERT_BASE) == Config()


def test_what_is_written_is_read_back(tmp_path):
    defaults = Config()
    assert [name for name in vars(OTHER) if getattr(OTHER, name) == getattr(defaults, name)] == []
    for config in (OTHER, defaults):
        config.to_json(tmp_path / "config.json", "BertModel")
        assert Config.from_json(tmp_path / "config.json") == config


def test_what_is_written_for_others_to_read(tmp_path):
    OTHER.to_json(tmp_path / "config.json", "BertForSequenceClassification")
    written = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert written["model_type"] == "bert"
    assert written["architectures"] == ["BertForSequenceClassification"]
    assert written["id2label"] == {"0": "größer", "1": "gleich", "2": "小さい"}
    assert written["label2id"] == {"größer": 0, "gleich": 1, "小さい": 2}


@pytest.mark.fault("weights: a config.json that is hostile, absurd or broken")
def test_nothing_in_config_json_can_choose_code(read):
    evil = {
        "auto_map": {},
        "trust_remote_code": True,
        "_attn_implementation": "someone/kernels:evil",
        "architectures": ["EvilModel"],
        "torch_dtype": "__import__('os').system('true')",
        "__class__": "evil",
        "labels": ["not", "from", "here"],
        "change": None,
    }
    assert read(BERT_BASE | evil) == Config()


REFUSED = [  # a key, its value, what is said
    ("model_type", "roberta", "model_type is 'roberta', but only 'bert' is supported"),
    ("model_type", ["bert"], "model_type is ['bert'], but only 'bert' is supported"),
    ("is_decoder", True, "is_decoder is True, but only False is supported"),
    ("is_decoder", "no", "is_decoder is 'no', but only False is supported"),
    ("add_cross_attention", True, "add_cross_attention is True, but only False is supported"),
    ("position_embedding_type", "relative_key", "position_embedding_type is 'relative_key', but only 'absolute'"),
    ("add_cross_attention", 1, "add_cross_attention is 1, but only False is supported"),
    ("pruned_heads", {"0": [1]}, "pruned_heads is {'0': [1]}, but only {} is supported"),
    ("is_encoder_decoder", True, "is_encoder_decoder is True, but only False is supported"),
    ("tokenizer_class", "RobertaTokenizer", "tokenizer_class is 'RobertaTokenizer', but only 'BertTokenizer' is"),
    ("tokenizer_class", "BertJapaneseTokenizer", "tokenizer_class is 'BertJapaneseTokenizer', but only"),
    ("auto_map", {"AutoModel": "modeling_evil.Evil"}, "auto_map says that the model is computed by Python code"),
    (
        "quantization_config",
        {"quant_method": "bitsandbytes"},
        "quantization_config says that the weights are quant",
    ),
    ("num_labels", 3, "num_labels is 3, but id2label has 2 classes"),
    ("label2id", {"a": 0}, "label2id contradicts id2label: correct one, or delete label2id"),
    ("label2id", {"a": 1, "b": 0}, "label2id contradicts id2label"),
    ("label2id", ["a", "b"], "label2id contradicts id2label"),
    ("id2label", ["a", "b"], "id2label must map each class to a name"),
    ("hidden_act", "silu", "hidden_act is 'silu', but can be: gelu, gelu_new, relu"),
    ("hidden_act", ["gelu"], "hidden_act is ['gelu'], but can be"),
    ("pooling", "max", "pooling is 'max', but can be: pooler, cls, mean"),
    ("option", "some", "option is 'some', but can be: pretrain, flexible"),
    ("option", ["freeze"], "option is ['freeze'], but can be"),
    ("option", {}, "option is {}, but can be"),
    ("sinusoidal_positions", 1, "sinusoidal_positions is 1, but can be: False, True"),
    ("tie_word_embeddings", 0, "tie_word_embeddings is 0, but can be: True, False"),
    ("num_attention_heads", 7, "hidden_size 768 cannot be split into 7 attention heads"),
    ("hidden_size", 768.0, "hidden_size is 768.0, but must be a whole number from 1 to 65536"),
    ("hidden_size", 10**9, "hidden_size is 1000000000, but must be a whole number from 1 to 65536"),
    ("num_hidden_layers", 0, "num_hidden_layers is 0, but must be a whole number from 1 to 1000"),
    ("num_hidden_layers", True, "num_hidden_layers is True, but must be a whole number from 1 to 1000"),
    ("vocab_size", 10**12, "vocab_size is 1000000000000, but must be a whole number from 1 to 10000000"),
    ("hidden_dropout_prob", 1.5, "hidden_dropout_prob is 1.5, but must be a number from 0.0 to 1.0"),
    ("layer_norm_eps", -1e-12, "layer_norm_eps is -1e-12, but must be a number from 0.0 to 1.0"),
    ("id2label", {"0": "a", "2": "b"}, "id2label must name the classes 0 to 1, each differently"),
    ("id2label", {"0": "a", "1": "a"}, "id2label must name the classes 0 to 1, each differently"),
]


@pytest.mark.fault("weights: a config.json that is hostile, absurd or broken")
@pytest.mark.parametrize("key, value, message", REFUSED)
def test_what_is_refused(read, tmp_path, key, value, message):
    with pytest.raises(UserError) as error:
        read(BERT_BASE | {"id2label": {"0": "a", "1": "b"}} | {key: value})
    assert str(error.value).startswith(f"{tmp_path / 'config.json'}: {message}")


NUMBERS = [name for name, bounds in BOUNDS.items() if type(bounds[0]) in (int, float)]


@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_is_neither_out_of_bounds_nor_something_else(read, field):
    smallest, largest = BOUNDS[field]
    inf = float("inf")
    for value in (smallest - 1, largest + 1, True, False, "1", "", [1], {}, inf, -inf, float("nan")):
        with pytest.raises(UserError, match=f"{field} is "):
            read(BERT_BASE | {field: value})  # json writes and reads NaN and Infinity
        with pytest.raises(UserError, match=f"{field} is "):
            Config(**{field: value})
    if field != "classifier_dropout":
        with pytest.raises(UserError, match=f"{field} is None, but must be"):
            read(BERT_BASE | {field: None})


@pytest.mark.parametrize("key", ["model_type", "is_decoder", "position_embedding_type", "classifier_dropout"])
def test_null_is_as_good_as_absent(read, key):
    assert read(BERT_BASE | {key: None}) == Config()


@pytest.mark.fault("weights: a config.json that is hostile, absurd or broken")
@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not valid JSON"),
        (b'{"vocab_size": 30522,', "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1, 2]", "holds a list, not the settings of a model"),
        (b'"bert"', "holds a str, not the settings of a model"),
        (b"null", "holds a NoneType, not the settings of a model"),
    ],
)
def test_broken_files(read, tmp_path, content, message):
    with pytest.raises(UserError) as error:
        read(content)
    assert str(error.value).startswith(f"{tmp_path / 'config.json'}: {message}")


def test_a_file_that_is_too_large(read, tmp_path):
    with pytest.raises(
        UserError, match=r"config\.json: has 8,388,609 bytes, but config\.json may have up to 8,388,608$"
    ):
        read(b" " * (2**23 + 1))


def test_as_many_classes_as_there_may_be_fit(tmp_path):
    config = Config(num_labels=100_000, labels=tuple(f"class-{id:010d}" for id in range(100_000)))
    config.to_json(tmp_path / "config.json", "BertForSequenceClassification")
    assert Config.from_json(tmp_path / "config.json") == config


# The table of keys

FIELDS = set(vars(Config()))
PUBLISHED = {  # keys of well-known checkpoints, that are nobody's fields
    "directionality": "bidi",
    "pooler_fc_size": 768,
    "gradient_checkpointing": False,
    "torch_dtype": "float16",
    "finetuning_task": "sst2",
    "task_specific_params": None,
    "_num_labels": 2,
    "sentence_transformers": {"version": "4.1.0"},
    "cross_attention_hidden_size": None,
    "chunk_size_feed_forward": 16,
    "torchscript": True,
}


def test_each_key_of_transformers_is_in_the_table_once_with_its_default(read, tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs the extra reference")
    values = transformers.BertConfig().to_dict()
    assert read(values) == Config()
    assert config_json.unknown_keys(tmp_path / "config.json", FIELDS) == []
    tables = [FIELDS, *(getattr(config_json, name) for name in ("SUPPORTED", "REFUSED", "READ", "HARMLESS"))]
    keys = [key for table in tables for key in table]
    assert len(keys) == len(set(keys)) and set(values) <= set(keys)


def test_keys_without_effect_are_read_over_and_others_are_named(read, tmp_path):
    assert read(BERT_BASE | PUBLISHED | {"alibi": True, "a b": 1, "labels": ["a", "b"]}) == Config()
    assert config_json.unknown_keys(tmp_path / "config.json", FIELDS) == ["alibi", "'a b'", "labels"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(UserError, match=r"config\.json: is not a file$"):
        Config.from_json(tmp_path / "config.json")


def test_of_two_values_for_a_key_the_last_counts(read):
    """As for Hugging Face."""
    assert read(b'{"vocab_size": 0, ' + json.dumps(BERT_BASE).encode()[1:]) == Config()


def test_a_byte_order_mark_is_no_harm(read):
    assert read(b"\xef\xbb\xbf" + json.dumps(BERT_BASE).encode()) == Config()


@pytest.mark.fault("weights: a config.json that is hostile, absurd or broken")
@pytest.mark.parametrize("key", ["model_type", "option", "id2label", "label2id", "labels", "vocab_size"])
def test_lists_in_lists(read, key):
    """Some are too deep to be read, some only to be shown."""
    content = json.dumps(BERT_BASE | {key: 0})
    for depth in [50, *range(800, 1000)]:
        nested = "[" * depth + "]" * depth
        try:
            assert read(content.replace(f'"{key}": 0', f'"{key}": {nested}').encode()) == Config()
            assert key in ("label2id", "labels")  # ignored there
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < 500


@pytest.mark.parametrize("value", ["9" * 5000, "x" * 5000, 10**4000, ["1"], {}, None, True, 1.5])
def test_a_strangers_format_number(read, value):
    with pytest.raises(UserError, match=r"minbert_format is .{,70}, but must be a whole number from 1$"):
        read(BERT_BASE | {"minbert_format": value})


def test_what_is_too_deep_to_be_shown():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert quoted(nested) == "a list"


def test_a_label_is_no_list(read):
    with pytest.raises(UserError, match="id2label must map each class to a name"):
        read(BERT_BASE | {"id2label": {"0": ["a"], "1": "b"}})


def test_what_is_refused_is_shown_cut_short(read, tmp_path):
    with pytest.raises(UserError) as error:
        read(BERT_BASE | {"hidden_act": "x" * 100_000})
    assert len(str(error.value)) < 200 + len(str(tmp_path))


def test_no_file(tmp_path):
    with pytest.raises(UserError, match=r"config\.json: cannot be read \(No such file"):
        Config.from_json(tmp_path / "config.json")


def test_missing_keys_are_named_together(read):
    with pytest.raises(UserError, match=r"it lacks hidden_size, intermediate_size$"):
        read({name: value for name, value in BERT_BASE.items() if name not in ("hidden_size", "intermediate_size")})
    for missing in BERT_BASE:
        with pytest.raises(UserError, match=f"does not describe a BERT: it lacks {missing}$"):
            read({name: value for name, value in BERT_BASE.items() if name != missing})


def test_labels_are_read_in_the_order_of_their_ids(read):
    config = read(BERT_BASE | {"id2label": {"2": "good", "0": "bad", "1": "so-so"}})
    assert config.labels == ("bad", "so-so", "good") and config.num_labels == 3


def test_default_labels_count_but_are_no_names(read):
    """Hugging Face writes no num_labels, only LABEL_0, LABEL_1, ..."""
    config = read(BERT_BASE | {"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}})
    assert config.labels == () and config.num_labels == 3


# Config, Config.of, change


def test_of_the_course_kits_namespace():
    """Its hidden_dropout_prob is the dropout before the classifier; the encoder keeps its own 0.1."""
    kit = SimpleNamespace(data_dir=".", hidden_dropout_prob=0.3, hidden_size=768, num_labels=2, option="flexible")
    assert Config.of(kit) == Config(classifier_dropout=0.3)
    assert vars(kit)["hidden_dropout_prob"] == 0.3


def test_of_a_mapping_and_of_a_config():
    assert Config.of({"hidden_dropout_prob": 0.3, "num_labels": 5}) == Config(hidden_dropout_prob=0.3, num_labels=5)
    both = {"hidden_dropout_prob": 0.3, "classifier_dropout": 0.2}
    assert Config.of(both) == Config(hidden_dropout_prob=0.3, classifier_dropout=0.2)
    assert both == {"hidden_dropout_prob": 0.3, "classifier_dropout": 0.2}
    assert Config.of(OTHER) is OTHER
    assert Config.of(vars(OTHER)) == OTHER


def test_of_checks_too():
    with pytest.raises(UserError, match="hidden_dropout_prob is 2, but must be a number from"):
        Config.of({"hidden_dropout_prob": 2})


@pytest.mark.parametrize(
    "option, meant",
    [
        *(("pretrain", "pretrain"), ("freeze", "pretrain"), ("frozen", "pretrain"), ("last-linear-layer", "pretrain")),
        *(("flexible", "flexible"), ("finetune", "flexible"), ("full-model", "flexible")),
    ],
)
def test_option_and_what_other_kits_call_it(option, meant):
    assert Config(option=option).option == meant
    assert Config.of(SimpleNamespace(option=option)).option == meant


def test_labels_and_their_number_agree():
    with pytest.raises(UserError, match="num_labels is 2, but the labels are a, b, c"):
        Config(labels=("a", "b", "c"))
    assert Config(labels=["a", "b"]).labels == ("a", "b")


def test_change_checks_and_leaves_the_rest():
    assert OTHER.change(num_hidden_layers=4).change(num_hidden_layers=2) == OTHER
    with pytest.raises(UserError, match="cannot be split into 4 attention heads"):
        OTHER.change(num_attention_heads=4)


@pytest.mark.parametrize("config", [OTHER, Config()], ids=["small", "bert-base"])
def test_the_encoders_size(config):
    with torch.device("meta"):
        model = BertModel(config)
    pooler = sum(parameter.numel() for parameter in model.pooler.parameters())
    assert encoder_size(config) == sum(parameter.numel() for parameter in model.parameters()) - pooler


def test_a_config_is_fixed_but_for_a_name_that_transformers_sets():
    config = Config()
    for name in ("hidden_size", "labels", "num_layers"):
        with pytest.raises(FrozenInstanceError):
            setattr(config, name, 2)
    config.use_cache = True  # transformers' Trainer
    assert config == Config() and not hasattr(config, "use_cache")
