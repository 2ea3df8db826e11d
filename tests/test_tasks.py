"""Each kind of answer, with tensors that can be counted by hand: targets, batches, losses, scores, predictions."""

import pytest
import torch

from minbert import BertSentClassifier, fast
from minbert.batch import pad
from minbert.errors import UserError
from minbert.families import bert
from minbert.files.conll import Sentences
from minbert.files.examples import Examples
from minbert.files.labels import LabelSet
from minbert.files.squad import Questions
from minbert.tasks import BY_PROBLEM, TASKS, Spans, Tags
from minbert.token_heads import NO_LABEL, span_loss

AB = LabelSet.declare(["a", "b"])


def examples(*rows, pairs=()):
    found = Examples("train.csv", "table")
    for line, (text, label) in enumerate(rows, start=2):
        found.add(line, text, label)
    found.pairs = list(pairs)
    return found


def quotient(task, logits, labels, weight=None):
    total, count = task.loss(logits, labels, weight)
    assert torch.allclose(total / count, task.mean(logits, labels, weight))
    return total / count


def test_each_problem_of_a_config_has_its_task():
    assert {task.problem for task in TASKS.values() if task.problem} == BY_PROBLEM.keys() and len(BY_PROBLEM) == 3
    for task in TASKS.values():
        assert bert.MODELS[task.head].architecture == "Bert" + task.of and task.best and task.title


@pytest.mark.parametrize("kind", ["class", "number", "several"])
def test_the_loss_of_a_batch_is_the_model_s_own_and_adds_up_over_processes(tiny, kind):
    task = TASKS[kind]
    labels = LabelSet.declare(["x", "y", "z"])
    torch.manual_seed(1)
    model = BertSentClassifier(tiny.change(**{"num_labels": 3, "initializer_range": 0.5} | task.changes(labels)))
    wanted = {"class": [2, 0, 1], "number": [4.0, 1.5, 2.5], "several": [[1, 0, 1], [0, 0, 0], [0, 1, 0]]}[kind]
    targets = task.collate(wanted, [0, 1, 2], 4)
    ids = torch.tensor([[2, 5, 6, 3], [2, 9, 10, 3], [2, 9, 7, 3]])
    with torch.no_grad():
        output = model(ids, labels=targets)
    assert torch.allclose(quotient(task, output["logits"], targets), output["loss"])
    halves = [task.loss(output["logits"][part], targets[part]) for part in (slice(0, 1), slice(1, 3))]
    assert torch.allclose(sum(total for total, _ in halves) / sum(count for _, count in halves), output["loss"])


# Classes


def test_classes():
    task, found = TASKS["class"], examples(("one", "a"), ("two", "b"), ("three", "c"), ("four", "b"))
    assert task.labels(examples(("one", "b"), ("two", "a"), ("three", "a"), ("four", "b"))).names == ("a", "b")
    assert task.gold(found, AB) == [0, 1, 1] and found.problems[0][0] == 4
    assert task.collate([0, 1, 1], [2, 0], 9).tolist() == [1, 0]
    logits = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    figures = task.score([0, 1, 1], logits, AB)
    assert figures == {
        "accuracy": pytest.approx(2 / 3), "macro_f1": pytest.approx(2 / 3), "matthews": pytest.approx(0.5),
        "f1": pytest.approx(2 / 3), "majority": pytest.approx(2 / 3),
    }  # fmt: skip
    assert task.value(figures) == figures["accuracy"]
    header, rows = task.columns(logits, AB)
    assert header == ["predicted", "p_a", "p_b"] and [row[0] for (row,) in rows] == ["a", "a", "b"]
    assert rows[0][0][1] == pytest.approx(1 / (1 + 2.718281828**-2))


def test_weights_of_classes_weigh_the_mean():
    logits, labels = torch.randn(3, 2), torch.tensor([0, 1, 1])
    weight = torch.tensor([3.0, 1.0])
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weight)
    assert torch.allclose(quotient(TASKS["class"], logits, labels, weight), expected)


def test_a_third_class_has_no_f1_of_its_own():
    labels = LabelSet.declare(["a", "b", "c"])
    assert "f1" not in TASKS["class"].score([0, 2], torch.eye(3)[[0, 2]], labels)


# Numbers


