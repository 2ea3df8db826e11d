"""Part 8: the masked-LM head and its loss, fill-mask, readouts. Encoder and tokenizer are stand-ins."""

import numpy as np
import torch
from torch import nn

from minbert.course.probes import Probe, fill, gradient, lengths, linears, names, normal, norms, refusal

B, T, D = 3, 6, 8
WORDS = [
    *("film", "was", "good", "bad", "the", "not", "it", "un", "##aff", "##able", "wo", "##nder", "##ful", "##s"),
    *("a", "plot", ".", "sep", "movie", "review", "is", "this"),
]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
CUTS = {"unaffable": ["un", "##aff", "##able"], "wonderful": ["wo", "##nder", "##ful"], "films": ["film", "##s"]}
V = len(VOCAB) + 2  # a model can have spare rows


class Words:
    """A tokenizer that cuts at spaces."""

    pad_token, unk_token, cls_token, sep_token, mask_token = VOCAB[:5]
    pad_token_id, unk_token_id, cls_token_id, sep_token_id, mask_token_id = range(5)
    max_length = 512

    def __init__(self):
        self.vocab, self.tokens = {token: id for id, token in enumerate(VOCAB)}, dict(enumerate(VOCAB))
        self.special = VOCAB[:5]

    def __len__(self):
        return len(VOCAB)

    def __call__(self, text, add_special_tokens=True, allow_special=False, **options):
        ids = [self.vocab[piece] for piece in self.tokenize(text, allow_special)]
        ids = [2, *ids, 3] if add_special_tokens else ids
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": [0] * len(ids)}

    def encode(self, text, **options):
        return self(text, **options)["input_ids"]

    def words(self, text):
        return text.split()

    def wordpiece(self, word):
        return CUTS.get(word, [word] if word in WORDS else ["[UNK]"])

    def tokenize(self, text, keep_special=True):
        words = text.split()
        return [p for word in words for p in ([word] if keep_special and word in VOCAB else self.wordpiece(word))]

    def convert_tokens_to_ids(self, tokens):
        return self.vocab.get(tokens, 1) if isinstance(tokens, str) else [self.vocab.get(one, 1) for one in tokens]

    def convert_ids_to_tokens(self, ids):
        get = self.tokens.get  # a row without a token: no exception, so that it can be told from other mistakes
        return get(ids, "[UNK]") if isinstance(ids, int) else [get(int(id), "[UNK]") for id in ids]

    def decode(self, ids, **options):
        return " ".join(self.convert_ids_to_tokens([ids] if isinstance(ids, int) else ids)).replace(" ##", "")


class Encoder(nn.Module):
    """Each token's vector, with a share of those that it may look at: near ones more; dropout."""

    def __init__(self, table):
        super().__init__()
        self.embeddings = nn.Module()
        self.embeddings.token = nn.Embedding.from_pretrained(table, freeze=False)
        self.dropout = nn.Dropout(0.5)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, causal=False, **options):
        shown = torch.ones_like(input_ids) if attention_mask is None else attention_mask.expand_as(input_ids)
        places = torch.arange(input_ids.size(1))
        near = 1.0 / (1.5 + (places[None] - 0.8 * places[:, None]).abs()) * shown[:, None]  # [B, T, T]
        near = near.tril() if causal else near
        x = self.embeddings.token(input_ids)
        x = x if token_type_ids is None else x + 0.5 * token_type_ids[:, :, None]
        x = self.dropout(x + near @ x)
        return {"last_hidden_state": x, "pooler_output": x.sum(1).tanh()}


class Model(nn.Module):
    """Answers as a BertForMaskedLM does, with the dot product alone."""

    def __init__(self, table):
        super().__init__()
        self.bert, self.config = Encoder(table), Sizes()

    def predict(self, x, labels=None):
        return x @ self.bert.embeddings.token.weight.T, None

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, labels=None, causal=False):
        return self.predict(self.bert(input_ids, attention_mask, token_type_ids, causal)["last_hidden_state"], labels)


class Sizes:
    max_position_embeddings, vocab_size, num_hidden_layers, num_attention_heads = 30, V, 1, 2


def inputs(rng, **more):
    table = normal(rng, V, D, scale=0.8)
    labels = np.where(rng.random((B, T)) < 0.4, rng.integers(4, V, (B, T)), -100)
    labels[0, :3], labels[1] = [7, 9, 0], -100  # a row without labels
    found = {
        "table": table,
        "input_ids": rng.integers(4, V, (B, T)),
        "labels": labels,
        "mask": lengths(T, T - 2, T - 3),
    }
    segments = np.array([[int(at >= row + 2) for at in range(T)] for row in range(B)])
    head = linears(rng, dense=(D, D), next_sentence=(2, D)) | norms(rng, D, "norm")
    return found | head | {"bias": normal(rng, V), "segments": segments} | more


