"""Peers of training: transformers' Trainer with its defaults, and a loop as an expert would write it."""

import random
from pathlib import Path

import torch
from torch.nn import functional as F

from bench.peers.predicting import padded
from bench.serve import load, timed


def model_of(folder, changes=None):
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa", **(changes or {}))


def loss_of(model, texts, rows):
    """The mean cross-entropy of some of the texts."""
    inputs = {name: torch.from_numpy(values) for name, values in padded([texts.ids[row] for row in rows]).items()}
    return F.cross_entropy(model(**inputs).logits, torch.tensor([texts.labels[row] for row in rows]))


def trainer(folder, path, batch_size, changes=None, **options):
    """The texts of a file in their order, through transformers' Trainer with its default settings.

    The losses are kept where the config is changed: to be compared, not timed.
    """
    from torch.utils.data import SequentialSampler
    from transformers import BertTokenizerFast as Fast
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    texts = load(path)
    data = [
        {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": [0] * len(ids), "labels": label}
        for ids, label in zip(texts.ids, texts.labels)
    ]

    class InOrder(Trainer):
        def _get_train_sampler(self, dataset=None):
            return SequentialSampler(data)

    model = model_of(folder, changes)
    settings = TrainingArguments(
        output_dir=str(Path(folder, "trainer")),
        num_train_epochs=1,
        per_device_train_batch_size=batch_size,
        learning_rate=5e-5,
        logging_strategy="steps" if changes else "no",
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
        return figures | {"tokens": sum(map(len, texts.ids)), "losses": losses}

    return run


def tuned(folder, path, batch_size, changes=None, is_grouped=True, **options):
    """A bare loop: SDPA, the fused AdamW, texts of similar length together, and no loss is read before the end."""
    texts, model = load(path), model_of(folder, changes)
    order = sorted(range(len(texts.ids)), key=lambda row: -len(texts.ids[row]) if is_grouped else row)
    chosen = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if is_grouped:
        random.Random(0).shuffle(chosen)
    losses = []

    def work():
        optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0, fused=True)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=len(chosen))
        model.train()
        for rows in chosen:
            loss = loss_of(model, texts, rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())

    def run():
        losses.clear()
        figures = timed(work)
        return figures | {"tokens": sum(map(len, texts.ids)), "losses": torch.stack(losses).tolist()}

    return run


def frozen(folder, path, epochs, batch_size=32, **options):
    """A loop over transformers' model, its encoder frozen and in evaluation mode, run again in each epoch."""
    texts = load(path)

    def work():
        model = model_of(folder).eval()
        model.bert.requires_grad_(False)
        optimizer = torch.optim.AdamW(model.classifier.parameters(), lr=1e-3)
        for _ in range(epochs):
            order = torch.randperm(len(texts.ids)).tolist()
            for start in range(0, len(order), batch_size):
                loss = loss_of(model, texts, order[start : start + batch_size])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return lambda: timed(work) | {"tokens": sum(map(len, texts.ids)) * epochs}