def test_numbers():
    task, found = TASKS["number"], examples(("one", "3.5"), ("two", "-2"), ("three", "1e-2"), ("four", ".5"))
    assert task.gold(found) == [3.5, -2.0, 0.01, 0.5] and found.problems == []
    assert task.changes(()) == {"problem_type": "regression", "labels": (), "num_labels": 1}
    labels = task.collate([3.5, -2.0, 0.0], [2, 0], 9)
    assert labels.tolist() == [0.0, 3.5] and labels.dtype == torch.float32
    assert quotient(task, torch.tensor([[1.0], [3.0]]), labels).item() == pytest.approx((1 + 0.25) / 2)
    figures = task.score([1.0, 2.0, 3.0, 6.0], torch.tensor([[2.0], [4.0], [6.0], [12.0]]))
    assert figures["pearson"] == pytest.approx(1) and figures["spearman"] == pytest.approx(1)
    assert figures["error"] == pytest.approx((1 + 4 + 9 + 36) ** 0.5 / 2)
    assert figures["error_of_mean"] == pytest.approx((4 + 1 + 0 + 9) ** 0.5 / 2)
    assert task.columns(torch.tensor([[2.5], [4.0]])) == (["predicted"], [[[2.5]], [[4.0]]])


@pytest.mark.parametrize("label", ["1,000", "3,5", "nan", "inf", "good", "1e99", "0x10", "1_000", "--1", "٣"])
def test_what_is_no_number_is_a_line(label):
    found = examples(("one", "3.5"), ("two", label))
    if label == "٣":
        assert TASKS["number"].gold(found) == [3.5, 3.0]  # Arabic digits are digits
        return
    assert TASKS["number"].gold(found) == [3.5] and found.texts == ["one"]
    assert found.problems == [(3, f"{label!r} is no number such as 3.5")]


def test_a_constant_has_no_correlation_and_is_never_the_best():
    task = TASKS["number"]
    figures = task.score([1.0, 2.0], torch.tensor([[3.0], [3.0]]))
    assert figures["pearson"] is None and figures["spearman"] is None
    assert task.value(figures) < -1 and figures["error"] == pytest.approx((4 + 1) ** 0.5 / 2**0.5)


def test_numbers_start_at_their_mean(tiny):
    model = BertSentClassifier(tiny.change(num_labels=1, problem_type="regression", initializer_range=1e-6))
    TASKS["number"].prepare(model, [1.0, 2.0, 6.0])
    assert model(torch.tensor([[2, 5, 3]])).item() == pytest.approx(3.0, abs=1e-3)


def test_numbers_have_no_classes_to_weigh():
    with pytest.raises(UserError, match="class_weights"):
        TASKS["number"].loss(torch.zeros(2, 1), torch.zeros(2), torch.ones(1))


# Several labels


def test_several():
    task = TASKS["several"]
    rows = [("1", "joy|fear"), ("2", "fear"), ("3", "none"), ("4", "joy"), ("5", "-"), ("6", "joy | fear")]
    found = examples(*rows)
    labels = task.labels(found)
    assert labels.names == ("fear", "joy")
    assert task.gold(found, labels) == [[1, 1], [1, 0], [0, 0], [0, 1], [0, 0], [1, 1]]
    batch = task.collate([[1, 0], [0, 0]], [1, 0], 9)
    assert batch.tolist() == [[0, 0], [1, 0]] and batch.dtype == torch.float32
    logits = torch.tensor([[3.0, -1.0], [2.0, 2.0], [-1.0, -1.0]])
    figures = task.score([[1, 0], [0, 1], [0, 0]], logits, labels)
    assert figures == {
        "micro_f1": pytest.approx(0.8), "macro_f1": pytest.approx((2 / 3 + 1) / 2), "exact": pytest.approx(2 / 3),
        "exact_without_labels": pytest.approx(1 / 3),
    }  # fmt: skip
    header, rows = task.columns(logits, labels)
    assert header == ["predicted", "p_fear", "p_joy"]
    assert [row[0] for (row,) in rows] == ["fear", "fear|joy", "none"] and rows[0][0][1] == pytest.approx(0.9525741)


def test_a_label_that_training_never_saw_is_a_line():
    found = examples(("1", "a"), ("2", "a|c|b"), ("3", "b"))
    assert TASKS["several"].gold(found, AB) == [[1, 0], [0, 1]]
    assert found.problems == [(3, "label 'c' is not one of: a, b")]


def test_labels_joined_in_another_way_are_asked_about():
    rows = [("1", "joy, anger"), ("2", "joy"), ("3", "anger"), ("4", "joy, fear")]
    with pytest.raises(UserError, match="several labels"):
        TASKS["several"].labels(examples(*rows))


# Pairs


