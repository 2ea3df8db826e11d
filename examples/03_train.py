# %% [markdown]
# # 3. Training, one step at a time
#
# A classifier learns by taking many small steps. Each step reads some texts, compares the answers with the right ones,
# and moves every weight a little. This notebook takes the first step by hand, then ten more on the same 32 reviews, and
# looks at what was learnt.

# %%
import copy
import math
import time

import torch

from minbert import AdamW, BertSentClassifier, BertTokenizer, fast, shipped
from minbert.batch import make_batch
from minbert.files.examples import read_examples
from minbert.training import Data, predict, set_seed, train_step

try:
    import matplotlib.pyplot as plt
except ImportError:
    plt = None
    print("matplotlib is not installed, so tables take the place of figures. To see them: pip install matplotlib")

LABELS = ("negative", "positive")
tokenizer = BertTokenizer.from_pretrained("tiny")


def read(name):
    """A file of data/reviews/, as the model reads it: ids, and classes 0 (negative) or 1 (positive)"""
    examples = read_examples(shipped.folder("data") / "reviews" / name)
    return Data(tokenizer(examples.texts), [LABELS.index(label) for label in examples.labels])


train, dev = read("train.csv"), read("dev.csv")
short = [row for row, ids in enumerate(train.encoding["input_ids"]) if len(ids) <= 20]  # so that it takes seconds
rows = [row for label in (0, 1) for row in [row for row in short if train.labels[row] == label][:16]]
batch = make_batch(train.encoding, train.labels, rows)
print(f"{len(rows)} reviews of at most {batch.input_ids.size(1)} tokens, {sum(batch.labels.tolist())} of them positive")


def new_classifier(option):
    """tiny with a new classifier on top; the same random weights and dropout each time"""
    set_seed(11711)
    return BertSentClassifier.from_pretrained("tiny", labels=LABELS, option=option)


# %% [markdown]
# ## Logits and loss
#
# The classifier gives each class a score, its *logit*: $z_{bc}$ for text $b$ and class $c$. A softmax makes
# probabilities of them. The *loss* is small where the right class $y_b$ has a high probability. It is the
# cross-entropy, the mean over the $B$ texts:
#
# $$ p_{bc} = \frac{e^{z_{bc}}}{\sum_{c'} e^{z_{bc'}}}, \qquad
#    \mathrm{loss} = -\frac{1}{B} \sum_b \log p_{b y_b} $$
#
# The new classifier knows nothing. It gives both classes about one half, so the loss is about $\log 2 = 0.69$.
#
#     32 reviews -> tiny -> one vector each -> classifier -> logits -> softmax -> loss
#                                                                                  |
#     every weight moves a little  <-  AdamW  <-  gradient of each weight  <-------+

# %%
model = new_classifier("flexible")
*inputs, labels = batch
logits = model(*inputs)  # [32, 2]
probabilities = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
loss = -probabilities[range(32), labels].log().mean()
print(f"loss {loss.item():.3f}; knowing nothing is {math.log(2):.3f}")
assert torch.allclose(loss, torch.nn.functional.cross_entropy(logits, labels))
assert abs(loss.item() - math.log(2)) < 0.05

# %% [markdown]
# ## Gradient and step
#
# The *gradient* $g$ of a weight says how the loss changes if the weight grows a little. PyTorch computes all of them at
# once, with `backward()`. AdamW keeps a running mean $m$ of each gradient and a running mean $v$ of its square, and
# then moves the weight $w$ against the gradient. At step $t$:
#
# $$ \begin{aligned}
#    m &\leftarrow \beta_1 m + (1 - \beta_1)\, g, & \hat m &= m / (1 - \beta_1^t) \\
#    v &\leftarrow \beta_2 v + (1 - \beta_2)\, g^2, & \hat v &= v / (1 - \beta_2^t) \\
#    w &\leftarrow w - \eta \lambda w, & w &\leftarrow w - \eta\, \hat m / (\sqrt{\hat v} + \epsilon)
#    \end{aligned} $$
#
# Here $\eta$ is the learning rate and $\lambda$ the weight decay. The root of $\hat v$ puts all weights on one scale:
# in the first step $\hat m = g$ and $\hat v = g^2$, so that each weight moves by about $\eta$, whatever the size of its
# gradient.

# %%
rate, decay, beta1, beta2, eps = 3e-4, 0.01, 0.9, 0.999, 1e-8
optimizer = AdamW(model.parameters(), lr=rate, weight_decay=decay)
loss.backward()

weight = model.bert.encoder.layers[0].attention.query.weight
before, gradient = weight.detach().clone(), weight.grad
mean, square, step = (1 - beta1) * gradient, (1 - beta2) * gradient**2, 1  # both began at 0
by_hand = before - rate * decay * before
by_hand -= rate * (mean / (1 - beta1**step)) / ((square / (1 - beta2**step)).sqrt() + eps)

optimizer.step()
moved = (weight - before).abs()
print(f"largest difference from AdamW: {(weight - by_hand).abs().max().item():.1e}")
print(f"the weights of this matrix moved by {moved.median().item():.1e}, the learning rate is {rate:.1e}")
assert torch.allclose(weight, by_hand, atol=1e-7)
assert abs(moved.median().item() - rate) < rate / 10

