# %% [markdown]
# # 1. Tokens: from text to numbers
#
# A BERT reads no letters. It reads *tokens*: words and pieces of words, each with a number. This notebook follows a
# text on its way
#
#     text -> words -> pieces -> ids -> batch
#
# with the tokenizer of `tiny`, the small BERT that comes with minbert. Everything runs without a network, in seconds.
# Each `assert` checks a claim of the prose: if the prose were wrong, the notebook would stop there.

# %%
import string
import warnings

from minbert import BertTokenizer, shipped
from minbert.batch import pad
from minbert.files.examples import read_examples

try:
    import matplotlib.pyplot as plt
except ImportError:
    plt = None
    print("matplotlib is not installed, so tables take the place of figures. To see them: pip install matplotlib")

DATA = shipped.folder("data") / "reviews"  # the reviews that come with minbert
tokenizer = BertTokenizer.from_pretrained("tiny")
print(len(tokenizer), "tokens in the vocabulary of tiny")

# %% [markdown]
# ## The whole way at a glance
#
# `explain` shows every stage between a text and its ids. The sections below go through them one by one.

# %%
text = "Zoë's naïve friend was UNAFFABLE 😀!"
explanation = tokenizer.explain(text)
print(explanation)
for word, (start, end), _, _ in explanation.words:  # a word of the table stands in the text from start to end
    assert word in ("zoe", "naive", "unaffable") or text[start:end] == word

# %% [markdown]
# ## Text to words
#
# First the text is cleaned. Control characters go. Every kind of white space becomes a space. `tiny` is an *uncased*
# model, so letters become lower case and lose their accents. Then the text is split at spaces. Every punctuation mark
# and every Chinese character becomes a word of its own.
#
# Nothing here is learnt. These are fixed rules, the ones of the original BERT.

# %%
words = tokenizer.words(text)
print(words)
assert words == ["zoe", "'", "s", "naive", "friend", "was", "unaffable", "😀", "!"]
assert words == [word for word, *_ in explanation.words]

# %% [markdown]
# ## Words to pieces
#
# A vocabulary cannot list all words. Rare words are cut into pieces that it does list: this is *WordPiece*. A piece
# that does not begin a word is written with `##` in front.
#
# The rule is greedy. Let $V$ be the vocabulary, and let a word be the letters $w_1 \dots w_n$. The first piece is the
# longest beginning of the word that is in $V$:
#
# $$ e_1 = \max \{\, e \le n : w_1 \dots w_e \in V \,\}, \qquad
#    e_{i+1} = \max \{\, e \le n : \texttt{\#\#}\, w_{e_i+1} \dots w_e \in V \,\} $$
#
# The cut goes on after each $e_i$ until $e_i = n$. For `unaffable` it goes like this:
#
#     unaffable      longest beginning in V    una
#        ffable      longest with ##           ##ffa
#           ble      longest with ##           ##ble
#
# The rule knows nothing about meaning: a reader would cut un-aff-able.

# %%
vocabulary = set(tokenizer.vocab)


def cut(word):
    """The pieces of a word, the longest match first; None if the vocabulary cannot write the word."""
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = [end for end in range(start + 1, len(word) + 1) if prefix + word[start:end] in vocabulary]
        if not ends:
            return None
        pieces.append(prefix + word[start : max(ends)])
        start = max(ends)
    return pieces


print(cut("unaffable"))
assert cut("unaffable") == tokenizer.wordpiece("unaffable") == ["una", "##ffa", "##ble"]

# %% [markdown]
# Common words stay whole, rare ones do not. What counts as rare depends on the text that the vocabulary was chosen
# for. For `tiny` these were film reviews, most of all: it has a token for "sequel", but none for "courgettes".

# %%
for word in ("sequel", "wonderfully", "slept", "courgettes", "unputdownable"):
    print(f"{word:15}", *tokenizer.wordpiece(word))
assert tokenizer.wordpiece("sequel") == ["sequel"]
assert len(tokenizer.wordpiece("courgettes")) > 1

# %% [markdown]
# ## What `[UNK]` is
#
# Sometimes the rule finds no piece at all, because the vocabulary lacks a character. Then the *whole word* becomes one
# token, `[UNK]`, for "unknown". The word itself is lost. With the letters a to z this cannot happen, since each of them
# is a piece on its own. Emojis and other scripts are where to look.

# %%
for text in ("I loved it 😀", "I loved it :)", "Ich mochte es sehr", "我喜欢"):
    print(f"{text:20}", *tokenizer.tokenize(text))
assert cut("😀") is None
assert all(letter in vocabulary and "##" + letter in vocabulary for letter in string.ascii_lowercase)
assert tokenizer.tokenize("I loved it 😀")[-1] == "[UNK]"
assert "[UNK]" not in tokenizer.tokenize("Ich mochte es sehr")  # German in English pieces: possible, not sensible

# %% [markdown]
# If your texts are full of emojis, count before you train. A model cannot learn from what it cannot see. In the reviews
# that come with minbert, only words with a character outside ASCII are lost.

# %%
reviews = read_examples(DATA / "train.csv").texts
pieces = [piece for review in reviews for piece in tokenizer.tokenize(review)]
lost = [word for review in reviews for word in tokenizer.words(review) if cut(word) is None]
print(f"{len(reviews)} reviews, {len(pieces)} pieces, {len(lost)} of them [UNK], such as", *sorted(set(lost))[-10:])
assert len(lost) == pieces.count("[UNK]")
assert not any(word.isascii() for word in lost)