def test_pairs_are_read_with_the_second_segment(tokenizer):
    found = examples(("good film", "a"), ("bad", "b"), pairs=["bad film", "not good"])
    encoding = TASKS["class"].encode(found, tokenizer, 20).encoding
    assert encoding["token_type_ids"][0] == [0, 0, 0, 0, 1, 1, 1]
    one = TASKS["class"].encode(found, tokenizer, 20, segments=1).encoding
    assert one["token_type_ids"][0] == [0] * 7 and one["input_ids"] == encoding["input_ids"]
    cut = TASKS["class"].encode(found, tokenizer, 6)
    assert cut.cut == 1 and [len(row) for row in cut.encoding["input_ids"]] == [6, 6]


# Tags

LONG = ["wonderful", "unaffable", "film", ",", "not", "wonderful"]


def sentences():
    return Sentences(
        "train.conll",
        words=[["good", "films"], LONG],
        tags=[["O", "B-X"], ["B-Y", "I-Y", "O", "O", "B-X", "I-X"]],
        lines=[[1, 2], [4, 5, 6, 7, 8, 9]],
    )


NAMES = LabelSet(*[("O", "B-X", "I-X", "B-Y", "I-Y")] * 2)


def tagged(tokenizer, longest=8):
    task, found = TASKS["tags"], sentences()
    encoded = task.encode(found, tokenizer, longest)
    return task, found, encoded, task.targets(found, task.gold(found, NAMES), NAMES, encoded)


def test_tags_stand_at_the_first_pieces_of_words(tokenizer):
    task, found, encoded, targets = tagged(tokenizer)
    assert task.labels(found) == NAMES and encoded.owners == [0, 1, 1]
    assert targets[0].tags == [NO_LABEL, 0, 1, NO_LABEL, NO_LABEL]  # [CLS] good film ##s [SEP]
    assert all(len(target.tags) == len(row) for target, row in zip(targets, encoded.encoding["input_ids"]))
    batch = task.collate(targets, [0, 1], 8)
    assert batch.shape == (2, 8) and (batch[0, 5:] == NO_LABEL).all()
    logits = torch.randn(2, 8, 5)
    log_p = [
        logits[row, at].log_softmax(-1)[batch[row, at]] for row in (0, 1) for at in range(8) if batch[row, at] >= 0
    ]
    assert torch.allclose(quotient(task, logits, batch), -torch.stack(log_p).mean())


def perfect(targets):
    """Logits of each window that give every word its tag, and other tokens the last one."""
    return [torch.eye(5)[[4 if tag == NO_LABEL else tag for tag in target.tags]] for target in targets]


def test_every_word_of_a_long_sentence_is_scored(tokenizer):
    task, _, _, targets = tagged(tokenizer)
    logits = perfect(targets)
    figures = task.score(targets, logits, NAMES)
    assert figures["micro_f1"] == figures["strict_micro_f1"] == figures["right_words"] == 1
    logits[-1] = torch.eye(5)[[0] * len(logits[-1])]  # the last window's words become O
    figures = task.score(targets, logits, NAMES)
    assert figures["micro_f1"] == pytest.approx(2 * 2 / (2 + 3)) and figures["recall"] == pytest.approx(2 / 3)
    assert figures["precision"] == 1 and figures["right_words"] == 6 / 8


def test_the_two_readings_stand_side_by_side(tokenizer):
    task, _, _, targets = tagged(tokenizer)
    logits = perfect(targets)
    logits[0][2] = torch.eye(5)[2]  # I-X, and no B-X before it
    figures = task.score(targets, logits, NAMES)
    assert figures["micro_f1"] == 1 and figures["strict_micro_f1"] == pytest.approx(2 * 2 / (3 + 2))
    assert figures["f1_Y"] == 1 and figures["right_words"] == 7 / 8


def test_predicted_tags_by_word(tokenizer):
    task, found, encoded, targets = tagged(tokenizer)
    header, rows = task.columns(perfect(targets), NAMES, targets)
    assert header == ["word", "predicted"]
    assert rows == [[list(pair) for pair in zip(*sides)] for sides in zip(found.words, found.tags)]
    assert task.plain(found, rows, NAMES).startswith("good O O\nfilms B-X B-X\n\nwonderful B-Y B-Y\n")
    assert task.cells(header, rows[1]) == [
        "Y wonderful unaffable  X not wonderful",
        "wonderful B-Y  unaffable I-Y  film O  , O  not B-X  wonderful I-X",
    ]
    found.tags = []
    unknown = task.targets(found, None, NAMES, encoded)
    assert unknown[0].tags is None and task.columns(perfect(targets), NAMES, unknown)[1] == rows


