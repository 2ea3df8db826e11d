"""Settings that the reference files do not have, each against transformers: other activations, widths, padding ids."""

import pytest
import torch

from minbert import families, fast

transformers = pytest.importorskip("transformers", reason="needs the extra reference")

SIZES = {"vocab_size": 61, "hidden_size": 21, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 29}
SMALL = {"vocab_size": 61, "dim": 21, "n_layers": 2, "n_heads": 3, "hidden_dim": 29, "max_position_embeddings": 17}
ODD = [  # transformers' class without its end, the end, settings
    ("Roberta", "ForMaskedLM", SIZES | {"hidden_act": "relu", "pad_token_id": 3, "type_vocab_size": 1}),
    ("Roberta", "ForSequenceClassification", SIZES | {"hidden_act": "gelu_new", "pad_token_id": 0, "num_labels": 5}),
    ("Roberta", "Model", SIZES | {"type_vocab_size": 2, "layer_norm_eps": 1e-3}),
    ("XLMRoberta", "ForMaskedLM", SIZES | {"type_vocab_size": 1}),
    ("Camembert", "ForSequenceClassification", SIZES | {"type_vocab_size": 1, "classifier_dropout": 0.4}),
    ("DistilBert", "ForMaskedLM", SMALL | {"activation": "relu", "sinusoidal_pos_embds": True}),
    ("DistilBert", "ForSequenceClassification", SMALL | {"activation": "relu", "num_labels": 4}),
    ("DistilBert", "Model", SMALL),
    ("Electra", "ForMaskedLM", SIZES | {"hidden_act": "relu", "embedding_size": 21}),
    ("Electra", "ForMaskedLM", SIZES | {"embedding_size": 34, "tie_word_embeddings": False}),
    ("Electra", "ForPreTraining", SIZES | {"hidden_act": "relu", "embedding_size": 10}),
    ("Electra", "ForSequenceClassification", SIZES | {"hidden_act": "relu", "embedding_size": 21, "num_labels": 3}),
    ("Electra", "Model", SIZES | {"embedding_size": 5}),
]
KINDS = {
    "ForMaskedLM": "masked",
    "ForSequenceClassification": "classifier",
    "Model": "base",
    "ForPreTraining": "discriminator",
}


@pytest.mark.parametrize("begin, end, settings", ODD)
def test_odd_settings(tmp_path, begin, end, settings):
    """From transformers' folder, and from ours in transformers; a padded batch, with segments if it has some."""
    settings = {"max_position_embeddings": 17} | settings
    theirs = getattr(transformers, begin + end)(getattr(transformers, f"{begin}Config")(**settings))
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            gain = "norm" in name.lower() and name.endswith("weight")
            parameter.copy_(torch.randn_like(parameter) * (0.2 if gain or name.endswith("bias") else 0.4) + gain)
    theirs.eval().save_pretrained(tmp_path / "theirs")
    model = families.load(tmp_path / "theirs", KINDS[end], missing_head="error")
    assert not model.loaded.new and not model.loaded.unknown
    model.save_pretrained(tmp_path / "ours")
    again = getattr(transformers, begin + end).from_pretrained(tmp_path / "ours").eval()

    pad = theirs.config.pad_token_id or 0
    ids, mask = torch.randint(5, 61, (3, 9)), torch.ones(3, 9, dtype=torch.long)
    mask[1, 6:] = mask[2, 2:] = 0
    ids[mask == 0] = pad
    inputs = {"input_ids": ids, "attention_mask": mask}
    if getattr(theirs.config, "type_vocab_size", 1) > 1:
        inputs["token_type_ids"] = (torch.arange(9) > 3).long().expand_as(ids) * mask
    real = slice(None) if KINDS[end] == "classifier" else mask.bool()
    with torch.no_grad():
        wanted, other = (each(**inputs) for each in (theirs, again))
        wanted, other = (x["last_hidden_state"] if end == "Model" else x.logits for x in (wanted, other))
        for way in (lambda model: model, fast.swap_in):
            found = way(model)(**inputs)
            found = found["last_hidden_state"] if end == "Model" else found if torch.is_tensor(found) else found[0]
            torch.testing.assert_close(found[real], wanted[real], rtol=0, atol=4e-5)
    torch.testing.assert_close(other[real], wanted[real], rtol=0, atol=4e-5)