def bend(x):
    """In place of GELU, which is the work of part 4."""
    return x * torch.sigmoid(1.7 * x)


def build(code, table, weights, cls="BertForMaskedLM", **changes):
    settings = {"hidden_size": D, "num_attention_heads": 2, "intermediate_size": 5, "vocab_size": V}
    config = code.config.Config(**settings, num_hidden_layers=1, layer_norm_eps=0.02, **changes)
    model = getattr(code.heads, cls)(config)
    model.bert = Encoder(table)
    head = {name: value for name, value in weights.items() if name.split(".")[0] in ("dense", "norm", "bias")}
    if not config.tie_word_embeddings:
        head["decoder.weight"] = table.flip(0)
    fill(model.predictions, head).activation = bend
    if cls == "BertForPreTraining":
        fill(model.next_sentence, {name: weights[f"next_sentence.{name}"] for name in ("weight", "bias")})
    return model.eval()


def ask_head(code, table, input_ids, labels, mask, segments, tied=True, **weights):
    head = build(code, table, weights, tie_word_embeddings=tied).predictions
    x = table[input_ids].flip(-1).requires_grad_()
    tokens = table.clone().requires_grad_()
    logits = head(x, tokens)
    yield "logits", logits
    logits.square().mean().backward()
    yield "gradient of its input", gradient(x)
    yield "gradient of the embeddings", gradient(tokens)


def ask_predict(code, table, input_ids, labels, mask, segments, **weights):
    model, x = build(code, table, weights), table[input_ids].flip(-1)
    yield "logits, no labels", model.predict(x)[0]
    logits, loss = model.predict(x, labels)
    yield "logits, labels", logits
    yield "loss", loss
    loss.backward()
    yield "gradient of the bias", gradient(model.predictions.bias)
    yield "gradient of the embeddings", gradient(model.bert.embeddings.token.weight)


def ask_unlabelled(code, table, input_ids, labels, mask, segments, **weights):
    logits, loss = build(code, table, weights).predict(table[input_ids].flip(-1), torch.full_like(labels, -100))
    yield "logits", torch.tensor(float(len(logits)))
    yield "loss", ["None"] if loss is None else loss


def ask_masked_lm(code, table, input_ids, labels, mask, segments, training=False, **weights):
    model = build(code, table, weights).train(training)
    for causal in (False, True):
        logits, loss = model(input_ids, mask, segments, labels, causal)
        yield f"logits, causal={causal}", logits
        yield f"loss, causal={causal}", loss
    yield "logits, ids alone", model(input_ids)[0]
    fresh = code.heads.BertForMaskedLM(model.config)
    yield "the mode of a new model", ["training" if fresh.training else "evaluation"]


def ask_pretraining(code, table, input_ids, labels, mask, segments, **weights):
    model = build(code, table, weights, "BertForPreTraining")
    follows = torch.tensor([1, 0, 1])
    logits, order, loss = model(input_ids, mask, segments, labels, follows)
    yield "logits", logits
    yield "next-sentence logits", order
    yield "loss", loss
    yield "loss, words alone", model(input_ids, mask, segments, labels)[2]
    loss = model(input_ids, mask, segments, None, follows)[2]
    yield "loss, order alone", torch.zeros(()) if loss is None else loss


def ask_top(code, logits, top):
    rows = code.probing.top_tokens(logits, Words(), top)
    yield "scores", torch.tensor([row["score"] for row in rows])
    yield "tokens", [row["token"] for row in rows]
    yield "ids", torch.tensor([row["id"] for row in rows])


def ask_fill(code, table, texts, top=5, targets=None):
    """The model comes in training mode."""
    model = Model(table).train()
    for text in texts:
        found = code.probing.fill_mask(model, Words(), text, top, targets)
        found = found if isinstance(found[0], list) else [found]
        yield f"[MASK]s that are filled, {text!r}", torch.tensor(float(len(found)))
        for number, rows in enumerate(found, start=1):
            where = f"{text!r}, [MASK] {number}"
            scores = torch.tensor([row["score"] for row in rows])
            yield f"scores, {where}", scores
            yield f"their logarithms, {where}", scores.log()
            yield f"ids, {where}", [str(row["id"]) for row in rows]
            yield f"words, {where}", [row["token"] for row in rows]
            yield f"texts, {where}", [row["sequence"] for row in rows]
    yield "the model's mode afterwards", names(["training" if model.training else "evaluation"])
    yield "a text without [MASK]", [refusal(code.probing.fill_mask, model, Words(), "the film was good .")]


