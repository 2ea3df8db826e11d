"""Pictures of a run as SVG. Needs matplotlib, which the extra `plot` installs."""

from minbert.atomic import atomic_write
from minbert.errors import UserError


def pyplot():
    """matplotlib.pyplot, drawing to files only. Raises UserError if matplotlib is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise UserError("--plot needs matplotlib: pip install 'minbert[plot]', or pip install matplotlib") from None
    matplotlib.use("svg")
    # A label is text, not a formula; and text stays text, in whatever script the reader's fonts can show.
    matplotlib.rcParams |= {"text.parse_math": False, "svg.fonttype": "none"}
    import matplotlib.pyplot

    return matplotlib.pyplot


def learning_curve(history, path):
    """The training loss and, where there is a dev set, its accuracy and macro F1, over the epochs."""
    plt = pyplot()
    epochs = [figures["epoch"] for figures in history]
    figure, loss = plt.subplots(figsize=(6, 3.6), layout="constrained")
    lines = loss.plot(epochs, [figures["loss"] for figures in history], "o-", color="#444444", label="training loss")
    loss.set(xlabel="epoch", ylabel="training loss", xticks=epochs)
    loss.set_ylim(bottom=0)
    if "accuracy" in history[0]:
        share = loss.twinx()
        lines += share.plot(
            epochs, [figures["accuracy"] for figures in history], "s-", color="#1f77b4", label="dev accuracy"
        )
        lines += share.plot(
            epochs, [figures["macro_f1"] for figures in history], "^--", color="#d95f02", label="dev macro F1"
        )
        share.set(ylabel="dev", ylim=(0, 1.02))
    loss.legend(handles=lines, loc="lower left", frameon=False)
    loss.set_title("Learning curve")
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)


def loss_curve(history, path):
    """The masked-LM loss of a pretraining run over its tokens, on the text it learns from and on held-out text."""
    plt = pyplot()
    held = [figures for figures in history if "heldout_loss" in figures]
    figure, loss = plt.subplots(figsize=(6, 3.6), layout="constrained")
    millions = [figures["tokens"] / 1e6 for figures in history]
    lines = loss.plot(millions, [figures["loss"] for figures in history], color="#999999", label="training loss")
    held_millions = [figures["tokens"] / 1e6 for figures in held]
    lines += loss.plot(held_millions, [f["heldout_loss"] for f in held], "o-", color="#1f77b4", label="held-out loss")
    share = loss.twinx()
    held_accuracy = [figures["heldout_accuracy"] for figures in held]
    lines += share.plot(held_millions, held_accuracy, "s--", color="#d95f02", label="held-out accuracy")
    loss.set(xlabel="tokens read (millions)", ylabel="masked-LM loss (nats)")
    share.set(ylabel="masked tokens guessed right", ylim=(0, 1))
    loss.legend(handles=lines, loc="upper center", ncols=3, frameon=False, fontsize="small")
    loss.set_title("Pretraining")
    with atomic_write(path) as new:
        figure.savefig(new, format="svg", bbox_inches="tight")
    plt.close(figure)


def confusion_matrix(matrix, names, title, path):
    """matrix[gold][predicted] as a coloured grid; each row's shades are shares of its gold label."""
    plt = pyplot()
    size = 2.2 + 0.7 * len(names)
    figure, axes = plt.subplots(figsize=(size + 1.2, size), layout="constrained")
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for gold, row in enumerate(matrix):
        for predicted, count in enumerate(row):
            dark = shares[gold][predicted] > 0.5
            axes.text(predicted, gold, count, ha="center", va="center", color="white" if dark else "black")
    ticks = range(len(names))
    axes.set(xlabel="predicted", ylabel="gold", title=title, yticks=ticks, yticklabels=names)
    axes.set_xticks(
        ticks,
        names,
        rotation=45 if max(map(len, names)) > 4 else 0,
        ha="right" if max(map(len, names)) > 4 else "center",
    )
    figure.colorbar(image, label="share of the gold label", fraction=0.046)
    figure.savefig(path, bbox_inches="tight")
    plt.close(figure)
