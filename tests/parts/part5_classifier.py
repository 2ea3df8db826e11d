"""Part 5: the classifier, frozen and not (BertSentClassifier in minbert/heads.py, BertModel.pool in minbert/bert.py).

    python -m pytest tests/parts/part5_classifier.py

Its encoder answers with the right hidden states.
"""

import pytest
import torch

from minbert import BertModel, BertSentClassifier
from tests.parts import agree, check_probe, each_probe

pytestmark = pytest.mark.part5


class GoldenBert(torch.nn.Module):
    """Answers with the golden hidden states and pooler output."""

    def __init__(self, golden):
        super().__init__()
        states = {"last_hidden_state": golden.stage("1.feed_forward_norm"), "pooler_output": golden.stage("pooler")}
        self.output = states

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, **options):
        return self.output


@each_probe(5)
def test_probe(probe):
    check_probe(5, probe)


def test_the_pooler_equals_the_reference(golden):
    model = BertModel(golden.config)
    model.load_state_dict({name: weight for name, weight in golden.weights().items() if "classifier" not in name})
    agree(5, "pooler output", model.pool(golden.stage("1.feed_forward_norm")), golden.stage("pooler"))


def test_logits_equal_the_reference(golden):
    model = BertSentClassifier(golden.config)
    model.bert = GoldenBert(golden)
    weights = golden.weights()
    model.load_state_dict({name: weights[name] for name in ("classifier.weight", "classifier.bias")})
    logits = model(golden.batch.input_ids, golden.batch.attention_mask)
    agree(5, "logits", logits, golden.stage("logits"))