def ask_answers(code, table):
    ids = [[2, 5, 9, 4, 3], [2, 4, 3], [2, 6, 7, 8, 9, 10, 4, 3], [2, 11, 4, 12, 3]]
    question, model = code.probing.Question, Model(table).train()
    plain = [question(tuple(row), row.index(4)) for row in ids]
    for kind, asked in (
        ("plain", plain),
        ("a key hidden", [one._replace(hidden=len(one.ids) - 1, at=len(one.ids) - 1) for one in plain]),
        ("causal", [one._replace(causal=True) for one in plain]),
    ):
        yield f"log-probabilities, {kind}", torch.stack(list(code.probing.answers(model, asked)))
    yield "the model's mode afterwards", names(["training" if model.training else "evaluation"])


def ask_readouts(code, text):
    for name, readout in code.probing.READOUTS.items():
        asked = [readout.question(Words(), text.tolist(), *rest) for rest in (([], 1), ([], 3), ([12, 13], 1))]
        yield name, [f"{list(one.ids)} read at {one.at}, hidden {one.hidden}, causal {one.causal}" for one in asked]


def ask_next_word(code, table, words):
    for row in code.probing.next_word(Model(table), Words(), "the film was", words, top=3):
        yield f"p, {row['readout']}", torch.tensor(list(row["p"].values()))
        yield f"prior, {row['readout']}", torch.tensor(list(row["prior"].values()))
        yield f"corrected, {row['readout']}", torch.tensor(list(row["corrected"].values()))
        yield f"ratios, {row['readout']}", torch.tensor([row["ratio"], row["prior_ratio"]]).log()
        yield f"labels, {row['readout']}", [row["label"], row["corrected_label"]]
        yield f"top, {row['readout']}", [token["token"] for token in row["top"]]


def ask_likelihood(code, table, texts):
    for whole_words in (False, True):
        for text in texts:
            total, rows = code.probing.pseudo_log_likelihood(Model(table), Words(), text, whole_words)
            where = f"{text!r}, whole_words={whole_words}"
            yield f"sum, {where}", torch.tensor(float(total))
            yield f"log P, {where}", torch.tensor([score for _, score in rows])
            yield f"tokens, {where}", [token for token, _ in rows]


def ask_compare(code, table, texts):
    for first, second in (texts, texts[::-1]):
        found = code.probing.compare(Model(table), Words(), first, second)
        yield f"scores, {first!r}", torch.tensor(found["scores"])
        yield f"preferred, {first!r}", torch.tensor(float(found["preferred"]))
        yield f"rows, {first!r}", [f"{a and a[0]} - {b and b[0]}" for a, b in found["rows"]]


def model(rng, **more):
    return {"table": normal(rng, V, D, scale=0.7)} | more


def logits(shift, **more):
    """All different; the rows without a token are the largest of all."""

    def draw(rng):
        values = normal(rng, V, scale=2.0) + shift
        values[-2:] = [values.max() + 0.5, values.max() + 1.0]
        return {"logits": values.astype(np.float32)} | more

    return draw


ONE = ["the film was [MASK] .", "[MASK] film", "the [MASK] was [MASK] [MASK] ."]
TARGETS = ["good", "wonderful", "bad", "films"]
PROBES = (
    Probe("MaskedLMHead", inputs, ask_head),
    Probe("MaskedLMHead, untied", lambda rng: inputs(rng, tied=False), ask_head),
    Probe("BertForMaskedLM.predict", inputs, ask_predict),
    Probe("option: predict, nothing labelled", inputs, ask_unlabelled),
    Probe("BertForMaskedLM", inputs, ask_masked_lm),
    Probe("BertForMaskedLM, training", lambda rng: inputs(rng, training=True), ask_masked_lm),
    Probe("BertForPreTraining", inputs, ask_pretraining),
    Probe("top_tokens", logits(0.0, top=5), ask_top),
    Probe("top_tokens, shifted", logits(-40.0, top=3), ask_top),
    Probe("top_tokens, all", logits(0.0, top=1000), ask_top),
    Probe("fill_mask", lambda rng: model(rng, texts=ONE), ask_fill),
    Probe("fill_mask, targets", lambda rng: model(rng, texts=ONE, targets=TARGETS, top=2), ask_fill),
    Probe("answers", model, ask_answers),
    Probe("option: readouts", lambda rng: {"text": rng.integers(5, 12, 2)}, ask_readouts),
    Probe("option: next_word", lambda rng: model(rng, words=["good", "wonderful", "bad"]), ask_next_word),
    Probe("option: pseudo_log_likelihood", lambda rng: model(rng, texts=["unaffable film", "a plot"]), ask_likelihood),
    Probe("option: compare", lambda rng: model(rng, texts=["the film was good", "the film was not bad"]), ask_compare),
)