def test_an_unknown_tag_is_said_with_its_line(tokenizer):
    task, found = Tags(), sentences()
    found.tags[0][1] = "O"
    names = ("O", "B-Y", "I-Y")
    assert task.gold(found, LabelSet(names, names)) == [["O", "O"]] and found.words == [["good", "films"]]
    assert found.problems[0] == (8, "tag 'B-X' is not one of: O, B-Y, I-Y")


def test_a_tagger_learns_its_tags(tiny, tokenizer):
    """From encoding to score: the whole way that training takes."""
    task, _, encoded, targets = tagged(tokenizer)
    torch.manual_seed(0)
    model = bert.MODELS[task.head](tiny.change(num_labels=5, **task.changes(NAMES))).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    rows = range(len(targets))
    ids = pad(encoded.encoding["input_ids"], 0)
    mask, labels = pad(encoded.encoding["attention_mask"], 0), task.collate(targets, rows, ids.size(1))
    for _ in range(60):
        optimizer.zero_grad()
        total, count = task.loss(model(ids, mask), labels)
        (total / count).backward()
        optimizer.step()
    with torch.no_grad():
        logits = list(fast.swap_in(model.eval())(ids, mask))
    assert task.score(targets, logits, NAMES)["micro_f1"] == 1


# Answers

PASSAGE = "The film was good , the plot was bad . Not wonderful !"


def questions():
    at = PASSAGE.index("plot")
    return Questions(
        "train.json",
        ids=["one", "two"],
        texts=["Was the plot bad", "Was it un"],
        pairs=[PASSAGE, PASSAGE],
        answers=[[(at, at + 4), (at, at + 8)], []],
        numbers=[1, 2],
    )


def asked(tokenizer, **options):
    task, found = Spans(overlap=3, **options), questions()
    encoded = task.encode(found, tokenizer, 14)
    return task, found, encoded, task.targets(found, task.gold(found), (), encoded)


def pointing(targets, places):
    """Logits of each window, [2, T], high at places, {window: (first, last)}, or else at its first token."""
    found = []
    for number, target in enumerate(targets):
        logits = torch.full((2, len(target.window.input_ids)), -5.0)
        first, last = places.get(number, (0, 0))
        logits[0, first] = logits[1, last] = 5.0
        found.append(logits)
    return found


def test_answers_are_learnt_where_they_stand(tokenizer):
    task, _, encoded, targets = asked(tokenizer)
    assert encoded.owners == [target.example for target in targets] and len(targets) > 4
    batch = task.collate(targets, range(len(targets)), 14)
    for target, (first, last, tokens) in zip(targets, batch.tolist()):
        assert tokens == len(target.window.input_ids)
        if first:
            assert target.example == 0 and first == last
            assert PASSAGE[slice(*target.window.offsets[first])] == "plot"
    assert 0 < (batch[:, 0] > 0).sum() < len(targets)
    logits = torch.randn(2, 2, 14)
    assert torch.allclose(quotient(task, logits, batch[:2]), span_loss(logits, batch[:2, :2], batch[:2, 2])[0] / 2)


def test_answers_are_slices_of_their_passage_and_scored_against_all_gold_ones(tokenizer):
    task, _, _, targets = asked(tokenizer, none=True)
    at = max(number for number, target in enumerate(targets) if target.first)
    first = targets[at].first
    logits = pointing(targets, {at: (first, first + 1)})  # "plot was": the second gold answer
    for number, target in enumerate(targets):
        if target.example == 0 and number != at:
            logits[number][:, 0] = -9.0
    figures = task.score(targets, logits)
    assert figures == {
        "exact_match": 1, "f1": 1, "f1_with_answer": 1, "seen_without_answer": 1, "exact_match_of_none": 0.5,
    }  # fmt: skip
    assert task.columns(logits, (), targets) == (
        ["id", "predicted", "start"],
        [[["one", "plot was", PASSAGE.index("plot was")]], [["two", "", ""]]],
    )


def test_where_every_question_has_an_answer_one_is_always_given(tokenizer):
    task, _, _, targets = asked(tokenizer)
    found = task.answers(targets, pointing(targets, {}))
    assert [id for id, _, _ in found] == ["one", "two"] and all(answer for _, answer, _ in found)
    assert "seen_without_answer" not in task.score(targets, pointing(targets, {}))


def test_a_question_without_room_is_said_with_its_number(tokenizer):
    found = questions()
    found.texts[1] = "good " * 12
    with pytest.raises(UserError, match=r"train.json:2: the question"):
        Spans(overlap=3).encode(found, tokenizer, 14)
