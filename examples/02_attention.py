# %% [markdown]
# # 2. Attention, by hand
#
# Attention lets each token look at the others and take something from each. This notebook computes one *head* of `tiny`
# step by step, with nothing but matrix products and one softmax, and holds every step against the model.
#
# The sentence is "The dog slept because it was tired." One padding token follows, so that there is something to hide.

# %%
import math

import torch

from minbert import BertModel, BertTokenizer
from minbert.attention import causal_mask, padding_mask
from minbert.encoder import gelu

try:
    import matplotlib.pyplot as plt
except ImportError:
    plt = None
    print("matplotlib is not installed, so tables take the place of figures. To see them: pip install matplotlib")

tokenizer, model = BertTokenizer.from_pretrained("tiny"), BertModel.from_pretrained("tiny")
text = "The dog slept because it was tired."
batch = tokenizer(text, return_tensors="pt", padding="max_length", max_length=11)
tokens = tokenizer.convert_ids_to_tokens(batch["input_ids"][0])
print(*tokens)
assert batch["attention_mask"][0].tolist() == [1] * 10 + [0]

# %% [markdown]
# ## What comes out
#
# A head gives a table of probabilities. Row $i$ says where token $i$ looks; each row sums to 1:
#
# $$ P_{ij} = \text{how much token } i \text{ looks at token } j, \qquad \sum_j P_{ij} = 1 $$
#
# The model hands the tables out if you ask with `output_attentions=True`: one for each layer and head. `tiny` has 6
# layers of 12 heads. Layers and heads are counted from 0 here. Below is head 8 of layer 1.

# %%
LAYER, HEAD = 1, 8
with torch.no_grad():
    output = model(**batch, output_hidden_states=True, output_attentions=True)
expected = output["attentions"][LAYER][0, HEAD]  # [T, T]


def show(table, title):
    """A table of probabilities as a picture, or as text where there is no matplotlib."""
    if not plt:
        print(title, " " * 10 + "".join(f"{token:>8}" for token in tokens), sep="\n")
        for token, row in zip(tokens, table.tolist()):
            print(f"{token:10}" + "".join(f"{p:8.2f}" for p in row))
        return
    figure, axes = plt.subplots(figsize=(5.4, 4.8), layout="constrained")
    image = axes.imshow(table, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(tokens)), tokens, rotation=60, ha="right", rotation_mode="anchor")
    axes.set(title=title, xlabel="is looked at", ylabel="looks", yticks=range(len(tokens)), yticklabels=tokens)
    figure.colorbar(image, label="probability")
    plt.show()


show(expected, f"Layer {LAYER}, head {HEAD}")
it = tokens.index("it")
print(f"'it' looks at '{tokens[expected[it].argmax()]}' most")

# %% [markdown]
# This head has a simple habit: most tokens look one place ahead, whatever stands there. All others look at `[CLS]`,
# which says little: a head that finds nothing else often looks there. Nobody looks at `[PAD]`.

# %%
most = expected[:10].argmax(dim=1).tolist()
ahead = [place for place, where in enumerate(most) if where == place + 1]
print("look one place ahead:", *(tokens[place] for place in ahead))
print("look at [CLS]:       ", *(tokens[place] for place, where in enumerate(most) if where == 0))
assert len(ahead) == 6
assert all(most[place] == 0 for place in range(10) if place not in ahead)
assert expected[:, 10].max() == 0

# %% [markdown]
# ## Query, key, value
#
# What goes in is a vector $x_i$ of $D = 384$ numbers for each token: the output of the layer before. Stack them to a
# matrix $X$ with one row for each token. The head has $K = 32$ numbers to work with, a twelfth of 384, since the
# 12 heads share. From each vector it makes three shorter ones:
#
# $$ \mathrm{query} = X W_Q^\top + b_Q, \qquad \mathrm{key} = X W_K^\top + b_K, \qquad
#    \mathrm{value} = X W_V^\top + b_V $$
#
# A token's *query* says what it looks for, its *key* what others can find it by, its *value* what they then get. These
# names are a way to think; the numbers are whatever training made of them.
#
#     query of token i  \
#                         score  ->  softmax  ->  P_ij  \
#     key of token j    /                                 multiply, add up over j  ->  what token i gets
#     value of token j  --------------------------------/

