"""A teacher whose vocabulary is not the student's: which vector belongs to which word, and where embeddings begin."""

import numpy as np
import pytest
import torch

import minbert.pretraining.teacher
from minbert import BertForMaskedLM, BertModel, BertTokenizer
from minbert.pretraining.corpus import TokenFile, pack
from minbert.pretraining.fit import Pretraining
from minbert.pretraining.objective import Objective
from minbert.pretraining.settings import Settings
from minbert.pretraining.teacher import Teacher, mean_of_words
from tests.conftest import VOCAB

THEIRS = [  # unaffable is one piece here and three there, film the other way round
    *(
        "[CLS]",
        "[SEP]",
        "[UNK]",
        "[PAD]",
        "[MASK]",
        "unaffable",
        "able",
        "fi",
        "##lm",
        "wonder",
        "##ful",
        "the",
        "good",
    ),
    *(".", "p", "##lot", "s", "un", "aff", "[", "]", "sep", "0", "1", "#", "a"),
]


@pytest.fixture
def teacher(tiny):
    """A teacher with large random weights, so that every piece changes every vector."""
    torch.manual_seed(1)
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "vocab_size": len(THEIRS), "initializer_range": 0.5}
    return Teacher(BertModel(tiny.change(**sizes)), BertTokenizer(THEIRS))


@pytest.fixture
def packed(tmp_path, tokenizer):
    pack(["the film was good"] * 60, tokenizer, tmp_path / "train.ids", tmp_path / "heldout.ids")
    return TokenFile(tmp_path / "train.ids", tokenizer, 8)


def rows(tokenizer, *texts):
    """Pieces as they are written here, a row each"""
    return np.array([tokenizer.convert_tokens_to_ids(text.split()) for text in texts])


def alone(teacher, pieces):
    """The teacher's last hidden states of its own pieces, unpadded: [T, D]"""
    ids = torch.tensor([teacher.tokenizer.convert_tokens_to_ids(pieces)])
    return teacher.model(ids)["last_hidden_state"][0]


def test_the_mean_of_each_word_by_hand():
    x = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]], [[7.0, 8.0], [0.0, 1.0], [9.0, 9.0]]])
    unit = torch.tensor([[-1, 0, 0], [3, -1, 2]])
    assert mean_of_words(x, unit, 5).tolist() == [[4.0, 2.0], [0.0, 0.0], [9.0, 9.0], [7.0, 8.0], [0.0, 0.0]]


def test_each_word_has_the_mean_of_the_teachers_vectors_for_its_pieces(teacher, tokenizer, packed):
    given = rows(
        tokenizer,
        "[CLS] the un ##aff ##able film . [SEP] plot [SEP]",
        "[CLS] film good [SEP] a [UNK] 1 [SEP] [UNK] [SEP]",
    )
    target, place = teacher.word_vectors(given, packed, tokenizer)
    assert place.tolist() == [[-1, 0, 1, 1, 1, 2, 3, -1, 4, -1], [-1, 5, 6, -1, 7, -1, 8, -1, -1, -1]]
    first = alone(teacher, ["[CLS]", "the", "unaffable", "fi", "##lm", ".", "p", "##lot"])
    second = alone(teacher, ["[CLS]", "fi", "##lm", "good", "a", "1"])
    expected = [first[1], first[2], first[3:5].mean(0), first[5], first[6:8].mean(0)]
    expected += [second[1:3].mean(0), *second[3:]]
    assert target.shape == (9, 8)
    assert (target - torch.stack(expected)).abs().max() < 1e-5
    assert not target.requires_grad


def test_a_row_may_begin_in_the_middle_of_a_word(teacher, tokenizer, packed):
    given = rows(tokenizer, "[CLS] ##aff ##able film [SEP]", "[CLS] film [SEP] ##s [SEP]")  # the second: cut by pairs
    target, place = teacher.word_vectors(given, packed, tokenizer)
    assert place.tolist() == [[-1, 0, 0, 1, -1], [-1, 2, -1, 3, -1]]
    first = alone(teacher, ["[CLS]", "[UNK]", "fi", "##lm"])  # the word affable
    second = alone(teacher, ["[CLS]", "fi", "##lm", "s"])
    assert (target[0] - first[1]).abs().max() < 1e-5
    assert (target[1] - first[2:4].mean(0)).abs().max() < 1e-5
    assert (target[3] - second[3]).abs().max() < 1e-5


