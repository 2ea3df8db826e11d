"""The last stages of a run whose answers are no classes: numbers, or any number of labels. `job` is train's Job."""

from dataclasses import dataclass
from types import SimpleNamespace

from minbert.atomic import atomic_write
from minbert.metrics import paired
from minbert.runs import findings, report
from minbert.tasks import BY_PROBLEM, in_words

FURTHEST = 5  # rows that are shown


@dataclass(frozen=True)
class Figures:
    """The predictions for one file, and how good they are."""

    gold: list  # as the task's targets are
    rows: list  # as the task's columns are
    figures: dict

    @property
    def scores(self):
        return SimpleNamespace(**self.figures)


def evaluate(job, model, part, examples, gold, logits, labels):
    """Write the predictions for one file, in both forms. Returns Figures, or None without gold answers."""
    task = BY_PROBLEM[model.config.problem_type]
    header, rows = task.columns(logits, labels)
    written = [""] * len(rows) if gold is None else examples.labels
    path = job.folder / f"{part}_predictions.csv"
    with atomic_write(path) as new, open(new, "w", newline="", encoding="utf-8") as stream:
        write = report.csv_writer(stream, job.excel_safe)
        write(["text", *["pair"] * bool(examples.pairs), "gold", *header])
        for number, row in enumerate(rows):
            texts = examples.texts[number : number + 1] + examples.pairs[number : number + 1]
            write([*texts, written[number], *map(report.nine_digits, row)])
    with atomic_write(job.course_files[part]) as new:
        pairs = zip(rows, examples.texts)
        lines = (f"{report.nine_digits(row[0])} ||| {' '.join(text.split())}\n" for row, text in pairs)
        new.write_text("".join(lines), encoding="utf-8")
    if gold is None:
        return None
    paired(gold, rows)
    return Figures(gold, rows, task.score(gold, logits, labels))


def show(scored, examples):
    """The scores of each part, and of the last the rows that are furthest off."""
    report.say("", "scores")
    for part, found in scored.items():
        report.say(f"{part}: {in_words(found.figures)}")
    part, last = list(scored.items())[-1]
    if not isinstance(last.gold[0], float):
        return
    off = sorted(range(len(last.gold)), key=lambda row: -abs(last.gold[row] - last.rows[row][0]))[:FURTHEST]
    report.say(f"furthest off on {part}: line, written, predicted, text")
    for row in off:
        texts = examples[part].texts[row : row + 1] + examples[part].pairs[row : row + 1]
        text = findings.on_one_line(" / ".join(texts))
        begin = f"  {examples[part].lines[row]}  {last.gold[row]:g}  {last.rows[row][0]:.4g}  "
        report.say(findings.cut(begin + text, findings.width() - 1))
