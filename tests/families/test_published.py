"""Published checkpoints of the families beside published figures: `pytest -m weights`. Nothing is downloaded.

The figures are those of the tests of transformers, and for siebert/sentiment-roberta-large-english, of its use. That a
comparison fails where it should is shown on random models of the same shape.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch

from minbert import families, tokenizers
from minbert.families.gpt import OpenAIGPTLMHeadModel
from minbert.families.gpt2 import GPT2LMHeadModel
from minbert.families.roberta import RobertaConfig
from minbert.generation import generate
from tests import conftest
from tests.families import tiny_gpt
from tests.families.test_commands import byte_bpe

ALLOWED = 1e-4  # beside the rounding of a figure; for numbers above 10, a hundred thousandth of the largest
ROBERTA_IDS = [0, 31414, 232, 328, 740, 1140, 12695, 69, 46078, 1588, 2]
DOG = "Hello, my dog is cute"


@dataclass(frozen=True)
class Mark:
    """Figures that others have published of a checkpoint.

    checkpoint  OWNER/NAME
    kind        as for families.load
    what        is compared, in words
    compute     (model, folder) -> a list of whole numbers, ids say, or a tensor of the shape of `figures`
    figures     the same as published
    decimals    to which they were rounded; None: they are whole numbers, and must be equal
    """

    checkpoint: str
    kind: str
    what: str
    compute: Callable
    figures: list
    decimals: int | None = 4


def difference(mark, folder):
    """What a model in a folder computes otherwise than was published, in one line; None if it is the same."""
    model = families.load(folder, mark.kind, missing_head="error")
    with torch.no_grad():
        found = mark.compute(model, folder)
    return compare(mark, found)


def compare(mark, found):
    """The same for what was computed."""
    begin = f"{mark.checkpoint}: {mark.what}"
    if mark.decimals is None:
        if found == mark.figures:
            return None
        pairs = enumerate(zip(found, mark.figures))
        place = next((place for place, (one, other) in pairs if one != other), min(len(found), len(mark.figures)))
        return f"{begin}: otherwise from place {place}: {found[place:][:5]}, published: {mark.figures[place:][:5]}"
    wanted = torch.tensor(mark.figures, dtype=torch.float64)
    if found.shape != wanted.shape:
        return f"{begin}: the shape is {list(found.shape)}, published: {list(wanted.shape)}"
    allowed = allowance(wanted, mark.decimals)
    off = (found.double() - wanted).abs()
    if (off <= allowed).all():  # NaN is not
        return None
    place = int(torch.where(off.isnan(), math.inf, off - allowed).argmax())
    one, other, most = found.flatten()[place], wanted.flatten()[place], allowed.expand_as(off).flatten()[place]
    where = [int(at) for at in torch.unravel_index(torch.tensor(place), off.shape)]
    told = f"at {where} it is {one:.{mark.decimals + 1}f}, published: {other:.{mark.decimals}f}"
    return f"{begin}: {told}, allowed: {most:.1e}; {int((~(off <= allowed)).sum())} of {off.numel()} are off"


def allowance(wanted, decimals):
    """The rounding of published figures, and ALLOWED."""
    return torch.tensor(0.5 * 10.0**-decimals + ALLOWED * max(1.0, wanted.abs().max().item() / 10), dtype=torch.float64)


# What is computed


def greedy(ids, length):
    """The ids that follow, always the most probable one, until there are `length` with the prompt."""
    return lambda model, folder: generate(model, ids, max_tokens=length - len(ids), temperature=0)[0].ids


def hidden_states(folder, model):
    ids = torch.tensor([tokenizers.from_pretrained(folder)(DOG)["input_ids"]])
    return model.decoder(ids)["last_hidden_state"][0]  # [T, D]


def ends_of_rows(model, folder):
    """The first and last three numbers of the first and the last token of the text DOG."""
    x = hidden_states(folder, model)
    return torch.cat([x[[0, -1], :3], x[[0, -1], -3:]], dim=1)  # [2, 6]


def hidden_corner(model, folder):
    return model(torch.tensor([ROBERTA_IDS]))["last_hidden_state"][0, :3, :3]


def logits_corner(model, folder):
    return model(torch.tensor([ROBERTA_IDS]))[0][0, :3, :3]


def class_logits(model, folder):
    return model(torch.tensor([ROBERTA_IDS]))[0]


def log_odds(model, folder):
    """How much more likely the right class is than the other, for two sentences, in nats."""
    tokenizer, found = tokenizers.from_pretrained(folder), []
    for text, label in (("I love you", "POSITIVE"), ("I hate you", "NEGATIVE")):
        p = model.predict_proba(torch.tensor([tokenizer(text)["input_ids"]]))[0].double()
        found.append((p / (1 - p)).log()[model.config.labels.index(label)])
    return torch.stack(found)


def odds(p):
    return math.log(p / (1 - p))


GPT, GPT2, ROBERTA = "openai-community/openai-gpt", "openai-community/gpt2", "FacebookAI/roberta-base"
MNLI, SIEBERT = "FacebookAI/roberta-large-mnli", "siebert/sentiment-roberta-large-english"
MARKS = {
    "gpt-1 writes": Mark(
        GPT, "causal", "the text after three tokens", greedy([481, 4735, 544], 20),
        [246, 963, 870, 762, 239, 244, 40477, 244, 249, 719, 881, 487, 544, 240, 244, 603, 481], None,
    ),
    "gpt-1's sizes": Mark(
        GPT, "causal", f"tokens in {DOG!r}, and hidden size",
        lambda model, folder: list(hidden_states(folder, model).shape), [6, 768], None,
    ),
    "gpt-1 reads": Mark(
        GPT, "causal", f"the hidden states of {DOG!r}", ends_of_rows,
        [[0.4653, 0.0642, 0.5910, 0.1177, -0.0021, -1.2262], [-0.2972, 0.0591, 1.2333, -0.7394, -0.2600, 0.0863]],
    ),
    "gpt-2 writes": Mark(
        GPT2, "causal", "the text after two tokens", greedy([464, 3290], 20),
        [373, 1043, 287, 257, 2214, 1474, 262, 16246, 286, 2688, 290, 2688, 27262, 13, 198, 198, 464, 3290], None,
    ),
    "roberta reads": Mark(
        ROBERTA, "base", "a corner of the hidden states", hidden_corner,
        [[-0.0231, 0.0782, 0.0074], [-0.1854, 0.0540, -0.0175], [0.0548, 0.0799, 0.1687]],
    ),
    "roberta fills in": Mark(
        ROBERTA, "masked", "a corner of the logits", logits_corner,
        [[33.8802, -4.3103, 22.7761], [4.6539, -2.8098, 13.6253], [1.8228, -3.6898, 8.8600]],
    ),
    "roberta-large-mnli infers": Mark(
        MNLI, "classifier", "the logits of its classes", class_logits, [-0.9469, 0.3913, 0.5118]
    ),
    "siebert judges": Mark(
        SIEBERT, "classifier", "the log-odds of love and hate", log_odds, [odds(0.998562), odds(0.999140)], 3
    ),
}  # fmt: skip


@pytest.mark.weights
@pytest.mark.parametrize("name", MARKS)
def test_a_published_checkpoint_gives_the_published_figures(published, name):
    mark = MARKS[name]
    said = difference(mark, published(mark.checkpoint))
    assert said is None, said


# Random models of the same shape


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """stand_in(mark) -> the folder of a small random model of its family, with as many tokens"""

    def write(mark):
        folder = tmp_path_factory.mktemp("stand-in")
        torch.manual_seed(0)
        if mark.checkpoint in (GPT, GPT2):
            write_tokenizer, model_class, size = {
                GPT: (tiny_gpt.write_gpt1, OpenAIGPTLMHeadModel, 40478),
                GPT2: (tiny_gpt.write, GPT2LMHeadModel, 50257),
            }[mark.checkpoint]
            write_tokenizer(folder)
            model_class(tiny_gpt.SIZES | {"vocab_size": size}).save_pretrained(folder)
            return folder
        byte_bpe(folder)
        sizes = {"hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        labels = {MNLI: ("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), SIEBERT: ("NEGATIVE", "POSITIVE")}
        config = RobertaConfig(**sizes, initializer_range=0.5).change(
            **{"labels": labels[mark.checkpoint], "num_labels": len(labels[mark.checkpoint])}
            if mark.checkpoint in labels
            else {}
        )
        families.FAMILIES["roberta"].MODELS[mark.kind](config).save_pretrained(folder)
        return folder

    return write


@pytest.mark.parametrize("name", MARKS)
def test_another_model_differs_in_words_and_its_own_figures_are_the_same(stand_in, name):
    mark = MARKS[name]
    folder = stand_in(mark)
    said = difference(mark, folder)
    assert said.startswith(f"{mark.checkpoint}: {mark.what}: ") and ", published: " in said and "\n" not in said
    with torch.no_grad():
        own = mark.compute(families.load(folder, mark.kind), folder)
    own = own if mark.decimals is None else [round_all(row, mark.decimals) for row in own.tolist()]
    assert difference(replace(mark, figures=own), folder) is None


def round_all(value, decimals):
    return [round(one, decimals) for one in value] if isinstance(value, list) else round(value, decimals)


FIGURES = Mark("o/n", "base", "x", None, [[0.1234, -0.5], [12.0, 0.0]])


def test_what_differs_is_told():
    wanted = torch.tensor(FIGURES.figures)
    assert compare(FIGURES, wanted) is None
    assert compare(FIGURES, wanted + 1.6e-4) is None  # 5e-5 of rounding, and 1.2e-4
    said = compare(FIGURES, wanted - torch.tensor([[0, 0], [0, 2e-4]]))
    assert said == "o/n: x: at [1, 1] it is -0.00020, published: 0.0000, allowed: 1.7e-04; 1 of 4 are off"
    assert "at [0, 1] it is nan" in compare(FIGURES, wanted * torch.tensor([[1, math.nan], [1, 1]]))
    assert "the shape is [2], published: [2, 2]" in compare(FIGURES, wanted[0])
    ids = replace(FIGURES, figures=[5, 6, 7], decimals=None)
    assert compare(ids, [5, 6, 7]) is None
    assert compare(ids, [5, 9, 7]) == "o/n: x: otherwise from place 1: [9, 7], published: [6, 7]"
    assert compare(ids, [5, 6]) == "o/n: x: otherwise from place 2: [], published: [7]"
    assert compare(ids, [5, 6, 7, 8]) == "o/n: x: otherwise from place 3: [8], published: []"


def test_a_checkpoint_is_found_where_the_user_has_it(monkeypatch, tmp_path):
    monkeypatch.setattr(conftest, "CHECKPOINTS", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("minbert.weights.hub.download", lambda *_: pytest.fail("the hub was asked"))
    for name in {mark.checkpoint for mark in MARKS.values()}:
        assert conftest.find_published(name) is None
        folder = tmp_path / name.rpartition("/")[2]
        folder.mkdir()
        assert conftest.find_published(name) == folder
    cached = tmp_path / "cache" / "models--siebert--sentiment-roberta-large-english"
    (tmp_path / "sentiment-roberta-large-english").rmdir()
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("f" * 40)
    snapshot = cached / "snapshots" / ("f" * 40)
    snapshot.mkdir(parents=True)
    for file in ("config.json", "vocab.json", "merges.txt", "model.safetensors"):
        (snapshot / file).write_text("{}")
    assert conftest.find_published(SIEBERT) == snapshot
