"""A classifier's folder, as other libraries read it: for transformers, onnxruntime, OpenVINO and CTranslate2.

Works in a process of its own: python -m bench.peers.convert FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn

NAMES = ("input_ids", "attention_mask", "token_type_ids")
FLOAT = {"DefaultTensorType": 1}  # onnx.TensorProto.FLOAT: of what the fused layers give


class MeanClassifier(nn.Module):
    """transformers' encoder, the mean of all tokens, and the linear layer of a folder of sentence-transformers."""

    def __init__(self, folder):
        from safetensors.torch import load_file
        from transformers import BertModel

        super().__init__()
        weights = load_file(Path(folder, "2_Dense", "model.safetensors"))
        self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="sdpa")
        self.linear = nn.Linear(*reversed(weights["linear.weight"].shape))
        self.linear.load_state_dict({name.removeprefix("linear."): weight for name, weight in weights.items()})

    def forward(self, input_ids, attention_mask, token_type_ids):
        """[B, T] each -> logits [B, C]"""
        x = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state  # [B, T, D]
        weight = attention_mask[:, :, None].to(x.dtype)  # [B, T, 1]
        return self.linear((x * weight).sum(dim=1) / weight.sum(dim=1))


class PoolerClassifier(nn.Module):
    """BertForSequenceClassification, its logits alone."""

    def __init__(self, folder):
        from transformers import BertForSequenceClassification

        super().__init__()
        self.whole = BertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa")

    def forward(self, input_ids, attention_mask, token_type_ids):
        """[B, T] each -> logits [B, C]"""
        return self.whole(input_ids, attention_mask, token_type_ids).logits


def classifier(folder):
    """The classifier of a folder, as transformers computes it, in evaluation mode."""
    kind = MeanClassifier if Path(folder, "modules.json").exists() else PoolerClassifier
    return kind(folder).eval()


def to_onnx(folder, path):
    ids, axes = torch.ones(2, 5, dtype=torch.int64), {name: {0: "batch", 1: "length"} for name in NAMES}
    names = {"input_names": list(NAMES), "output_names": ["logits"], "dynamic_axes": axes}
    torch.onnx.export(classifier(folder), (ids, ids, ids), str(path), dynamo=False, opset_version=17, **names)


def optimize(folder, path):
    """Write fp32.onnx and int8.onnx from an ONNX file: with onnxruntime's fused layers, and those in 8 bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    config = json.loads(Path(folder, "config.json").read_text())
    sizes = {"num_heads": config["num_attention_heads"], "hidden_size": config["hidden_size"]}
    fp32 = Path(folder, "fp32.onnx")
    optimizer.optimize_model(str(path), model_type="bert", **sizes).save_model_to_file(str(fp32))
    options = {"weight_type": QuantType.QInt8, "per_channel": True, "extra_options": FLOAT}
    options["reduce_range"] = not has_vnni()  # without it, sums of products of 8 bits overflow
    quantize_dynamic(str(fp32), str(Path(folder, "int8.onnx")), **options)


def has_vnni():
    path = Path("/proc/cpuinfo")
    return path.exists() and "vnni" in path.read_text()


def to_ctranslate2(folder):
    """Write ctranslate2/, and what stands on its encoder to head.npz: the linear layer."""
    import ctranslate2
    import numpy as np

    path = Path(folder, "config.json")  # CTranslate2 asks for what transformers no longer writes by itself
    path.write_text(json.dumps(json.loads(path.read_text()) | {"position_embedding_type": "absolute"}))
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(Path(folder, "ctranslate2")), force=True)
    whole = classifier(folder)
    head = whole.linear if isinstance(whole, MeanClassifier) else whole.whole.classifier
    np.savez(Path(folder, "head.npz"), weight=head.weight.detach().numpy(), bias=head.bias.detach().numpy())


def main(folder):
    path = Path(folder, "plain.onnx")
    to_onnx(folder, path)
    optimize(folder, path)
    try:
        import ctranslate2  # noqa: F401
    except ImportError:
        return
    to_ctranslate2(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