# %%
attention = model.encoder.layers[LAYER].attention
x = output["hidden_states"][LAYER][0]  # [T, D], what layer 1 reads
K = x.size(1) // attention.heads


@torch.no_grad()
def query_key_value(x, head=HEAD):
    """[T, D] -> query, key, value of one head, [T, K] each"""
    part = slice(head * K, (head + 1) * K)  # this head's share of the 384 rows
    return [
        x @ linear.weight[part].T + linear.bias[part] for linear in (attention.query, attention.key, attention.value)
    ]


query, key, value = query_key_value(x)
print("X", list(x.shape), " query, key, value", list(query.shape))
assert query.shape == key.shape == value.shape == (11, 32)

# %% [markdown]
# ## Scores
#
# How well a query matches a key is their dot product, divided by $\sqrt{K}$:
#
# $$ S = \frac{\mathrm{query} \; \mathrm{key}^\top}{\sqrt{K}} $$
#
# Why divide? The dot product of two vectors of $K$ random numbers, each of variance 1, has variance $K$. Without the
# root, scores would grow with the size of the head. A softmax of large scores looks at a single token and learns
# slowly.

# %%
scores = query @ key.T / math.sqrt(K)  # [T, T]

a, b = torch.randn(2, 10_000, K, generator=torch.Generator().manual_seed(0))
products = (a * b).sum(1)
print(f"variance of dot products: {products.var():.1f}; divided by the root: {(products / math.sqrt(K)).var():.2f}")
assert abs(products.var() - K) < 4
assert abs((products / math.sqrt(K)).var() - 1) < 0.1

# %% [markdown]
# ## Masks
#
# No token may look at `[PAD]`. Its scores become $-\infty$, which the softmax turns into 0. The mask is one row of
# truth values, the same for every token that looks:
#
# $$ S_{ij} \leftarrow -\infty \quad\text{where } \mathrm{mask}_j = 0 $$

# %%
mask = batch["attention_mask"][0].bool()  # [T]
assert torch.equal(mask, padding_mask(batch["attention_mask"])[0, 0, 0])
scores = scores.masked_fill(~mask, -math.inf)

# %% [markdown]
# ## Softmax
#
# Exponentials make every score positive, and dividing by the row's sum makes it a share:
#
# $$ P_{ij} = \frac{e^{S_{ij}}}{\sum_k e^{S_{ik}}} $$
#
# This is the table from above, number for number.

