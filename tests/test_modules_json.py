"""modules_json: what a folder of sentence-transformers says of itself."""

import json

import pytest

from minbert import Config, UserError
from minbert.config import BOUNDS
from minbert.modules_json import OLD_KEYS, module_files, read_modules

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}


def write(folder, modules, pooling=None):
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling or {}))
    return folder


def test_no_such_file(tmp_path):
    assert read_modules(tmp_path) is None


WAYS = [  # a pooling's config.json, what it says
    ({"pooling_mode": "mean"}, "mean"),
    ({"pooling_mode": ["cls", "max"]}, "cls + max"),
    ({"pooling_mode": "made up"}, "'made up'"),
    ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
    ({"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, "cls + max"),
    ({"pooling_mode_lasttoken": True}, "lasttoken"),
    ({}, "mean"),
]


@pytest.mark.parametrize("pooling, way", WAYS)
def test_each_way_of_pooling(tmp_path, pooling, way):
    normalize = {"path": "2_Normalize", "type": "sentence_transformers.base.modules.normalize.Normalize"}
    own = {"path": "", "type": "custom_st.Head"}
    found = read_modules(write(tmp_path, [TRANSFORMER, POOLING, normalize, own], pooling))
    assert found == (way, ["Normalize", "'custom_st.Head'"])


REFUSED = [  # a modules.json, what is said
    ({}, "holds a dict"),
    ([TRANSFORMER | {"path": "0_Transformer"}], "the encoder is in the folder 0_Transformer: name that folder"),
    ([TRANSFORMER | {"type": "custom_st.Transformer"}], "the encoder is 'custom_st.Transformer', but only Transf"),
    ([TRANSFORMER | {"type": "sentence_transformers.models.BoW"}], "the encoder is BoW, but only Transformer is"),
    (
        [TRANSFORMER, POOLING | {"path": "../1_Pooling"}],
        "module 1 should have a type and, as path, a folder beside",
    ),
    ([TRANSFORMER, POOLING | {"path": "/etc"}], "module 1 should have a type and, as path, a folder beside"),
    ([TRANSFORMER, POOLING | {"type": None}], "module 1 should have"),
    ([TRANSFORMER, 3], "module 1 should have"),
    ([TRANSFORMER, POOLING | {"path": "elsewhere"}], "cannot be read"),
]


@pytest.mark.parametrize("modules, said", REFUSED)
def test_what_is_refused(tmp_path, modules, said):
    with pytest.raises(UserError) as error:
        read_modules(write(tmp_path, modules))
    assert str(tmp_path) in str(error.value) and said in str(error.value)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_what_is_written_is_read_back(tmp_path, pooling):
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "2_Dense").mkdir()
    for name, text in module_files(pooling, 15, 3).items():
        (tmp_path / name).write_text(text)
    assert read_modules(tmp_path) == (pooling, ["Dense"])


@pytest.mark.parametrize("stored", [None, "pooler", "cls", "mean"])
@pytest.mark.parametrize("way", [None, *OLD_KEYS.values()])
@pytest.mark.parametrize("by_transformers", [False, True])
def test_the_pooling_of_a_folder(tmp_path, stored, way, by_transformers):
    """modules.json counts where config.json says nothing, or says it through transformers; else both must agree."""
    values = {name: BOUNDS[name][0] for name in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size")}
    values |= {"num_attention_heads": 1, "max_position_embeddings": 1}
    values |= {"pooling": stored} if stored else {}
    values |= {"transformers_version": "5"} if by_transformers else {}
    (tmp_path / "config.json").write_text(json.dumps(values))
    if way:
        write(tmp_path, [TRANSFORMER, POOLING], {"pooling_mode": way})
    if way and stored and way != stored and not by_transformers:
        with pytest.raises(UserError, match=f"pooling is '{stored}', but modules.json says {way}: correct one, or"):
            Config.from_json(tmp_path / "config.json")
        return
    expected = (way if way in ("cls", "mean") else "pooler") if way else stored or "pooler"
    assert Config.from_json(tmp_path / "config.json").pooling == expected
    values["architectures"] = ["BertForSequenceClassification"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert Config.from_json(tmp_path / "config.json").pooling == ("pooler" if by_transformers else expected)
