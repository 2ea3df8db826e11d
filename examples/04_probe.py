# %% [markdown]
# # 4. Asking a language model
#
# BERT was trained to fill in hidden words. So one can ask it: which word stands here? Which of two sentences reads
# better? Is this review good or bad? This notebook asks, shows how to read the answers, and where they mislead.
#
# `tiny` learnt this on film reviews, most of all. It is small. Expect opinions about films, and little knowledge of the
# world.

# %%
import math

import torch

from minbert import BertForMaskedLM, BertTokenizer
from minbert.probing import READOUTS, compare, fill_mask, next_word, pseudo_log_likelihood

try:
    import matplotlib.pyplot as plt
except ImportError:
    plt = None
    print("matplotlib is not installed, so tables take the place of figures. To see them: pip install matplotlib")

tokenizer, model = BertTokenizer.from_pretrained("tiny"), BertForMaskedLM.from_pretrained("tiny")

# %% [markdown]
# ## Fill-mask
#
# The model turns the place of `[MASK]` into a vector $h$. A small head works on it, and the result is compared with the
# embedding $e_w$ of each of the 21,000 tokens $w$. A softmax makes probabilities:
#
# $$ P(w \mid \text{the other tokens}) = \frac{e^{z_w}}{\sum_{w'} e^{z_{w'}}}, \qquad
#    z_w = e_w^\top \, \mathrm{head}(h) + b_w $$
#
# The ten most probable words:

# %%
text = "The acting was [MASK]."
best = fill_mask(model, tokenizer, text, top=10)

if plt:
    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    axes.barh([row["token"] for row in best], [row["score"] for row in best], color="#1f77b4")
    axes.invert_yaxis()
    axes.set(title=text, xlabel="probability")
    plt.show()
else:
    for row in best:
        print(f"{row['token']:12} {row['score']:.3f}", "#" * round(200 * row["score"]))

# %% [markdown]
# The same by hand:

# %%
ids = tokenizer(text, return_tensors="pt", allow_special=True)["input_ids"]
place = ids[0].tolist().index(tokenizer.mask_token_id)
with torch.no_grad():
    logits, _ = model(ids)  # [1, T, V]
probabilities = logits[0, place].exp() / logits[0, place].exp().sum()
first = probabilities.argmax().item()
print(tokenizer.tokens[first], f"{probabilities[first].item():.3f}")
assert first == best[0]["id"]
assert abs(probabilities[first].item() - best[0]["score"]) < 1e-5

# %% [markdown]
# Opinions about films come easily. Facts do not: film reviews hold few. The model answers all the same, and may be
# surest where it is wrong.

# %%
for question in ("The film is set in New [MASK] City.", "Paris is the capital of [MASK]."):
    print(question, *(f"{row['token']} {row['score']:.2f}" for row in fill_mask(model, tokenizer, question, top=5)))
guess = fill_mask(model, tokenizer, "Paris is the capital of [MASK].", top=1)[0]
assert guess["token"] == "paris" and guess["score"] > 0.5

# %% [markdown]
# ## What a masked language model is not
#
# It is not a model of whole texts. GPT gives a text the probability $P(w_1) \, P(w_2 \mid w_1) \, P(w_3 \mid w_1 w_2)
# \cdots$, and you get the same number in whatever way you compute it. BERT has learnt each place by itself. Its answers
# need not fit together. For a true probability of two words, the order in which you fill them in would not matter:
#
# $$ P(w_1 \mid \_\;\_) \; P(w_2 \mid w_1\, \_) \;=\; P(w_2 \mid \_\;\_) \; P(w_1 \mid \_\, w_2) $$
#
#     The film was [MASK] [MASK].   ->   The film was not [MASK].   ->   The film was not bad.
#     The film was [MASK] [MASK].   ->   The film was [MASK] bad.   ->   The film was not bad.


# %%
def p(word, text, at=0):
    """The probability of a word at a [MASK] of a text, the first or another"""
    places = fill_mask(model, tokenizer, text, targets=[word])
    return (places[at] if text.count("[MASK]") > 1 else places)[0]["score"]