# %% [markdown]
# The step was small, and it helped: the loss on these 32 reviews is lower than before.

# %%
with torch.no_grad():
    after = torch.nn.functional.cross_entropy(model(*inputs), labels)
print(f"loss before the step {loss.item():.3f}, after it {after.item():.3f}")
assert after < loss

# %% [markdown]
# ## Ten steps, and two ways to train
#
# `train_step` does all of this in one call: forward, loss, backward, step. It also clips the gradient to length 1, so
# that one strange batch cannot throw the model off its way.
#
# There are two ways to train. **Flexible**: everything learns, all of BERT and the classifier. **Frozen** (in minbert
# `option="pretrain"`): BERT stays as it is and only the classifier learns. That is
#
# $$ C \, D + C = 2 \cdot 384 + 2 = 770 \text{ numbers} $$
#
# out of nineteen million. So few numbers can bear a higher learning rate.

# %%
curves, models = {}, {}
for option, rate in (("flexible", 3e-4), ("pretrain", 1e-2)):
    model = new_classifier(option)
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = AdamW(learning, lr=rate, weight_decay=0.01)
    model.train()  # dropout on
    curves[option] = [train_step(model, batch, optimizer) for _ in range(10)]
    models[option] = model
    print(f"{option}: {sum(weight.numel() for weight in learning):,} numbers learn")

assert sum(weight.numel() for weight in learning) == 2 * 384 + 2
assert all(curve[-1] < curve[0] for curve in curves.values())
assert curves["flexible"][-1] < curves["pretrain"][-1]

# %%
if plt:
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for (option, losses), style in zip(curves.items(), ("o-", "s--")):
        axes.plot(range(1, 11), losses, style, label=option)
    axes.axhline(math.log(2), color="#999999", linewidth=1, label="knowing nothing")
    axes.set(title="The same 32 reviews, ten times", xlabel="step", ylabel="loss", ylim=(0, None), xticks=range(1, 11))
    axes.legend(frameon=False)
    plt.show()
else:
    print("step", *curves)
    for step, losses in enumerate(zip(*curves.values()), start=1):
        print(f"{step:4}", *(f"{loss:8.3f}" for loss in losses))

# %% [markdown]
# ## Learnt by heart is not learnt
#
# The flexible model fits the 32 reviews almost perfectly. Does it know more about reviews? Only texts that it never saw
# can tell: one in four reviews of the dev file, so that it takes seconds.


# %%
def accuracy(model, data, rows):
    """The share of these rows whose class gets the highest logit"""
    encoding = {name: [values[row] for row in rows] for name, values in data.encoding.items()}
    labels = [data.labels[row] for row in rows]
    return (predict(model, Data(encoding, labels)).argmax(dim=1) == torch.tensor(labels)).float().mean().item()


some = range(0, len(dev.labels), 4)
print(f"never seen: {len(some)} reviews, {sum(dev.labels[row] for row in some)} of them positive")
for option, model in models.items():
    seen, never_seen = accuracy(model, train, rows), accuracy(model, dev, some)
    print(f"{option:10} seen {seen:.0%}   never seen {never_seen:.0%}")
    assert never_seen < 0.75 < seen

# %% [markdown]
# 32 reviews are far too few: a coin would get about half of the dev file right, too. `minbert train` reads all training
# reviews once and gets about four in five right; four reviews in ten have two sides or are ironic.
#
# ## The same, faster
#
# The model that you used is written to be read. `fast.swap_in` lets it compute the same in less time: it skips padding
# and uses faster kernels. It changes how the model computes, in place. The weights stay as they are. Here both read 16
# reviews side by side, of which most are much shorter than the longest.

# %%
plain = models["flexible"]
quick = fast.swap_in(copy.deepcopy(plain))
*inputs, _ = make_batch(dev.encoding, dev.labels, range(16))
print(f"{1 - inputs[1].float().mean().item():.0%} of this batch is padding")
logits = {}
with torch.no_grad():
    for name, model in (("plain", plain), ("swapped in", quick)):
        model.eval()  # no dropout
        model(*inputs)  # once before the clock starts: the first call sets things up
        begin = time.perf_counter()
        logits[name] = model(*inputs)
        print(f"{name:10} {time.perf_counter() - begin:.2f} s")

difference = (logits["plain"] - logits["swapped in"]).abs().max().item()
print(f"largest difference between their logits: {difference:.1e}")
assert difference < 1e-4
assert all(torch.equal(one, two) for one, two in zip(plain.parameters(), quick.parameters()))

# %% [markdown]
# The differences come from rounding: sums are added up in another order. The commands of minbert swap in by themselves.
# In your own programs it is this one line.
#
# ## Exercises
#
# 1. Set the learning rate of the flexible model to 0.1, and then to 0.000001. What do the two curves look like, and
#    why?
# 2. Train both ways on 200 reviews, in batches of 16 (`minbert.batch.batches`). Which one is better on the dev file?
#    Repeat it with three seeds before you believe the answer.
# 3. Give the 32 reviews random labels. How many steps does the flexible model need to learn them by heart? What does
#    that say about a low training loss?