# %%
exponentials = scores.exp()
probabilities = exponentials / exponentials.sum(dim=1, keepdim=True)
difference = (probabilities - expected).abs().max()
print(f"largest difference from the model's own table: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# ## Mix
#
# Each token gets the mean of the values, weighted by where it looks:
#
# $$ M = P \; \mathrm{value} $$
#
# That is all a head does. For "it", 72 percent of the result is the value of "was".

# %%
mixed = probabilities @ value  # [T, K]
print(f"from 'it' to 'was': {probabilities[it, tokens.index('was')]:.0%}")
assert round(probabilities[it, tokens.index("was")].item(), 2) == 0.72
assert torch.allclose(mixed[it], sum(p * v for p, v in zip(probabilities[it], value)), atol=1e-6)

# %% [markdown]
# ## From the head to the layer
#
# The results of the 12 heads stand side by side again, and one more matrix mixes them. The layer *adds* this to what
# came in, and normalises. Then a small network works on each token alone; its result is added and normalised, too:
#
# $$ X' = \mathrm{norm}(X + [M_1 \dots M_{12}] W_O^\top + b_O), \qquad
#    X'' = \mathrm{norm}(X' + \mathrm{gelu}(X' W_1^\top + b_1)\, W_2^\top + b_2) $$
#
#     X  ->  12 heads  ->  W_O  ->  + X, norm  ->  feed-forward  ->  + X', norm  ->  X''

# %%
layer = model.encoder.layers[LAYER]
with torch.no_grad():
    heads = []
    for head in range(attention.heads):
        q, k, v = query_key_value(x, head)
        heads.append((q @ k.T / math.sqrt(K)).masked_fill(~mask, -math.inf).softmax(dim=1) @ v)
    looked = torch.cat(heads, dim=1) @ attention.output.weight.T + attention.output.bias  # [T, D]
    once = layer.attention_norm(x + looked)
    twice = layer.feed_forward_norm(once + layer.feed_forward.contract(gelu(layer.feed_forward.expand(once))))

expected_after = output["hidden_states"][LAYER + 1][0]
difference = (twice - expected_after)[mask].abs().max()
print(f"largest difference from the model's hidden state after layer {LAYER}: {difference:.1e}")
assert difference < 1e-4
assert torch.allclose(heads[HEAD], mixed, atol=1e-5)

# %% [markdown]
# ## A model that only looks back
#
# GPT writes from left to right, so its tokens may not look ahead. In the equations above only the mask changes: token
# $i$ may look at token $j$ where $j \le i$.
#
# $$ \mathrm{mask}_{ij} = 1 \quad\text{where } j \le i $$
#
# `causal=True` puts this mask on BERT. The upper right of the table is then empty. This head looked ahead, which it
# may not do now. It finds nothing behind, and every token looks at `[CLS]` most.

# %%
with torch.no_grad():
    backward = model(**batch, causal=True, output_hidden_states=True, output_attentions=True)
show(backward["attentions"][LAYER][0, HEAD], f"Layer {LAYER}, head {HEAD}, looking back only")

# %%
query, key, _ = query_key_value(backward["hidden_states"][LAYER][0])
both = mask & causal_mask(len(tokens))  # [T, T]: neither padding nor later tokens
by_hand = (query @ key.T / math.sqrt(K)).masked_fill(~both, -math.inf).softmax(dim=1)
assert (by_hand - backward["attentions"][LAYER][0, HEAD]).abs().max() < 1e-5
assert by_hand[0, 0] == 1  # the first token sees itself alone
assert all(row.argmax() == 0 for row in by_hand[:10])

# %% [markdown]
# ## What the picture does not say
#
# Other heads look elsewhere. Here is where each of the 72 heads looks most from "it".

# %%
print("layer  ", *(f"{number:14}" for number in range(6)))
for head in range(12):
    rows = [table[0, head, it] for table in output["attentions"]]
    print(f"head {head:2}", *(f"{tokens[row.argmax()]:>9} {row.max():.2f}" for row in rows))
where = [tokens[table[0, head, it].argmax()] for table in output["attentions"] for head in range(12)]
print(where.count("[CLS]"), "of the 72 look at [CLS] most,", where.count("dog"), "at 'dog'")
assert where.count("[CLS]") > 36
assert output["attentions"][5][0, 11, it].argmax() == tokens.index("dog")

# %% [markdown]
# Most look at `[CLS]`. But in the last layer, head 11 looks from "it" at "dog". It is tempting to say: this head knows
# what "it" means. Ask it about two sentences that differ in one word. In one "it" is the trophy, in the other it is the
# suitcase.

# %%
for size in ("big", "small"):
    ids = tokenizer(f"The trophy did not fit in the suitcase because it was too {size}.", return_tensors="pt")
    words = tokenizer.convert_ids_to_tokens(ids["input_ids"][0])
    with torch.no_grad():
        row = model(**ids, output_attentions=True)["attentions"][5][0, 11, words.index("it")]
    seen = {noun: row[words.index(noun)].item() for noun in ("trophy", "suitcase")}
    print(f"too {size:6}", *(f"{noun} {p:.2f}" for noun, p in seen.items()))
    assert words[row.argmax()] == "trophy"  # both times

# %% [markdown]
# It looks at the trophy both times: a habit, not an understanding. There are more reasons for doubt. Among 72 heads one
# is easily found that fits one sentence. And the vectors that the last layer reads have been mixed five times already,
# so what stands at the place of "dog" is no longer the word alone. A table of attention says where a head *takes values
# from*. It does not say why the model decides as it does.
#
# ## Exercises
#
# 1. Leave out the division by $\sqrt{K}$. How does the table change? Compute the entropy of each row before and after.
# 2. Put five `[PAD]`s after the sentence in place of one. Which numbers change, and which must not?
# 3. Head 1 of layer 3 looks from "it" at "dog", too. Does it tell the two trophies apart? Try both heads on ten
#    sentences in which the right answer is not the only noun.
