"""What a run has found, for the screen: scores beside those of simple systems, slices, mistakes, what to do next."""

import shutil
import unicodedata

from minbert.metrics import places
from minbert.runs import report

WIDTH = 100  # of a screen, where nobody says it
MISTAKES = 10
LONGEST = 30  # places that the value of a slice may take
KEYS = ("precision", "recall", "f1-score")  # of a class, in metrics.Scores.table
JOINERS = "\u200c\u200d"  # invisible, but part of words and emoji


def width():
    return max(40, shutil.get_terminal_size((WIDTH, 24)).columns)


def on_one_line(text):
    """The text with control characters, line breaks among them, as escapes: nothing in it moves the cursor."""

    def shown(char):
        if char.isprintable() or char in JOINERS:
            return char
        return " " if unicodedata.category(char) == "Zs" else char.encode("unicode_escape").decode()

    return text if text.isprintable() else "".join(map(shown, text))


def cut(text, most):
    """The text if it takes up to `most` places in a terminal; or else its beginning and …"""
    if places(text) <= most:
        return text
    end, taken = 0, 1  # of …
    for char in text:
        taken += places(char)
        if taken > most:
            break
        end += 1
    return text[:end].rstrip() + "…"


def shown_score(scores):
    accuracy, f1 = ("{:.3f}-{:.3f}".format(*pair) for pair in (scores.accuracy_interval, scores.macro_f1_interval))
    return f"accuracy {scores.accuracy:.4f} ({accuracy}), macro F1 {scores.macro_f1:.4f} ({f1})"


def scores(found, rivals, verdict):
    """A line for each part, below it one for each baseline, and what that says of the model.

    found    {part: metrics.Scores}
    rivals   {name: baseline.Baseline}, or {}
    verdict  baseline.Verdict, or None
    """
    beside = "; under each, those of simple systems trained on the same texts" if rivals else ""
    report.say("", f"scores (with 95% intervals){beside}")
    for part, figures in found.items():
        report.say(f"{part}: {shown_score(figures)}")
        for rival in rivals.values():
            if part in rival.scores:
                settings = f", C {rival.settings['C']}" if "C" in rival.settings else ""
                line = f"{shown_score(rival.scores[part])}: {on_one_line(rival.name)}{settings}"
                report.say(" " * (len(part) + 2) + line)
    for rival in rivals.values():
        if rival.skipped:
            report.say(f"no score of {rival.name}: {rival.skipped}")
    if verdict:
        report.say(judgement(verdict))


def judgement(verdict):
    """A baseline.Verdict in a sentence."""
    low, high = (100 * limit for limit in verdict.interval)
    how = {"better": "clearly better", "worse": "worse"}.get(verdict.word, "not clearly better")
    points = f"{100 * verdict.difference:+.1f} points ({low:.1f} to {high:.1f})"
    return f"on {verdict.part} the model is {how} than {on_one_line(verdict.than)}: difference in accuracy {points}"


def classes(part, figures, names):
    """A line for each gold label: precision, recall, F1, and how often it was taken for each label."""
    header = [f"true, {part}", "rows", "precision", "recall", "F1"]
    columns = [f"as {on_one_line(name)}" for name in names]
    rows = [
        [on_one_line(name), str(sum(counts)), *(f"{figures.table[name][key]:.4f}" for key in KEYS), *map(str, counts)]
        for name, counts in zip(names, figures.matrix)
    ]
    widths = [max(places(cell) for cell in column) for column in zip([*header, *columns], *rows)]
    fits = sum(widths) + 2 * len(widths) <= width()
    if fits:
        report.table([*header, *columns], rows, width())
    else:
        report.table(header, [row[: len(header)] for row in rows], width())
        report.say("  (the confusion matrix is too wide for this screen: run.json has it)")


def slices(found, parts):
    """Accuracy by the values of columns, a line each.

    found  {column: what slices.by_value returned}
    parts  the parts in it, in order
    """
    if not found:
        return
    header = ["accuracy by", *(cell for part in parts for cell in (part, "accuracy (95% interval)"))]
    rows = []
    for column, values in found.items():
        for value, figures in values.items():
            cells = [cut(on_one_line(f"{column} {value}"), LONGEST)]
            for part in parts:
                count, right, low, high = figures.get(part, (0, 0, 0, 0))
                cells += [str(count), f"{right / count:.3f} ({low:.2f}-{high:.2f})" if count else "-"]
            rows.append(cells)
    report.table(header, rows, width())


def mistakes(part, scored, texts, names):
    """The mistakes with the highest probability, a line each.

    scored  scored.Scored
    """
    wrong = [row for row, right in enumerate(scored.right) if not right]
    sureness = scored.probabilities.max(-1).values.tolist()
    wrong = sorted(wrong, key=lambda row: -sureness[row])[:MISTAKES]
    if not wrong:
        report.say(f"no mistakes on {part}")
        return
    labels = [[on_one_line(names[ids[row]]) for row in wrong] for ids in (scored.gold, scored.predicted)]
    gold, predicted = ([cell + " " * (max(map(places, column)) - places(cell)) for cell in column] for column in labels)
    report.say(f"surest mistakes on {part}: true label, predicted label and its probability, text")
    for row, *pair in zip(wrong, gold, predicted):
        begin = "  " + "  ".join([*pair, f"{sureness[row]:.3f}", ""])
        report.say(cut(begin + on_one_line(texts[row]), width() - 1))


def next_steps(files, commands):
    """What to look at and what to type.

    files     paths, those that there are will be named
    commands  {what for: a command line}
    """
    if there := [report.short(path) for path in files if path.exists()]:
        report.say(f"look at: {', '.join(there)}")
    for purpose, command in commands.items():
        report.say(f"{purpose}: {command}")