# %% [markdown]
# ## Pieces to ids
#
# The *id* of a token is its line in `vocab.txt`, counted from 0. The model knows tokens by their ids alone. Two special
# tokens frame each text: `[CLS]` before it and `[SEP]` after it.

# %%
text = "The sequel was unaffable."
ids = tokenizer(text)["input_ids"]
for id, token in zip(ids, tokenizer.convert_ids_to_tokens(ids)):
    print(f"{id:6}  {token}")
assert ids == [tokenizer.vocab[token] for token in ("[CLS]", *tokenizer.tokenize(text), "[SEP]")]

# %% [markdown]
# ## There and back
#
# `decode` turns ids into text again. Capitals, accents and extra spaces are lost, and `[UNK]` stays `[UNK]`. All the
# rest comes back: if you encode the decoded text, you get the same ids. This holds for each review without `[UNK]`.

# %%
text = "Zoë's  sequel wasn't unaffable."
ids = tokenizer.encode(text)
back = tokenizer.decode(ids, skip_special_tokens=True)
print(repr(text), "->", repr(back))
assert back == "zoe's sequel wasn't unaffable."
assert tokenizer.encode(back) == ids
for review in reviews:
    ids = tokenizer.encode(review)
    if tokenizer.unk_token_id not in ids:
        assert tokenizer.encode(tokenizer.decode(ids, skip_special_tokens=True)) == ids

# %% [markdown]
# ## Texts to a batch
#
# Texts are read side by side, as one table of ids with $B$ rows and $T$ columns. A table needs rows of one length, but
# texts have lengths $n_1, \dots, n_B$. So $T$ is the longest, and shorter rows are filled up with `[PAD]`. A second
# table, the *attention mask*, tells tokens from padding:
#
# $$ T = \max_b n_b, \qquad
#    \mathrm{mask}_{bt} = \begin{cases} 1 & t \le n_b \\ 0 & t > n_b \end{cases} \qquad\text{and}\qquad
#    \text{share of padding} = 1 - \frac{\sum_b n_b}{B \, T} $$
#
# The next cell draws such a table. Padding is grey.

# %%
texts = ["Dull.", "Not a bad film at all.", "An underwhelming sequel, and too long."]
batch = tokenizer(texts, padding=True, return_tensors="pt")
tokens = [tokenizer.convert_ids_to_tokens(row) for row in batch["input_ids"]]

if plt:
    figure, axes = plt.subplots(figsize=(11, 1.8), layout="constrained")
    axes.imshow(batch["attention_mask"], cmap="gray", vmin=-2, vmax=1.2, aspect="auto")
    for row, names in enumerate(tokens):
        for column, name in enumerate(names):
            axes.text(column, row, name, ha="center", va="center", fontsize=9)
    axes.set(title="One batch: rows are texts, columns are positions", xticks=range(len(tokens[0])), yticks=range(3))
    plt.show()
else:
    for names in tokens:
        print(*(f"{name:10}" for name in names))

# %% [markdown]
# By hand it takes a few lines. The result is the same, number for number.

# %%
rows = [tokenizer.encode(text) for text in texts]
longest = max(len(row) for row in rows)
input_ids = [row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows]
attention_mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]

assert batch["input_ids"].tolist() == input_ids == pad(rows, tokenizer.pad_token_id).tolist()
assert batch["attention_mask"].tolist() == attention_mask
print(f"{1 - sum(map(len, rows)) / (len(rows) * longest):.0%} of this batch is padding")

# %% [markdown]
# Padding costs time and must not change a result: the mask hides it from all other tokens. Notebook 2 shows how.
#
# ## Truncation
#
# A model reads texts up to a length and no further: it has learnt a vector for each *position*, and `tiny` has 512 of
# them. Longer texts are cut at the end. What is cut is lost, so minbert warns and says how many texts it cut.
#
# How long are your texts? Look before you choose a limit. Here are the reviews of the training file.

# %%
lengths = [len(ids) for ids in tokenizer(reviews)["input_ids"]]
bins = list(range(0, max(lengths) + 10, 10))
counts = [sum(low <= length < low + 10 for length in lengths) for low in bins]

if plt:
    figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
    axes.bar(bins, counts, width=9, align="edge", color="#1f77b4")
    axes.set(title="How long the reviews are", xlabel="tokens, [CLS] and [SEP] included", ylabel="reviews")
    plt.show()
else:
    for low, count in zip(bins, counts):
        print(f"{low:4} to {low + 9:4} tokens: {count:4}", "#" * (count // 20))

# %%
print(f"the longest review has {max(lengths)} tokens")
assert max(lengths) < tokenizer.max_length  # so nothing in data/ is ever cut

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    short = tokenizer(reviews, truncation=True, max_length=32)["input_ids"]
print("warning:", caught[0].message)
too_long = sum(length > 32 for length in lengths)
assert str(caught[0].message).startswith(f"{too_long} of {len(reviews)} texts")
assert max(map(len, short)) == 32
assert all(row[-1] == tokenizer.sep_token_id for row in short)  # the end is cut, [SEP] stays

# %% [markdown]
# ## Exercises
#
# 1. Write a sentence of which every word is cut into two pieces or more. How many tokens does it have for each word?
# 2. Compare the reviews in `data/` with texts of your own field: how many pieces for each word, how many `[UNK]`s?
# 3. Sort these reviews by length and make batches of 16. How much padding is there? And in the order of the file?
#    (`minbert.batch.by_length` does the sorting.)
