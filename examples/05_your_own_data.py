# %% [markdown]
# # 5. Your own data
#
# You have texts with labels in a spreadsheet, and you want a program that labels new ones. This notebook goes the whole
# way: write the file, meet the usual mistakes, train, read the predictions, and compare with a simple baseline.
#
# The data are answers to a made-up survey after a film evening: "What did you think of it?" They are put together from
# parts, so that everything takes seconds. Real answers are harder. To use your own, replace the next two cells.

# %%
import csv
import itertools
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from minbert import UserError
from minbert.files.checks import refuse_bad_rows
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet

try:
    import matplotlib.pyplot as plt
except ImportError:
    plt = None
    print("matplotlib is not installed, so tables take the place of figures. To see them: pip install matplotlib")

folder = Path(tempfile.mkdtemp(prefix="minbert-"))  # everything is written there
print(folder)

THINGS = "music", "plot", "acting", "ending", "sound", "story"
GOOD = "great", "good", "wonderful", "funny", "moving", "lovely"
BAD = "bad", "boring", "terrible", "dull", "stupid", "weak"
# The test answers use words of praise and complaint that the training file does not hold.
NEW_GOOD = "brilliant", "excellent", "charming", "beautiful", "superb", "fantastic"
NEW_BAD = "awful", "poor", "horrible", "tedious", "lousy", "annoying"


def answers(good, bad, seed):
    """[(text, label), ...] in random order: praise, complaint, or both"""
    forms = "The {} was {}.", "I found the {} {}.", "We all thought the {} was {}."
    rows = [(form.format(thing, word), "praise") for form in forms for thing in THINGS for word in good]
    rows += [(form.format(thing, word), "complaint") for form in forms for thing in THINGS for word in bad]
    for (one, other), pair in itertools.product(itertools.permutations(THINGS, 2), zip(good, bad)):
        first, second = pair if len(rows) % 2 else reversed(pair)
        rows.append((f"The {one} was {first}, but the {other} was {second}.", "both"))
    random.Random(seed).shuffle(rows)
    return rows


# %% [markdown]
# ## The file
#
# A table with a header: a row for each text, a column for the text and one for the label. Other columns do no harm.
# Spreadsheets write such a file as "CSV UTF-8".
#
#     id,answer,kind
#     0,"The plot was great, but the ending was dull.",both
#     1,I found the music lovely.,praise
#
# Three files, for three uses. **Train**: the model learns from it. **Dev**: it chooses the best epoch, and so do you
# choose your settings. **Test**: it is used once, at the end. No text may be in two of them.