two = "The film was [MASK] [MASK]."
left_first = p("not", two) * p("bad", "The film was not [MASK].")
right_first = p("bad", two, at=1) * p("not", "The film was [MASK] bad.")
print(f"left word first: {left_first:.5f}   right word first: {right_first:.5f}")
assert max(left_first, right_first) > 1.5 * min(left_first, right_first)  # not equal, and not by rounding

# %% [markdown]
# ## Five places to read "the next word"
#
# People nevertheless ask BERT for the next word: "[the review]. This movie review is ...", positive or negative? There
# are five places at which this has been read. `tiny` answers at each of them, but it was trained for one only:
#
#     [CLS] ... movie review is [SEP]             at [SEP]: in training no word was ever hidden there
#     [CLS] ... movie review is [SEP]             the same, and no token looks at [SEP]
#     [CLS] ... movie review is                   at the last word: the model names the word that stands there
#     [CLS] ... movie review is [MASK] [SEP]      at a [MASK]: this is what BERT learnt
#     [CLS] ... movie review is                   at the last word, looking back only: never done in training
#
# The answer is a ratio, how many times as probable the first word is as the second:
#
# $$ \mathrm{ratio} =
#    \frac{P(\text{great} \mid \text{review, prompt})}{P(\text{terrible} \mid \text{review, prompt})} $$
#
# Above 1 the review counts as good. The scale of the figure is logarithmic.

# %%
good = "A joy from the first minute to the last: funny, moving and beautifully acted."
bad = "The worst two hours of my year: stupid, badly acted and painfully dull."
words, prompt = ["great", "terrible"], "{} The film was"
answers = {text: next_word(model, tokenizer, text, words, prompt) for text in (good, bad)}

if plt:
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    styles = ((-0.2, "#1f77b4", "the good review"), (0.2, "#d95f02", "the bad review"))
    for rows, (shift, colour, label) in zip(answers.values(), styles):
        places = [number + shift for number in range(len(rows))]
        widths = [row["ratio"] - 1 for row in rows]  # a bar begins at 1
        axes.barh(places, widths, 0.36, left=1, color=colour, label=label)
    axes.set(xscale="log", yticks=range(len(READOUTS)), yticklabels=READOUTS, xlabel="P(great) / P(terrible)")
    axes.axvline(1, color="black", linewidth=1)
    axes.invert_yaxis()
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    plt.show()
else:
    for text, rows in answers.items():
        print(text)
        for row in rows:
            print(f"    {row['readout']:34} {row['ratio']:8.2f}")

# %%
for text, rows in answers.items():
    print(f"{text[:32]:32} ...", [f"{row['ratio']:.2g}" for row in rows])
assert all(row["ratio"] > 1 for row in answers[good])
assert [row["ratio"] < 1 for row in answers[bad]] == [False, False, True, True, True]
assert max(row["ratio"] for row in answers[good]) > 10 * min(row["ratio"] for row in answers[good])

# %% [markdown]
# The reviews could not be clearer, and yet the five disagree. At `[SEP]` even the bad review counts as good; the ratio
# is only lower than for the good one. How *sure* the places are differs more than tenfold, so never compare ratios from
# different places. And look at the sizes: how probable are the two words at all?

# %%
for row in answers[good]:
    print(f"{row['readout']:34} great and terrible together: {sum(row['p'].values()):.5f}")
at_mask = next(row for row in answers[good] if row["readout"] == "at a [MASK] appended")
at_last = next(row for row in answers[good] if row["readout"] == "at the last word, [SEP] dropped")
assert sum(at_mask["p"].values()) > 0.03 > 0.001 > sum(at_last["p"].values())

# %% [markdown]
# At the last word the model says something else altogether: nearly all of the probability lies on other words, and the
# ratio compares two crumbs.
#
# ## The prompt has opinions
#
# To the model "This movie review is ..." sounds like praise, before it has read any review. So the prompt alone already
# prefers a word. What the *text* adds is the quotient of the two:
#
# $$ \mathrm{corrected}(w) \;\propto\; \frac{P(w \mid \text{review, prompt})}{P(w \mid \text{prompt})} $$

