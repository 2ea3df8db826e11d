"""What `minbert probe` prints of its answers: tables, notes beside them, and what to conclude."""

import textwrap

from minbert.commands.generate import written
from minbert.wording import counted

WIDTH = 100  # columns
AFTER = "after the last word"  # left_to_right.READOUT
NOTES = {  # of probing.READOUTS, in their order, and of a GPT
    "at [SEP]": "no word is ever masked at [SEP] in training, so this is no prediction of the next word",
    "at [SEP], [SEP] hidden as a key": "no prediction either: it is still read at [SEP]",
    "at the last word, [SEP] dropped": "BERT learnt to name the word that stands there, not the next",
    "at a [MASK] appended": "what BERT was trained to do",
    "causal attention": "at the last word, looking back only, which BERT never did in training",
    AFTER: "what this model was trained to do",
}


def table(header, rows):
    from minbert.runs import report

    report.table(header, rows)


def printable(tokens):
    """Tokens for a table: all between quotes, if one of them has a space at an end or holds what cannot be printed."""
    plain = all(token == token.strip() and token.isprintable() for token in tokens)
    return tokens if plain else [token and written(token) for token in tokens]


def list_questions(rows):
    """Print the texts with their numbers, then the prompts. Returns the letter of each prompt, "" if there is one."""
    for row in {row["number"]: row for row in rows}.values():
        print(f"{row['number']:4}  {row['kind'] + ': ' if 'kind' in row else ''}{row['text']}")
    prompts = list(dict.fromkeys(row["prompt"] for row in rows))
    letters = {prompt: chr(97 + at) * (len(prompts) > 1) for at, prompt in enumerate(prompts)}
    for prompt, letter in letters.items():
        print(f"{letter:>4}  {prompt}")
    return letters


def show_next_word(found):
    rows, words = found["rows"], found["words"]
    letters = list_questions(rows)
    print(f"ratio: P({words[0]}) to the best other; none: P without a text; corrected: P / none, as shares")
    for conclusion in found["conclusions"]:
        mine = [row for row in rows if row["readout"] == conclusion["readout"]]
        print(f"\n{conclusion['readout']}: {NOTES[conclusion['readout']]}")
        lines = []
        for row in mine:
            best = row["corrected_label"]
            figures = [*row["p"].values(), row["ratio"], row["label"], f"{best} {row['corrected'][best]:.2f}"]
            lines.append([f"{row['number']}{letters[row['prompt']]}", *figures])
        for row in {row["prompt"]: row for row in mine}.values():
            prior = [*row["prior"].values(), row["prior_ratio"], max(words, key=row["prior"].get), ""]
            lines.append([f"none {letters[row['prompt']]}", *prior])
        table(["text", *(f"P({word})" for word in words), "ratio", "label", "corrected"], lines)
        if "top" in mine[0]:
            name = written if conclusion["readout"] == AFTER else str.strip  # " positive" is not "positive" there
            tops = [[f"{name(best['token'])} {best['score']:.3g}" for best in row["top"]] for row in mine]
            covered = [sum(best["score"] for best in row["top"]) for row in mine]
            ranks = [f"top {rank}" for rank in range(1, len(tops[0]) + 1)]
            table(["text", *ranks, "in all"], [[line[0], *top, p] for line, top, p in zip(lines, tops, covered)])
    show_conclusions(found["conclusions"], len(words))


def show_conclusions(conclusions, choices):
    """The counts, and what they say and do not say."""
    answers, battery, lines = conclusions[0]["answers"], "right" in conclusions[0], []
    for found in conclusions:
        cells = [
            ", ".join(f"{label} {count}" for label, count in found[name].items()) for name in ("labels", "corrected")
        ]
        if battery:
            cells = [f"{found[name]} of {answers}" for name in ("right", "corrected_right")]
            cells.append(f"{found['in_order']} of {counted(found['pairs'], 'pair')}")
        lines.append([found["readout"], *cells])
    print("\nwhat to conclude")
    table(["readout", *(["right", "right, corrected", "in order"] if battery else ["as read", "corrected"])], lines)
    changed, asked = sum(found["changed"] for found in conclusions), answers * len(lines)
    said = [f"Dividing by what the wording prefers without a text changes {changed} of {asked} answers."]
    stuck = [
        f"{found['readout']} ({next(iter(found['labels']))})" for found in conclusions if len(found["labels"]) == 1
    ]
    if stuck and answers > 1:
        said.append(f"As read, the same answer whatever the text: {'; '.join(stuck)}.")
    if any(found["readout"].startswith("at [SEP]") for found in conclusions):
        said.append("What wins at [SEP] is not what BERT expects next: it was never trained to name a word there.")
    if battery:
        guess = f"Guessing gets {answers / choices:.3g} of {answers} right"
        said.append(f"{guess}: so few texts show how a readout behaves, not how good a model is.")
    for sentence in said:
        print(textwrap.fill(sentence, WIDTH, initial_indent="  - ", subsequent_indent="    "))


def show_fill(found):
    for rows in found["masks"]:
        cells = [[f"{row['score']:.4g}", str(row["id"]), row["token"].strip(), row["sequence"]] for row in rows]
        table(["score", "id", "token", "sequence"], cells)


def show_compare(found):
    pairs = [[side or ("", None) for side in pair] for pair in found["rows"]]
    sides = [printable([token for token, _ in side]) for side in zip(*pairs)]
    cells = []
    for ((_, p), (_, q)), one, two in zip(pairs, *sides):
        cells.append([one, p, two, q, None if None in (p, q) else round(p - q, 4)])  # what is less is rounding
    p, q = found["scores"]
    table(["first", "log P", "second", "log P", "difference"], [*cells, ["in all", p, "", q, p - q]])
    if "begins_with" in found:
        print(how_it_was_read(found))
    print("equally likely" if p == q else f"likelier: {found['texts'][found['preferred']]}")
    whole = found.get("whole_words", found)
    if whole["scores"] != found["scores"]:
        print("with a word's later pieces masked too: {:.1f} and {:.1f}".format(*whole["scores"]), end="")
        print(f", likelier: {found['texts'][whole['preferred']]}")


def how_it_was_read(found):
    """A sentence about the log-likelihood of a causal model: from where it counts."""
    if found["begins_with"]:
        return f"log P of each token after all before it; {found['begins_with']} stands in front of both texts"
    one, two = (next(side[0] for side in sides if side) for sides in zip(*found["rows"]))
    differ = ", though here they differ" if one != two else ""
    return f"log P of each token after all before it; the first one of each text is not counted{differ}"


def show_attention(found):
    for one in found["attention"]:
        tokens, where = printable(one["tokens"]), f"of layer {one['layer']}, head {one['head']}"
        unused = "" if one["causal"] else "; not used here, see --causal"
        print(f"\n{one['text']}")
        for title, name, form in (
            ("padding mask: 1 if the column may be looked at", "padding_mask", "d"),
            (f"causal mask: 1 if the row may look at the column{unused}", "causal_mask", "d"),
            (f"raw scores {where}: how well the row's query meets the column's key", "scores", ".2f"),
            (f"probabilities {where}: how much the row looks at the column", "probabilities", ".2f"),
        ):
            print(f"\n{title}")
            cells = [["-inf" if cell is None else f"{cell:{form}}" for cell in row] for row in one[name]]
            header = ["", *tokens]
            if name == "probabilities":
                header.append("sum")
                cells = [[*row, f"{sum(numbers):.3f}"] for row, numbers in zip(cells, one[name])]
            table(header, [[token, *row] for token, row in zip(tokens if len(cells) > 1 else [""], cells)])