# %%
known, new = answers(GOOD, BAD, seed=1), answers(NEW_GOOD, NEW_BAD, seed=2)
data = {"train": known[:160], "dev": known[160:220], "test": new[:90]}
for part, rows in data.items():
    with open(folder / f"{part}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "answer", "kind"])
        writer.writerows([number, text, label] for number, (text, label) in enumerate(rows))
    print(f"{part:6}", dict(sorted(Counter(label for _, label in rows).items())))
print(*(folder / "train.csv").read_text(encoding="utf-8").splitlines()[:4], sep="\n")
assert not {text for text, _ in data["train"]} & {text for text, _ in data["dev"] + data["test"]}

# %% [markdown]
# ## The usual mistakes
#
# minbert checks everything before it trains, and answers a mistake with a line that says what to do. Here are five
# mistakes that nearly everybody makes, and their lines. They come from the functions that the commands use, too.


# %%
def mistake(what, text, **columns):
    """Write a file with a mistake in it, read it, and return the message."""
    path = folder / "wrong.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    try:
        examples = read_examples(path, **columns)
        LabelSet.declare(["praise", "complaint", "both"]).ids(examples)
        refuse_bad_rows(examples)
    except UserError as error:
        message = str(error).replace(str(path), path.name).splitlines()
        print(f"{what}\n    " + "\n    ".join(message) + "\n")
        return " ".join(message)
    raise AssertionError(f"{what}: nobody noticed")


row = "id,answer,kind\n0,Fine.,praise\n"
message = mistake("A column name with a slip:", row, text_column="anwser", label_column="kind")
assert "Did you mean answer?" in message

columns = {"text_column": "answer", "label_column": "kind"}
message = mistake("A label spelt in two ways:", row + "1,Good music.,Praise\n", **columns)
assert "wrong.csv:3: label 'Praise' is not one of: praise, complaint, both" in message

message = mistake("A comma in a text without quotes:", row + "1,Good music, dull plot.,both\n", **columns)
assert "wrong.csv:3: ragged row: 4 fields, but the header has 3" in message

message = mistake("An empty cell:", row + "1,,complaint\n", **columns)
assert "wrong.csv:3: empty text" in message

message = mistake("The spreadsheet itself, not the CSV:", b"PK\x03\x04" + bytes(100), **columns)
assert "save the table as CSV UTF-8" in message

# %% [markdown]
# ## Train
#
# In a terminal you would type
#
#     minbert train --train train.csv --dev dev.csv --test test.csv --text_column answer --label_column kind --out film
#
# (in a clone of the project also `python train_classifier.py --train ...`). Here Python types it for you. A learning
# rate above the default suits a file as small as this.


# %%
def minbert(*words):
    """Run a command of minbert as in a terminal, in our folder; print and return what it prints."""
    command = [sys.executable, "-m", "minbert", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")
    print("$ minbert", *words)
    print(done.stdout, done.stderr, sep="")
    return done


files = ["--train", "train.csv", "--dev", "dev.csv", "--test", "test.csv"]
names = ["--text_column", "answer", "--label_column", "kind"]
done = minbert("train", *files, *names, "--epochs", "2", "--lr", "3e-4", "--out", "film")
assert done.returncode == 0

# %% [markdown]
# ## Read the predictions
#
# The folder `film` now holds the trained model and a file of predictions for dev and test: the text, the right label,
# the predicted one and the probability of each.

# %%
with open(folder / "film" / "test_predictions.csv", newline="", encoding="utf-8") as file:
    predictions = list(csv.DictReader(file))
print(*predictions[0].items(), sep="\n")
gold = [row["gold"] for row in predictions]
predicted = [row["predicted"] for row in predictions]
assert gold == [label for _, label in data["test"]]

# %% [markdown]
# A *confusion matrix* counts them: $n_{gp}$ answers of the right label $g$ were predicted to be $p$. What is on the
# diagonal is right:
#
# $$ \mathrm{accuracy} = \frac{\sum_c n_{cc}}{\sum_{g,p} n_{gp}} $$

# %%
labels = sorted(set(gold))


def accuracy(gold, predicted):
    return sum(right == guess for right, guess in zip(gold, predicted)) / len(gold)


def confusion(predicted, title):
    """Draw or print how often each label was predicted for each right one."""
    counts = Counter(zip(gold, predicted))
    matrix = [[counts[right, guess] for guess in labels] for right in labels]
    title = f"{title}: accuracy {accuracy(gold, predicted):.0%}"
    if not plt:
        print(title, f"{'right label':12}" + "".join(f"{label:>10}" for label in labels), sep="\n")
        for label, row in zip(labels, matrix):
            print(f"{label:12}" + "".join(f"{count:10}" for count in row))
        return
    _, axes = plt.subplots(figsize=(3.8, 3.2), layout="constrained")
    axes.imshow(matrix, cmap="Blues")
    for right, row in enumerate(matrix):
        for guess, count in enumerate(row):
            axes.text(guess, right, count, ha="center", va="center", color="white" if count > 20 else "black")
    ticks = range(len(labels))
    axes.set(title=title, xlabel="predicted", ylabel="right label", yticks=ticks, yticklabels=labels)
    axes.set_xticks(ticks, labels)
    plt.show()


confusion(predicted, "tiny")
assert accuracy(gold, predicted) > 0.8

# %% [markdown]
# ## A baseline beside it
#
# Is BERT worth the trouble? Compare with something simple. *Bag of words* counts the words of a text, whatever their
# order, and weighs rare words more (TF-IDF):
#
# $$ x_{tw} = \mathrm{count}_{tw} \cdot \left( 1 + \log \frac{1 + N}{1 + N_w} \right) $$
#
# for text $t$ and word $w$, where $N_w$ of the $N$ training texts hold the word. Then each text's numbers are scaled to
# length 1, and a logistic regression does the rest. With scikit-learn it takes two lines.

# %%
baseline = make_pipeline(TfidfVectorizer(), LogisticRegression())
baseline.fit(*zip(*data["train"]))
guesses = {part: baseline.predict([text for text, _ in data[part]]).tolist() for part in ("dev", "test")}

confusion(guesses["test"], "bag of words")
dev_accuracy = accuracy([label for _, label in data["dev"]], guesses["dev"])
print(f"bag of words: dev {dev_accuracy:.0%}, test {accuracy(gold, guesses['test']):.0%}")
assert dev_accuracy > 0.9
assert accuracy(gold, guesses["test"]) < accuracy(gold, predicted) - 0.1
assert all(guess == "both" for right, guess in zip(gold, guesses["test"]) if right == "both")

# %% [markdown]
# On dev, where all words are known, the baseline does well. On test it does not: "superb" and "tedious" were not in the
# training file, so it knows nothing about them. (It still finds the answers labelled `both`: they have a "but".) `tiny`
# met both in its film reviews long before it saw your labels. That is what pretraining buys.
#
# This test was made to show it. On many real tasks, with some thousand labelled texts and words that repeat, the
# baseline comes close or wins. So always run it, and report it.
#
# ## Label new texts
#
# One text a line, or a table, of any size:
#
#     minbert predict --model film --text new.txt --with_text

# %%
texts = ["A superb story.", "The sound was horrible.", "The acting was not good."]
(folder / "new.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
done = minbert("predict", "--model", "film", "--text", "new.txt", "--with_text", "--out", "new.csv")
assert done.returncode == 0
with open(folder / "new.csv", newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
for row in rows:
    print(f"{row['predicted']:10} {row['text']}")
assert [row["predicted"] for row in rows[:2]] == ["praise", "complaint"]

# %% [markdown]
# The last answer has a "not" in it, as no training text has. Whatever the model says there, it is a guess.
#
# ## Exercises
#
# 1. Add answers with "not" to the training file ("The plot was not good.", complaint). How many does it take until the
#    model gets new ones right? Does the baseline learn it, too?
# 2. Train with 20, 40, 80 and 160 answers. Draw both accuracies over the number of answers.
# 3. Let two people label 50 real texts of yours, each alone. On how many do they agree? No model can be expected to do
#    better than that.
