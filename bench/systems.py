"""The work that is measured, ours and the peers'. A function sets it up and returns one that does it once.

    python -m bench.systems NAME OPTIONS    what bench.measure starts: does the work once for each line "run"

What a run returns: seconds, and what it did in them.
"""

import gc
import json
import math
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from minbert import BertSentClassifier, BertTokenizer, families, fast, training
from minbert.batch import batches, epoch_order
from minbert.families.gpt2 import GPT2LMHeadModel
from minbert.families.marian import MarianForTranslation
from minbert.fast.int8 import quantize
from minbert.fast.linear import multiply
from minbert.fast.memory import retain_freed_memory
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet
from minbert.generation import generate_all
from minbert.heads import BertModel
from minbert.runs import classifier
from minbert.search import beam_search
from minbert.tokenizers import XLMRobertaTokenizer, bpe_files
from minbert.tokenizers.byte_bpe import END, LETTERS, WORD, ByteBPETokenizer
from minbert.tokenizers.xlm_roberta import MODEL

LENGTH = 512


def texts(path, limit=None):
    return read_examples(path).texts[:limit]


def swapped_tokenizer(folder):
    return fast.swap_in(BertTokenizer.from_pretrained(folder))


def encoding(folder, path, limit=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # texts that are cut
        return swapped_tokenizer(folder)(texts(path, limit), truncation=True, max_length=LENGTH)


def count(rows):
    return sum(map(len, rows["input_ids"]))


def by_length(rows, size):
    """Row numbers in batches, the longest first: what sentence-transformers does, for the other peers."""
    order = sorted(range(len(rows["input_ids"])), key=lambda row: -len(rows["input_ids"][row]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def timed(work, clock=time.perf_counter):
    """The seconds that work takes."""
    begin = clock()
    work()
    return {"seconds": clock() - begin}


# The machine itself


def peak(**options):
    """The most multiplications that it does, in GFLOP/s, by either of torch's libraries."""
    size = 2048

    def run():
        found = {}
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            x = torch.randn(size, size).to(dtype)
            ways = [lambda x=x: x @ x]
            if dtype == torch.float32 and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
                ways.append(lambda x=x: multiply(x, x))
            seconds = [timed(way)["seconds"] for way in ways for _ in range(5)]
            found[name] = 2 * size**3 / min(seconds) / 1e9
        return {"seconds": 0.0, **found}

    return run


# Tokenizing


def tokenize(folder, paths, warm=True, **options):
    rows = [text for path in paths for text in texts(path)]
    size, tokenizer = sum(len(text.encode()) for text in rows), swapped_tokenizer(folder)

    def run():
        if not warm:
            tokenizer.word_ids.clear()
            tokenizer.chunk_ids.clear()
        return timed(lambda: tokenizer(rows)) | {"bytes": size}

    return run


def hf_tokenize(folder, paths, **options):
    from tokenizers import Tokenizer

    rows = [text for path in paths for text in texts(path)]
    size, tokenizer = sum(len(text.encode()) for text in rows), Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ours = swapped_tokenizer(folder)(rows)["input_ids"]
    equal = sum(row == found.ids for row, found in zip(ours, tokenizer.encode_batch_fast(rows)))

    def run():
        found = timed(lambda: tokenizer.encode_batch_fast(rows))
        return found | {"bytes": size, "equal": equal, "rows": len(rows)}

    return run


# Byte-level BPE, whose merges are in `folder`


def bpe(folder, paths, warm=True, **options):
    rows, tokenizer = [text for path in paths for text in texts(path)], ByteBPETokenizer.from_pretrained(folder)
    size = sum(len(text.encode()) for text in rows)

    def run():
        if not warm:
            tokenizer.forget()
        return timed(lambda: tokenizer(rows)) | {"bytes": size}

    return run


def peer_bpe(folder, paths, encode):
    """A peer's work, and how many texts get our ids. encode: texts -> ids"""
    rows = [text for path in paths for text in texts(path)]
    ours = ByteBPETokenizer.from_pretrained(folder)(rows)["input_ids"]
    checked = {"equal": sum(one == two for one, two in zip(ours, encode(rows))), "rows": len(rows)}
    checked["bytes"] = sum(len(text.encode()) for text in rows)
    return lambda: timed(lambda: encode(rows)) | checked


def hf_bpe(folder, paths, **options):
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ("vocab.json", "merges.txt")
    tokenizer = Tokenizer(models.BPE.from_file(*(str(Path(folder, name)) for name in names)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return peer_bpe(folder, paths, lambda rows: [found.ids for found in tokenizer.encode_batch_fast(rows)])


def tiktoken_bpe(folder, paths, threads, **options):
    """tiktoken takes the number of a merge for the id of what it makes, as our ids here are."""
    import tiktoken

    ours = ByteBPETokenizer.from_pretrained(folder)
    ranks = {ours.token_bytes[token]: id for token, id in ours.vocab.items() if token != END}
    pattern = WORD.pattern.replace("}+", "}++").replace("]+", "]++")  # the same words, without looking back
    peer = tiktoken.Encoding("ours", pat_str=pattern, mergeable_ranks=ranks, special_tokens={END: ours.vocab[END]})
    if threads == 1:
        return peer_bpe(folder, paths, lambda rows: [peer.encode_ordinary(row) for row in rows])
    return peer_bpe(folder, paths, lambda rows: peer.encode_ordinary_batch(rows, num_threads=threads))


def learn_bpe(folder, rows, size):
    """Write a byte-level BPE learnt from texts, with as many tokens: the bytes, what the merges make, END."""
    from tokenizers import ByteLevelBPETokenizer as Learner

    learner = Learner()
    learner.train_from_iterator(rows, vocab_size=size - 1, min_frequency=2, show_progress=False)
    learner.save_model(folder)
    merges = bpe_files.read_merges(Path(folder, bpe_files.MERGES))
    tokens = [*(LETTERS[byte] for byte in range(256)), *dict.fromkeys(map("".join, merges)), END]
    ByteBPETokenizer({token: id for id, token in enumerate(tokens)}, merges).save_pretrained(folder)


# Unigram


def unigram(folder, rows, warm=True, **options):
    rows, tokenizer = ROWS[rows](options), XLMRobertaTokenizer.from_pretrained(folder)
    size = sum(len(text.encode()) for text in rows)

    def run():
        if not warm:
            tokenizer.forget()
        return timed(lambda: [tokenizer.text_to_ids(row) for row in rows]) | {"bytes": size}

    return run


def peer_unigram(folder, rows, encode, options):
    """A peer's work, and how many texts get our ids. encode: texts -> ids"""
    rows, tokenizer = ROWS[rows](options), XLMRobertaTokenizer.from_pretrained(folder)
    equal = sum(tokenizer.text_to_ids(row) == ids for row, ids in zip(rows, encode(rows)))
    checked = {"equal": equal, "rows": len(rows), "bytes": sum(len(text.encode()) for text in rows)}
    return lambda: timed(lambda: encode(rows)) | checked


def sentencepiece_unigram(folder, rows, threads, **options):
    """SentencePiece's numbers are one less than fairseq's; the unknown piece's is 0, and fairseq's 3."""
    import sentencepiece

    peer = sentencepiece.SentencePieceProcessor(model_file=str(Path(folder, MODEL)))

    def encode(rows):
        return [[id + 1 if id else 3 for id in ids] for ids in peer.encode(rows, num_threads=threads)]

    return peer_unigram(folder, rows, encode, options)


def hf_unigram(folder, rows, **options):
    from tokenizers import Tokenizer

    peer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))

    def encode(rows):
        return [found.ids for found in peer.encode_batch_fast(rows, add_special_tokens=False)]

    return peer_unigram(folder, rows, encode, options)


def learn_unigram(folder, rows, size):
    """Write a unigram model that SentencePiece learns from texts, with its usual rules, as XLM-RoBERTa's files."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(rows),
        model_prefix=str(Path(folder, "learnt")),
        vocab_size=size,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    XLMRobertaTokenizer.from_files(Path(folder, "learnt.model")).save_pretrained(folder)


def reviews(options):
    return [text for path in options["paths"] for text in texts(path)]


def long_texts(options):
    """The same texts, joined to texts of LONG characters."""
    whole = " ".join(reviews(options))
    return [whole[at : at + LONG] for at in range(0, len(whole), LONG)]


LONG = 11_000
ROWS = {"reviews": reviews, "tweets": reviews, "long texts": long_texts}


# Writing, with a cache of keys and values; the best token always

PROMPT, WRITTEN = 16, 64  # tokens


def write(folder, batch_size, threads, **options):
    torch.set_num_threads(threads)
    model = fast.for_writing(fast.swap_in(families.load(folder, "causal")))
    prompts = prompts_of(model.config.vocab_size, batch_size)

    def work():
        return [made.ids for (made,) in generate_all(model, prompts, max_tokens=WRITTEN, temperature=0)]

    return written(work, threads)


def hf_write(folder, batch_size, threads, **options):
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(threads)
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
    prompts = torch.tensor(prompts_of(model.config.vocab_size, batch_size))
    settings = {"attention_mask": torch.ones_like(prompts), "do_sample": False, "max_new_tokens": WRITTEN}

    def work():
        return model.generate(prompts, **settings)[:, PROMPT:].tolist()

    return written(work, threads)


# Translating, by beam search

READ, BEAMS, MARIAN_WORDS = 24, 4, 32_000  # tokens of a text; beams; tokens of the vocabulary


def new_marian(folder, layers, size):
    """Write a Marian of random weights. It ends in the last place only, so all systems write as much."""
    torch.manual_seed(0)
    sizes = {"vocab_size": MARIAN_WORDS, "hidden_size": size, "num_attention_heads": size // 64}
    sizes |= {"num_hidden_layers": layers, "intermediate_size": 4 * size, "decoder_layers": layers}
    sizes |= {"decoder_attention_heads": size // 64, "decoder_ffn_dim": 4 * size, "initializer_range": size**-0.5}
    model = MarianForTranslation(sizes)
    model.final_logits_bias.normal_()
    model.save_pretrained(folder)


def texts_to_translate(number):
    """Ids and their mask, the same for each system; the last text is half as long as the first"""
    ids = torch.from_numpy(np.random.default_rng(0).integers(1, MARIAN_WORDS - 1, (number, READ)))
    lengths = torch.linspace(READ, READ if number == 1 else READ // 2, number).long()
    mask = (torch.arange(READ) < lengths[:, None]).long()
    return ids.masked_fill(mask == 0, MARIAN_WORDS - 1), mask


def search(folder, batch_size, threads, **options):
    torch.set_num_threads(threads)
    model, texts = fast.swap_in(families.load(folder, "translation")), texts_to_translate(batch_size)

    def work():
        return [results[0][1] for results in beam_search(model, *texts, beams=BEAMS, max_length=WRITTEN)]

    return written(work, threads)


def hf_search(folder, batch_size, threads, **options):
    from transformers import MarianMTModel

    torch.set_num_threads(threads)
    model, (ids, mask) = MarianMTModel.from_pretrained(folder).eval(), texts_to_translate(batch_size)
    settings = {"attention_mask": mask, "num_beams": BEAMS, "max_length": WRITTEN, "do_sample": False}

    def work():
        rows = model.generate(ids, **settings)[:, 1:].tolist()
        return [row[: row.index(0) + 1] for row in rows]

    return written(work, threads)


def prompts_of(vocab_size, number):
    """Ids, the same for each system"""
    return np.random.default_rng(0).integers(0, vocab_size, (number, PROMPT)).tolist()


def written(work, threads):
    """Of one thread, the time that it computed: what other programs take does not count."""
    ids = []

    def run():
        figures = timed(lambda: ids.extend(work()), time.process_time if threads == 1 else time.perf_counter)
        made = [ids.pop() for _ in range(len(ids))]
        return figures | {"tokens": sum(map(len, made)), "ids": made}

    return run


def new_gpt(folder, layers, size):
    """Write a GPT-2 of random weights, with GPT-2's vocabulary."""
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": layers, "hidden_size": size, "num_attention_heads": size // 64}
    GPT2LMHeadModel(sizes | {"intermediate_size": 4 * size}).save_pretrained(folder)


# Prediction, of ids prepared beforehand


def predict(folder, path, precision="fp32", pooling="pooler", limit=None, **options):
    rows = encoding(folder, path, limit)
    model = BertSentClassifier.from_pretrained(folder, pooling=pooling)
    if precision == "int8":
        quantize(model)
    fast.for_reading(fast.swap_in(model))

    def run():
        return timed(
            lambda: training.predict(model, training.Data(rows, None), precision=precision) is None or None
        ) | {"tokens": count(rows)}

    return run


def hf_model(folder):
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa")


def hf_predict(folder, path, batch_size, limit=None, **options):
    """In the order of the file, as most loops do."""
    rows, model = encoding(folder, path, limit), hf_model(folder).eval()
    ours = training.predict(BertSentClassifier.from_pretrained(folder), training.Data(rows, None))
    logits = []

    @torch.inference_mode()
    def work():
        order = range(len(rows["input_ids"]))
        logits[:] = [model(*batch[:3]).logits for batch in batches(rows, None, order, batch_size)]

    def run():
        figures = timed(work)
        assert torch.allclose(torch.cat(logits), ours, atol=1e-4), "not the same logits as ours"
        return figures | {"tokens": count(rows)}

    return run


def st_encode(folder, path, **options):
    """sentence-transformers, which tokenizes too and sorts by length."""
    from sentence_transformers import SentenceTransformer, models

    rows, lines = encoding(folder, path), texts(path)
    transformer = models.Transformer(folder, max_seq_length=LENGTH)
    model = SentenceTransformer(modules=[transformer, models.Pooling(transformer.get_embedding_dimension())])

    def run():
        figures = timed(lambda: model.encode(lines, batch_size=32, show_progress_bar=False))
        return figures | {"tokens": count(rows)}

    return run


def onnx_predict(folder, path, int8=False, limit=None, **options):
    """onnxruntime, batches of 32 sorted by length."""
    import onnxruntime

    rows, file = encoding(folder, path, limit), Path(folder, f"{'int8' if int8 else 'fp32'}.onnx")
    if not file.exists():
        export(folder, int8)
    session = onnxruntime.InferenceSession(str(file), onnx_options())
    order = by_length(rows, 32)

    def work():
        for chosen in order:
            batch = next(batches(rows, None, chosen, len(chosen)))
            names = ("input_ids", "attention_mask", "token_type_ids")
            session.run(None, {name: part.numpy() for name, part in zip(names, batch)})

    def run():
        return timed(work) | {"tokens": count(rows)}

    return run


def ct2_predict(folder, path, limit=None, **options):
    """CTranslate2, batches of 32 sorted by length, to the pooler's vectors."""
    import ctranslate2

    rows, place = encoding(folder, path, limit), str(Path(folder, "ctranslate2"))
    if not Path(place).exists():
        ctranslate2.converters.TransformersConverter(folder).convert(place)
    threads = {"inter_threads": 1, "intra_threads": torch.get_num_threads()}
    encoder = ctranslate2.Encoder(place, compute_type="float32", **threads)
    ours = fast.swap_in(BertModel.from_pretrained(folder))
    order, found = by_length(rows, 32), []

    def work():
        ids = ([rows["input_ids"][row] for row in chosen] for chosen in order)
        found[:] = [np.array(encoder.forward_batch(batch).pooler_output) for batch in ids]

    def run():
        figures = timed(work)
        first = next(batches(rows, None, order[0], len(order[0])))
        with torch.no_grad():
            expected = ours(*first[:3])["pooler_output"].numpy()
        assert np.allclose(found[0], expected, atol=1e-4), "not the same vectors as ours"
        return figures | {"tokens": count(rows)}

    return run


def onnx_options():
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    return settings


def export(folder, int8):
    """Write fp32.onnx, and from it int8.onnx, into the folder."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    names, ids = ("input_ids", "attention_mask", "token_type_ids"), torch.ones(2, 5, dtype=torch.int64)
    path = Path(folder, "fp32.onnx")
    if not path.exists():
        axes = {name: {0: "batch", 1: "length"} for name in names}
        torch.onnx.export(
            hf_model(folder).eval(),
            (ids, ids, ids),
            str(path),
            input_names=list(names),
            output_names=["logits"],
            dynamic_axes=axes,
            dynamo=False,
            opset_version=17,
        )
    if int8:
        quantize_dynamic(str(path), str(Path(folder, "int8.onnx")), weight_type=QuantType.QInt8)


# Training


def train(folder, path, batch_size, steps, precision="fp32", **options):
    """Steps of flexible training on the first batches of an epoch; losses of the first run are kept."""
    rows = encoding(folder, path)
    labels = LabelSet.collect(examples := read_examples(path)).ids(examples)
    order = epoch_order(len(labels), 0, 1)[: steps * batch_size]
    settings = training.Settings(
        epochs=1, batch_size=batch_size, lr=5e-5, weight_decay=0.0, warmup=0.0, precision=precision, seed=0
    )
    order = order[epoch_order(len(order), settings.seed, 1).argsort()]  # the run shuffles them back into `order`
    encoded = {name: [values[row] for row in order] for name, values in rows.items()}
    data = training.Data(encoded, [labels[row] for row in order])
    model = fast.swap_in(BertSentClassifier.from_pretrained(folder))
    torch.manual_seed(0)

    def run():
        loop, losses = classifier.begin(model, data, None, settings), []
        figures = timed(lambda: loop.train(watch=lambda progress, figures, rate: losses.append(figures["loss"])))
        return figures | {"tokens": count(data.encoding), "losses": losses}

    return run


def hf_train(folder, path, batch_size, steps, **options):
    """The same batches through transformers' Trainer with its default settings."""
    from torch.utils.data import SequentialSampler
    from transformers import BertTokenizerFast as Fast
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    rows = encoding(folder, path)
    labels = LabelSet.collect(examples := read_examples(path)).ids(examples)
    order = epoch_order(len(labels), 0, 1)[: steps * batch_size].tolist()
    data = [{**{name: values[row] for name, values in rows.items()}, "labels": labels[row]} for row in order]

    class InOrder(Trainer):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(data)

    model = hf_model(folder)
    settings = TrainingArguments(
        output_dir=str(Path(folder, "trainer")),
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=5e-5,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=0,
    )

    def run():
        trainer = InOrder(model, settings, data_collator=DataCollatorWithPadding(Fast.from_pretrained(folder)))
        trainer.train_dataset = data
        figures = timed(lambda: trainer.train())
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        return figures | {"tokens": sum(len(row["input_ids"]) for row in data), "losses": losses}

    return run


FROZEN = {"epochs": 10, "batch_size": 32, "limit": 1000}


def train_frozen(folder, path, **options):
    """--option pretrain: the encoder reads each text once."""
    rows, labels = encoding(folder, path, FROZEN["limit"]), read_examples(path)
    labels = LabelSet.collect(labels).ids(labels)[: FROZEN["limit"]]
    settings = training.Settings(epochs=FROZEN["epochs"], batch_size=FROZEN["batch_size"], lr=1e-3)

    def run():
        model = fast.swap_in(BertSentClassifier.from_pretrained(folder, option="pretrain"))
        figures = timed(lambda: classifier.fit(model, training.Data(rows, labels), None, settings))
        return figures | {"tokens": count(rows) * FROZEN["epochs"]}

    return run


def hf_train_frozen(folder, path, **options):
    """A loop over transformers' model, its encoder frozen and in evaluation mode, run again in each epoch."""
    rows, labels = encoding(folder, path, FROZEN["limit"]), read_examples(path)
    labels = LabelSet.collect(labels).ids(labels)[: FROZEN["limit"]]

    def work():
        model = hf_model(folder)
        model.bert.requires_grad_(False)
        optimizer = torch.optim.AdamW(model.classifier.parameters(), lr=1e-3)
        for epoch in range(FROZEN["epochs"]):
            order = epoch_order(len(labels), 0, epoch)
            for batch in batches(rows, labels, order, FROZEN["batch_size"]):
                loss = F.cross_entropy(model(*batch[:3]).logits, batch.labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def run():
        return timed(work) | {"tokens": count(rows) * FROZEN["epochs"]}

    return run


# Cost against size, on random ids


def shaped(model, length, batch_size=32, texts=256, task="predict", precision="fp32", **options):
    """Texts of one length through a known model, or one of random weights and the sizes in model."""
    changes = {"num_labels": 2, "option": "pretrain" if task == "frozen" else "flexible"}
    if isinstance(model, str):
        model = BertSentClassifier.from_pretrained(model, **changes)
    else:
        model = BertSentClassifier(model | changes)
    fast.swap_in(model)
    rng = np.random.default_rng(0)
    ids = rng.integers(5, model.config.vocab_size, (texts, length)).tolist()
    rows = {"input_ids": ids, "token_type_ids": [[0] * length] * texts, "attention_mask": [[1] * length] * texts}
    data = training.Data(rows, (rng.random(texts) < 0.5).astype(int).tolist())
    settings = training.Settings(epochs=1, batch_size=batch_size, lr=1e-5, precision=precision)

    def work():
        if task == "predict":
            training.predict(model, data, precision=precision)
        else:
            classifier.fit(model, data, None, settings)

    return lambda: timed(work) | {"tokens": texts * length}


def flops(folder, path, limit=None, training=False, first_only=False):
    """Of the encoder on a file's real tokens: two for each weight of a matrix, and attention's.

    first_only  in the last layer only keys and values are computed for all tokens, and the rest for each text's first
    """
    config = BertModel.from_pretrained(folder).config
    size, wide, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    lengths = np.array([len(row) for row in encoding(folder, path, limit)["input_ids"]])
    token, whole = 2 * (4 * size * size + 2 * size * wide), layers - 1 if first_only else layers
    forward = whole * (lengths * token + 4 * lengths**2 * size).sum()
    if first_only:
        forward += (lengths * 4 * size * size + token - 4 * size * size + 4 * lengths * size).sum()
    return float(forward) * (3 if training else 1) / lengths.sum()  # for a token


def serve(name, options):
    """Set the work up, then do it for each line of stdin."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def answer(figures):
        assert all(math.isfinite(value) for value in figures.values() if isinstance(value, float))
        out.write(json.dumps(figures) + "\n")
        out.flush()

    warnings.simplefilter("ignore")
    if not name.startswith(("hf_", "st_", "onnx_", "ct2_", "tiktoken_", "sentencepiece_")):
        retain_freed_memory()  # as our commands do
    run = globals()[name](**options)
    answer({})
    for line in sys.stdin:
        if line.strip() == "end":
            return
        gc.collect()  # the optimizer of the run before, say
        figures = run()
        with open("/proc/self/status") as status:
            peak_kb = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        answer(figures | {"peak_mb": peak_kb / 1024})


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
