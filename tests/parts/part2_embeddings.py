"""Part 2: embeddings, ids -> vectors (minbert/embeddings.py).

python -m pytest tests/parts/part2_embeddings.py
"""

import pytest

from minbert.embeddings import Embeddings
from tests.parts import agree, check_probe, each_probe

pytestmark = pytest.mark.part2


@each_probe(2)
def test_probe(probe):
    check_probe(2, probe)


def test_they_equal_the_reference(golden):
    module = Embeddings(golden.config)
    module.load_state_dict(golden.weights("embeddings."))
    ours = module.eval()(golden.batch.input_ids, golden.batch.token_type_ids)
    agree(2, "embeddings", ours, golden.stage("embeddings"))
