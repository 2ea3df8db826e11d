"""What a model costs, by formulas in the letters of size.LETTERS: memory to train and to predict, FLOPs, hours.

Formulas and comments name their source in square brackets, by its number in SOURCES.
"""

from typing import NamedTuple

from minbert.errors import UserError
from minbert.size import Line, Row, Sizes, computed, parameters, total

SOURCES = (
    "Rajbhandari et al. 2020, ZeRO, section 3.1 (arXiv 1910.02054)",
    "Korthikanti et al. 2022, Reducing activation recomputation, section 4 (arXiv 2205.05198)",
    "Narayanan et al. 2021, Efficient large-scale training, section 5.1 and appendix (arXiv 2104.04473)",
    "Kaplan et al. 2020, Scaling laws, section 2.1 (arXiv 2001.08361)",
    "Kwon et al. 2023, PagedAttention, section 3 (arXiv 2309.06180)",
    "Smith et al. 2022, MT-NLG 530B, section 2.4 (arXiv 2201.11990)",
    "NVIDIA's data sheets of V100 SXM2, A100 SXM and H100 SXM: dense, without sparsity",
)
WIDTHS = {"fp32": 4, "bf16": 2}  # bytes of a number


class Hardware(NamedTuple):
    """A device: FLOPs a second at its best {precision: number}, and bytes of memory (None: not known)."""

    peak: dict
    memory: float | None


HARDWARE = {  # [7]; the V100 has 16-bit numbers of another kind, fp16
    "v100": Hardware({"bf16": 125e12, "fp32": 15.7e12}, 32e9),
    "a100": Hardware({"bf16": 312e12, "fp32": 19.5e12}, 80e9),
    "h100": Hardware({"bf16": 989e12, "fp32": 67e12}, 80e9),
}
# Of the peak: MT-NLG on 2,240 A100 computed 126 TFLOPs a second [6], a quarter of them the layers once more.
UTILISATION = 0.3

# Training: bytes of weights, gradients and AdamW's state [1]; of what the forward pass keeps for the backward pass [2].
STATE = {
    "fp32": (
        Line("weights", "4*N", "4 bytes for each parameter"),
        Line("gradients", "4*N", "4 bytes for each parameter"),
        Line("AdamW", "8*N", "two running means of 4 bytes for each parameter"),
    ),
    "bf16": (
        Line("weights", "2*N", "2 bytes for each parameter"),
        Line("gradients", "2*N", "2 bytes for each parameter"),
        Line("AdamW", "12*N", "two running means and the weight itself, 4 bytes each"),
    ),
}
KEPT_ONCE = Line("kept: embeddings", "B*T*D", "which numbers dropout keeps, a byte each")
KEPT = (  # how often: of a layer
    ("A", Line("kept: attention", "B*T*D*(5*w + 1)", "input, query, key, value, mixed values; and dropout's bytes")),
    ("A", Line("kept: probabilities", "B*H*T*T*(2*w + 1)", "probabilities before and after dropout; dropout's bytes")),
    (
        "L",
        Line("kept: feed-forward", "B*T*(D*w + 2*F*w + D)", "input, wide layer before and after GELU; dropout's bytes"),
    ),
    ("A + L", Line("kept: norms", "B*T*D*w", "the input of each norm")),
)
KEPT_WORDS = Line("kept: head of words", "B*T*(2*D*w + 4*V)", "inputs of norm and readout, probabilities in 4 bytes")


def times(often: str, formula: str) -> str:
    """'A + L', 'B*T' -> '(A + L)*B*T'"""
    if often == "1":
        return formula
    return f"({often})*{formula}" if "+" in often else f"{often}*{formula}"


def kept(sizes: Sizes, head: str, recompute: bool, fused: bool) -> list[Line]:
    """What the forward pass keeps. recompute, fused: as in training_memory"""
    parts = [(often, line) for often, line in KEPT if not (fused and line.title == "kept: probabilities")]
    if recompute:
        looks = 1 + (sizes.letters["A"] > sizes.L)  # attentions in the largest layer
        number = {"A": looks, "L": 1, "A + L": looks + 1}
        one = " + ".join(times(str(number[often]), line.formula) for often, line in parts)
        inside = [
            Line("kept: layers' inputs", "L*B*T*D*w", "the input of each layer: the rest is computed once more"),
            Line("kept: one layer", one, "what a single layer keeps, while its turn has come"),
        ]
    else:
        inside = [line._replace(formula=times(often, line.formula)) for often, line in parts]
    return [KEPT_ONCE, *inside, *([KEPT_WORDS] if head == "words" else [])]


