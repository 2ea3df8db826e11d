"""What a user of onnxruntime writes to label lines: python onnx_script.py FOLDER TEXTS OUT"""

import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder, texts, out = map(Path, sys.argv[1:])
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_truncation(512)
tokenizer.enable_padding()
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))  # 0: as many as there are cores
session = onnxruntime.InferenceSession(str(folder / "fp32.onnx"), settings)
lines = sorted(enumerate(texts.read_text(encoding="utf-8").splitlines()), key=lambda line: -len(line[1]))
labels = [None] * len(lines)
for start in range(0, len(lines), 32):
    rows = lines[start : start + 32]
    found = tokenizer.encode_batch([text for _, text in rows])
    parts = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
    inputs = {name: np.array([getattr(each, part) for each in found], np.int64) for name, part in parts.items()}
    for (at, _), row in zip(rows, session.run(None, inputs)[0]):
        labels[at] = int(row.argmax())
out.write_text("".join(f"{label}\n" for label in labels))
