"""The last stages of a run: what was predicted is scored, compared with simple systems, and shown.

View serves every kind of answer; ClassView shows more of classes. `view` is the one lookup.
"""

from dataclasses import dataclass, field

import torch

from minbert.errors import UserError
from minbert.metrics import Scores, score
from minbert.runs import findings, plots, report, slices
from minbert.tasks import in_words


@dataclass(frozen=True)
class Figures:
    """The predictions for one file, and how good they are."""

    gold: list  # of each example, as the task has it
    rows: list  # of each example, as the task's columns are
    figures: dict

    @property
    def record(self):
        return self.figures


class View:
    """What is shown of a run. `job` is the Job of minbert/commands/train.py"""

    def values(self, job, examples, gold):
        """{part: {column: its value for each row}}, of the columns by whose values scores are split."""
        return {}

    def score(self, job, gold, rows, targets, logits, labels):
        return Figures(gold, rows, job.task.score(targets, logits, labels))

    def compare(self, job, examples, gold, labels, scored):
        """({name: Baseline}, Verdict) of simple systems that learn from the same training file; ({}, None) without."""
        return {}, None

    def show(self, job, examples, labels, scored, rivals, verdict, values):
        """Show what came out, and return more of it for run.json.

        rivals, verdict  as `compare` returns them
        values           as `values` returns them
        """
        if not scored:
            return {}
        report.say("", "scores")
        for part, found in scored.items():
            report.say(f"{part}: {in_words(found.figures)}")
        part, last = list(scored.items())[-1]
        worst = job.task.furthest(examples[part], last.gold, last.rows)
        if worst:
            report.say(f"furthest off on {part}: line, written, predicted, text")
        for at, figures in worst:
            text = findings.on_one_line(examples[part].joined(" / ")[at])
            line = f"  {examples[part].line(at)}  {figures}  {text}"
            report.say(findings.cut(line, findings.width() - 1))
        return {}


@dataclass(frozen=True)
class Scored:
    """The classes predicted for one file, and how good they are."""

    gold: list  # class ids
    predicted: list  # class ids
    probabilities: torch.Tensor  # [N, C]
    scores: Scores
    more: dict = field(default_factory=dict)  # further figures

    @property
    def right(self):
        """Whether each prediction is right."""
        return [gold == predicted for gold, predicted in zip(self.gold, self.predicted)]

    @property
    def record(self):
        return vars(self.scores) | self.more


class ClassView(View):
    """Of classes: intervals, simple systems, a confusion matrix, accuracy by slices, the surest mistakes."""

    def values(self, job, examples, gold):
        scored = [part for part in ("dev", "test") if part in gold]
        if job.arguments["slices"] and not scored:
            raise UserError("--slices splits scores, and neither --dev nor --test has labels to score")
        how = (job.how.text_column, job.how.no_header, job.how.encoding, job.how.quoting, job.how.pair_column)
        return {part: slices.read(examples[part], job.slices[part], *how) for part in scored if job.slices.get(part)}

    def score(self, job, gold, rows, targets, logits, labels):
        probabilities = logits.softmax(-1)
        predicted = probabilities.argmax(-1).tolist()
        more = job.task.more(gold, predicted, labels)
        return Scored(gold, predicted, probabilities, score(gold, predicted, labels.names), more)

    def compare(self, job, examples, gold, labels, scored):
        if job.no_baseline or not scored or "train" not in examples:
            return {}, None
        from minbert.runs import baseline  # here: what it imports takes a while

        texts = {part: examples[part].joined(" ") for part in ("train", *scored)}
        rivals = baseline.baselines(texts, {part: gold[part] for part in texts}, labels.names)
        part, last = list(scored.items())[-1]
        return rivals, baseline.judge(part, last.gold, last.predicted, rivals)

    def show(self, job, examples, labels, scored, rivals, verdict, values):
        found = {
            column: slices.by_value(
                {part: columns[column] for part, columns in values.items() if column in columns},
                {part: scored[part].right for part in values},
            )
            for column in dict.fromkeys(column for columns in values.values() for column in columns)
        }
        if scored:
            findings.scores({part: each.scores for part, each in scored.items()}, rivals, verdict)
            for part, each in scored.items():
                self.show_more(part, each.more, labels, examples[part])
            part, last = list(scored.items())[-1]
            findings.classes(part, last.scores, labels.names)
            findings.slices(found, list(values))
            findings.mistakes(part, last, examples[part].joined(" / "), labels.names)
        if job.plot:
            for part, each in scored.items():
                plots.confusion_matrix(each.scores.matrix, labels.names, part, job.folder / f"{part}_confusion.svg")
        more = {}
        if rivals:
            from minbert.runs import baseline

            more["baselines"] = baseline.record(rivals, verdict)
        return more | ({"slices": slices.record(found)} if found else {})

    def show_more(self, part, figures, labels, examples):
        """What benchmarks of pairs, and of two classes of which one is rare, count beside the accuracy."""
        if not (examples.pairs or "micro_f1" in figures or ("f1" in figures and figures["majority"] > RARE)):
            return
        words = [f"Matthews {figures['matthews']:.4f}"]
        if "f1" in figures:
            words.append(f"F1 of {findings.on_one_line(labels.names[-1])} {figures['f1']:.4f}")
        if "micro_f1" in figures:
            words.append(f"micro F1 without --null_label {figures['micro_f1']:.4f}")
        words.append(f"of always saying the commonest {figures['majority']:.4f}")
        report.say(f"{part}: {', '.join(words)}")


RARE = 0.6  # the commonest of two classes has more than this share
VIEWS = {"class": ClassView()}


def view(task) -> View:
    """What is shown of a task's runs."""
    return VIEWS.get(task.kind, VIEW)


VIEW = View()