def training_memory(sizes: Sizes, head: str, batch: int, tokens: int, precision: str, recompute=False, fused=False):
    """The bytes that training with AdamW takes, as Rows; without what the libraries themselves take.

    batch, tokens  B texts of T tokens
    precision      a key of WIDTHS; bf16: weights and gradients in 16 bits, and AdamW's copy of the weights in 32
    recompute      keep each layer's input only, and compute the layer again in the backward pass [2, section 5]
    fused          attention never stores who looks at whom (FlashAttention)
    """
    letters = measures(sizes, head, batch, tokens, precision)
    return computed([*STATE[precision], *kept(sizes, head, recompute, fused)], letters)


def prediction_memory(sizes: Sizes, head: str, batch: int, tokens: int, precision: str, fused=False):
    """The bytes that prediction takes, as Rows: layers come one after the other, so one layer's counts."""
    moment = "B*T*w*max(D + 2*F, 4*D)" if fused else "B*T*w*max(D + 2*F, 4*D + 2*H*T)"
    lines = [
        Line("weights", "w*N", "each parameter once"),
        Line("one layer", moment, "the larger of feed-forward layer and attention, at their largest"),
    ]
    if sizes.writes:
        cache = ("4*(A - L)" if sizes.family == "marian" else "2*L") + "*B*T*D*w"
        lines.append(Line("cache", cache, "key and value of each token that was read, in each layer [5]"))
    if head == "words":
        rows = "B*V*4" if sizes.writes else "B*T*V*4"
        lines.append(Line("scores of words", rows, "of the next token" if sizes.writes else "at each place"))
    return computed(lines, measures(sizes, head, batch, tokens, precision))


def measures(sizes, head, batch, tokens, precision):
    """The letters' values for a batch."""
    longest = sizes.most or sizes.P
    if tokens > longest:
        raise UserError(f"a text of {tokens:,} tokens, but the model has {longest:,} positions")
    number = total(parameters(sizes, head))
    return sizes.letters | {"N": number, "B": batch, "T": tokens, "w": WIDTHS[precision]}


# FLOPs: a multiplication and an addition for each weight of a matrix and each token [3, 4].
FORWARD = (
    Line("attention", "A*8*D*D", "four matrices, 2 for each weight"),
    Line("who looks at whom", "A*4*T*D", "query times keys, and probabilities times values"),
    Line("feed-forward", "L*4*D*F", "two matrices"),
)
FLOPS_WORDS = {True: "2*D*V", False: "2*(D*E + E*V)"}  # of a model that writes; of an encoder


def flops(sizes: Sizes, head: str, tokens: int, recompute=False) -> tuple[list[Row], list[Row]]:
    """The FLOPs of one token in a text of T tokens: of the forward pass, and of training. Without norms, softmax and
    GELU, and without what is computed once for a text: pooler and classifier."""
    lines = list(FORWARD)
    if sizes.letters["E"] != sizes.D:
        lines.insert(0, Line("to the layers' width", "2*E*D", "a matrix"))
    if head == "words":
        lines.append(Line("head of words", FLOPS_WORDS[sizes.writes], "the matrices of the head, at each place"))
    letters = sizes.letters | {"T": tokens}
    forward = computed(lines, letters)
    again = " + ".join(line.formula for line in FORWARD)
    training = [
        Line("forward", "g", "as above"),
        Line("backward", "2*g", "twice as much: the gradients of inputs and of weights [3, 4]"),
        *([Line("layers once more", again, "their forward pass, in the backward pass [3]")] if recompute else []),
    ]
    return forward, computed(training, letters | {"g": total(forward)})


def duration(tokens: float, each: float, devices: int, peak: float, utilisation: float) -> list[Row]:
    """How long training takes, in hours and in days. each: FLOPs of a token; peak: FLOPs a second of one device"""
    letters = {"n": tokens, "f": each, "G": devices, "p": peak, "u": utilisation}
    lines = [
        Line("hours", "n*f / (G*p*u) / 3600", "FLOPs, by what the devices do in a second, by 3600 seconds [3]"),
        Line("days", "n*f / (G*p*u) / 86400", "the same, by the seconds of a day"),
    ]
    return computed(lines, letters)


def fewest_devices(sizes: Sizes, head: str, memory: float) -> Row:
    """How many devices hold the state of training at least, if it is shared out among them."""
    line = Line("devices at least", "ceil(16*N / m)", "for weights, gradients and AdamW, without activations [1]")
    return computed([line], {"N": total(parameters(sizes, head)), "m": memory})[0]
