"""The whole: all files of a student together, from texts to a trained classifier and a filled mask, in small."""

import numpy as np
import torch

from minbert.course.probes import Probe, normal, real

VOCAB = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "was", "good", "bad", "dull", "fine", "a"),
    *("plot", "not", "un", "##aff", "##able", "##s", ".", ","),
]
SIZES = {"hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 17, "vocab_size": len(VOCAB)}
SIZES |= {"num_hidden_layers": 2, "max_position_embeddings": 14, "layer_norm_eps": 0.001}
TEXTS = ["The film was good.", "Unaffable plots, unaffable film!", "Dull", "not bad, not good, a fine plot"]
PAIRS = ["a plot", "the film was not the plot", "bad", ""]


def draw(rng, **more):
    return {"seed": int(rng.integers(1, 10**6))} | more


def build(code, cls, seed, **changes):
    """A model with weights drawn by numpy, in the order of their names."""
    settings = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.1} | changes
    model, rng = getattr(code.heads, cls)(code.config.Config(**SIZES, **settings)), np.random.default_rng(seed)
    state = model.state_dict()
    for name in sorted(state):
        values = torch.from_numpy(normal(rng, *state[name].shape, scale=0.3))
        state[name] = values + 1.0 if "norm.weight" in name else values
    model.load_state_dict(state)
    return model.eval()


def encode(code, **options):
    tokenizer = code.tokenizer.BertTokenizer(VOCAB)
    return tokenizer(TEXTS, PAIRS, padding=True, truncation=True, max_length=12, return_tensors="pt", **options)


def ask_model(code, seed):
    encoding = encode(code)
    mask = encoding["attention_mask"]
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        yield name, encoding[name]
    model = build(code, "BertSentClassifier", seed, num_labels=3)
    output = model.bert(**encoding, output_hidden_states=True)
    for number, state in enumerate(output["hidden_states"]):
        yield f"hidden state {number}", real(state, mask)
    yield "pooler_output", output["pooler_output"]
    yield "logits", model(**encoding)
    yield "probabilities", model.predict_proba(**encoding)


def ask_training(code, seed, option):
    encoding, labels = encode(code), torch.tensor([1, 0, 2, 1])
    model = build(code, "BertSentClassifier", seed, num_labels=3, option=option, pooling="mean")
    optimizer = code.optimizer.AdamW(code.optimizer.parameter_groups(model, 0.1), eps=0.01)
    rates = [0.02 * code.optimizer.linear(step, 1, 4) for step in range(1, 4)]
    weight, losses = code.training.class_weights(labels.tolist(), 3), []
    batch = (*(encoding[name] for name in ("input_ids", "attention_mask", "token_type_ids")), labels)
    code.training.train_epoch(model, [batch] * 3, optimizer, rates, weight, 0.5, watch=lambda *one: losses.append(one))
    yield "losses and rates", torch.tensor(losses)
    yield "logits after three steps", model.eval()(**encoding)
    yield "token vectors after three steps", model.bert.embeddings.token.weight


def ask_fill_mask(code, seed):
    model = build(code, "BertForMaskedLM", seed).train()
    rows = code.probing.fill_mask(model, code.tokenizer.BertTokenizer(VOCAB), "The film was [MASK].")
    yield "scores", torch.tensor([row["score"] for row in rows])
    yield "texts", [row["sequence"] for row in rows]


PROBES = (
    Probe("from texts to probabilities", draw, ask_model),
    Probe("three steps, everything learns", lambda rng: draw(rng, option="flexible"), ask_training),
    Probe("three steps, the head learns", lambda rng: draw(rng, option="pretrain"), ask_training),
    Probe("fill-mask", draw, ask_fill_mask),
)