# %%
review, prompt = "I want my money back.", "{} This movie review is"
[row] = next_word(model, tokenizer, review, words, prompt, readouts=["at a [MASK] appended"])
print(f"the prompt alone     {row['prior_ratio']:5.1f} times as much for great as for terrible")
print(f"review and prompt    {row['ratio']:5.1f} times as much: {row['label']}")
print(f"what the review adds {row['ratio'] / row['prior_ratio']:5.2f} times as much: {row['corrected_label']}")
assert row["prior_ratio"] > 2
assert (row["label"], row["corrected_label"]) == ("great", "terrible")

# %% [markdown]
# Uncorrected, somebody who wants the money back found the film great. The correction mends this one. It is no cure.
# The reviews below are clear to you, and each is asked in three ways.

# %%
prompts = ("{} This movie review is", "{} The film was", "{} I thought it was")
verdicts = {}
for review in (good, bad, "I want my money back.", "I could watch it again tomorrow.", "Not bad at all."):
    rows = [
        next_word(model, tokenizer, review, words, wording, readouts=["at a [MASK] appended"])[0] for wording in prompts
    ]
    verdicts[review] = [row["corrected_label"] for row in rows]
    print(f"{review[:32]:32}", *(f"{row['corrected']['great']:7.2f} {row['corrected_label']:9}" for row in rows))
assert verdicts["I could watch it again tomorrow."] == ["terrible", "terrible", "great"]
assert set(verdicts["Not bad at all."]) == {"terrible"}

# %% [markdown]
# For one review the answer depends on how you ask. Another, "Not bad at all.", is judged wrongly however you ask. If
# you measure something with prompts, report all the wordings that you tried.
#
# ## Which sentence reads better
#
# To score a whole sentence $w_1 \dots w_n$, hide each token in turn and add up how probable the right one is. This is
# the *pseudo-log-likelihood*:
#
# $$ \mathrm{PLL} = \sum_{i=1}^{n} \log P(w_i \mid w_1 \dots w_{i-1} \; \texttt{[MASK]} \; w_{i+1} \dots w_n) $$
#
#     [MASK] movie was good .   ->  log P(the)
#     the [MASK] was good .     ->  log P(movie)
#     ...                           ...

# %%
text = "The movie was good."
total, parts = pseudo_log_likelihood(model, tokenizer, text)
for token, log_p in parts:
    print(f"{token:8} {log_p:7.2f}")
print(f"sum      {total:7.2f}")

tokens = tokenizer.tokenize(text)
by_hand = 0.0
for at, token in enumerate(tokens):
    row = fill_mask(model, tokenizer, " ".join([*tokens[:at], "[MASK]", *tokens[at + 1 :]]), targets=[token])[0]
    by_hand += math.log(row["score"])
assert abs(by_hand - total) < 1e-3

# %% [markdown]
# It is a sum over tokens: a longer sentence scores lower, whatever it says. Compare sentences that differ in one word
# only. Grammar is in it, even in a model as small as this one. So are the habits and prejudices of those who wrote the
# texts:

# %%
pairs = (
    ("The actors are good.", "The actors is good."),
    ("She gives a great performance.", "She give a great performance."),
    ("She is a nurse.", "He is a nurse."),
    ("He is a hero.", "She is a hero."),
)
for first, second in pairs:
    scores = compare(model, tokenizer, first, second)["scores"]
    print(f"{scores[0]:7.2f}  {first:35} {scores[1]:7.2f}  {second}")
    assert scores[0] > scores[1]

# %% [markdown]
# A score of two sentences measures the training texts more than the world, and one pair measures nothing. Studies use
# hundreds of pairs, and test whether the difference is more than chance.
#
# ## Exercises
#
# 1. Find a review that `tiny` gets wrong at the `[MASK]`, corrected or not. What makes it hard: negation, irony, a word
#    that it does not know?
# 2. Replace "great" and "terrible" by two words of your own. For which words do the five places disagree about a
#    review?
# 3. Write ten pairs of sentences with "he" and "she" and ten professions. How many prefer "he"? How does that change if
#    you put "The film is about a doctor." in front of each?
