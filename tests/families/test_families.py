"""What all families have in common: one lookup, a class that refuses another family's folder, the size of the files."""

import json
import re

import pytest

from minbert import BertForMaskedLM, BertModel, BertSentClassifier, UserError, config_json, families
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "kind, model_class", [("base", BertModel), ("masked", BertForMaskedLM), ("classifier", BertSentClassifier)]
)
@pytest.mark.parametrize("model_type", ["bert", None])
def test_a_folder_of_bert_is_loaded_by_its_class(tiny_folder, kind, model_class, model_type):
    path = tiny_folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": model_type}))
    model = families.load(tiny_folder, kind, missing_head="new")
    assert type(model) is model_class and model.config == families.read_config(tiny_folder)


@pytest.mark.parametrize("value", ["t5", ["bert"], {}, 3])
def test_a_family_that_there_is_not(tiny_folder, value):
    path = tiny_folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": value}))
    if not value:  # as for Hugging Face: nothing is said
        assert families.of(tiny_folder).MODELS["base"] is BertModel
        return
    with pytest.raises(UserError, match=r"model_type is .*, but minbert computes bert") as error:
        families.load(tiny_folder, "base")
    assert "\n" not in str(error.value)


def test_a_kind_of_model_that_a_family_has_not(tiny_folder):
    said = "there is no causal language model of BERT here, but: model without a head, masked language model, classif"
    with pytest.raises(UserError, match=f"^{re.escape(str(tiny_folder))}: {said}"):
        families.load(tiny_folder, "causal")


def test_each_family_is_where_the_other_classes_send_its_user():
    assert set(families.FAMILIES) == {"bert", *config_json.HOMES}
    for model_type, family in families.FAMILIES.items():
        assert model_type in family.CONFIG.form.classes
        if family is not families.FAMILIES["bert"]:
            module, begin, ends = config_json.HOMES[model_type]
            assert module == family.__name__
            for model_class in family.MODELS.values():
                assert model_class.__name__.removeprefix(begin) in ends


@pytest.mark.parametrize("path", sorted((ROOT / "minbert" / "families").glob("*.py")), ids=lambda path: path.name)
def test_the_file_of_a_family_is_short(path):
    assert len(path.read_text("utf-8").splitlines()) <= 120