def test_what_the_teacher_cannot_read_has_no_vector(tiny, tokenizer, packed):
    torch.manual_seed(1)
    short = tiny.change(vocab_size=len(THEIRS), max_position_embeddings=4, initializer_range=0.5)
    teacher = Teacher(BertModel(short), BertTokenizer(THEIRS))
    given = rows(
        tokenizer, "[CLS] the film good . [SEP]", "[CLS] the the film . [SEP]", "[CLS] [UNK] [UNK] [UNK] [UNK] [SEP]"
    )
    target, place = teacher.word_vectors(given, packed, tokenizer)
    assert place.max() == 7
    assert target.any(dim=-1).tolist() == [True, True, False, False, True, True, True, False]
    seen = alone(teacher, ["[CLS]", "the", "the", "fi"])  # of film the first piece alone
    assert (target[6] - seen[3]).abs().max() < 1e-5


def test_words_forgotten_on_the_way_are_looked_up_again(teacher, tokenizer, packed, monkeypatch):
    given = packed.rows(np.random.default_rng(0), 4, 8)
    expected, _ = teacher.word_vectors(given, packed, tokenizer)
    monkeypatch.setattr(minbert.pretraining.teacher, "REMEMBERED", 2)
    teacher.ids.clear()
    assert torch.equal(teacher.word_vectors(given, packed, tokenizer)[0], expected)
    assert len(teacher.ids) <= 2


def test_rows_without_a_word(teacher, tokenizer, packed):
    target, place = teacher.word_vectors(rows(tokenizer, "[CLS] [UNK] [SEP]"), packed, tokenizer)
    assert target.shape == (0, 8)
    assert place.tolist() == [[-1, -1, -1]]


# Where a student's embeddings begin


def features(teacher, tokens):
    """What the teacher puts in and gets out for each token alone, centred and of equal weight: [V, 2 D]"""
    halves = [[], []]
    for token in tokens:
        ids = teacher.tokenizer.encode(token)
        halves[0].append(teacher.model.embeddings.token.weight[ids].mean(0))
        halves[1].append(teacher.model(torch.tensor([ids]))["last_hidden_state"][0].mean(0))
    centred = [torch.stack(half) - torch.stack(half).mean(0) for half in halves]
    return torch.cat([half / half.norm(dim=1).mean() for half in centred], dim=1)


@pytest.fixture
def student(tiny):
    torch.manual_seed(2)
    return BertForMaskedLM(tiny)


@torch.no_grad()
def test_tokens_begin_where_the_teachers_principal_components_are(tiny, teacher, tokenizer):
    """Rows U S^1/2, whose products are the root of the products of the teacher's rows, whatever the signs of U."""
    torch.manual_seed(2)
    student = BertForMaskedLM(tiny.change(hidden_size=30))
    teacher.initialize(student, tokenizer)
    weights = student.bert.embeddings.token.weight[5:, :16]  # as many as the teacher's 2 * 8
    ours = (weights @ weights.T).double()
    theirs = features(teacher, [token.removeprefix("##") for token in VOCAB[5:]]).double()
    theirs = theirs @ theirs.T
    assert (ours @ ours / (ours @ ours).norm() - theirs / theirs.norm()).abs().max() < 1e-5


def test_only_the_first_components_fit_into_a_small_student(student, teacher, tokenizer):
    before = student.bert.embeddings.token.weight.detach().clone()
    teacher.initialize(student, tokenizer)
    after = student.bert.embeddings.token.weight.detach()
    assert after.shape == before.shape == (len(VOCAB), 15)
    assert after.isfinite().all()
    assert torch.equal(after[:5], before[:5])  # special tokens
    assert (after[5:] != before[5:]).all(dim=1).all()
    size = student.config.initializer_range * 15**0.5  # as long as they were
    assert after[5:].norm(dim=1).mean().item() == pytest.approx(size, rel=1e-4)
    energy = after[5:].square().sum(0)
    assert (energy[:-1] >= energy[1:] - 1e-7).all()  # the largest component first


def test_a_large_student_keeps_its_own_numbers_where_the_teacher_has_none(tiny, teacher, tokenizer):
    torch.manual_seed(2)
    student = BertForMaskedLM(tiny.change(hidden_size=30))
    before = student.bert.embeddings.token.weight.detach().clone()
    teacher.initialize(student, tokenizer)
    after = student.bert.embeddings.token.weight.detach()
    assert torch.equal(after[:, 16:], before[:, 16:])
    assert (after[5:, :15] != before[5:, :15]).all()


def test_a_piece_within_a_word_begins_as_the_same_letters_do(tiny, teacher):
    tokenizer = BertTokenizer([*VOCAB, "s"])
    student = BertForMaskedLM(tiny.change(vocab_size=len(VOCAB) + 1))
    teacher.initialize(student, tokenizer)
    weights = student.bert.embeddings.token.weight
    assert (weights[VOCAB.index("##s")] - weights[-1]).abs().max() < 1e-5
    assert (weights[VOCAB.index("good")] - weights[-1]).abs().max() > 1e-3


def test_only_the_embeddings_are_given(student, teacher, tokenizer):
    before = {name: value.clone() for name, value in student.state_dict().items()}
    teacher.initialize(student, tokenizer)
    changed = {name for name, value in student.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"bert.embeddings.token.weight"}
    assert student.bert.embeddings.token.weight.requires_grad


def test_many_tokens_are_read_in_batches(tiny, teacher):
    vocab = [*VOCAB[:5], *THEIRS[5:], *(f"1{number}" for number in range(600))]
    student = BertForMaskedLM(tiny.change(vocab_size=len(vocab)))
    teacher.initialize(student, BertTokenizer(vocab))
    theirs = features(teacher, [token.removeprefix("##") for token in vocab[5:]]).double()
    sizes = torch.linalg.svdvals(theirs)[:15]  # each the square of a column's length, but for the scale
    energy = student.bert.embeddings.token.weight[5:].detach().double().square().sum(0)
    assert (energy / energy.sum() - sizes / sizes.sum()).abs().max() < 1e-4


# A student of the teacher's sizes inherits its layers


@pytest.fixture
def heir(tiny, teacher):
    torch.manual_seed(2)
    theirs = teacher.model.config
    return BertForMaskedLM(theirs.change(vocab_size=len(VOCAB), num_hidden_layers=1, max_position_embeddings=20))


@torch.no_grad()
def test_an_heir_computes_what_the_teachers_first_layers_compute(heir, teacher, tokenizer):
    assert len(teacher.model.encoder.layers) > 1
    teacher.bequeath(heir, tokenizer)
    ours = torch.tensor([tokenizer.convert_tokens_to_ids(["[CLS]", "the", "good", ".", "[SEP]"])])
    theirs = torch.tensor([teacher.tokenizer.convert_tokens_to_ids(["[CLS]", "the", "good", ".", "[SEP]"])])
    expected = teacher.model(theirs, output_hidden_states=True)["hidden_states"]
    found = heir.bert(ours, output_hidden_states=True)["hidden_states"]
    assert all((a - b).abs().max() < 1e-6 for a, b in zip(found, expected[:2], strict=True))


@torch.no_grad()
def test_a_token_that_the_teacher_lacks_starts_as_the_mean_of_its_pieces(heir, teacher, tokenizer):
    teacher.bequeath(heir, tokenizer)
    ours, theirs = heir.bert.embeddings.token.weight, teacher.model.embeddings.token.weight
    pieces = teacher.tokenizer.convert_tokens_to_ids(["fi", "##lm"])
    assert torch.equal(ours[VOCAB.index("film")], theirs[pieces].mean(0))
    assert torch.equal(ours[VOCAB.index("[MASK]")], theirs[teacher.tokenizer.mask_token_id])


def test_the_map_to_the_teacher_starts_as_it_is_if_the_sizes_are_equal(heir, teacher, tokenizer):
    objective = Objective(heir, tokenizer, Settings(), teacher)
    x = torch.randn(3, 8)
    assert torch.equal(objective.project(x), x)


def test_new_heads_on_an_old_encoder_learn_five_times_as_fast(heir, teacher, tokenizer):
    for new_head, head_rate in ((True, 0.005), (False, 0.001)):
        objective = Objective(heir, tokenizer, Settings(), teacher, new_head)
        task = Pretraining(objective, None, None, Settings(steps=1), "cpu", plain=True)
        task.set_rate(0.001)
        rates = {id(weight): group["lr"] for group in task.optimizer.param_groups for weight in group["params"]}
        for name, weight in objective.named_parameters():
            expected = head_rate if name.startswith("model.predictions") else 0.001
            assert rates.pop(id(weight)) == pytest.approx(expected), name
        assert not rates
