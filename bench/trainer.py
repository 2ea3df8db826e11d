"""Transformers' Trainer on pairs of texts with a number: a peer of minbert train. Needs the extra reference."""

import statistics

from torch import nn
from torch.nn import functional as F

LENGTH = 512  # tokens


def predictions(directory, data, seed, folder, epochs, settings=None):
    """Train on data["train"] for some epochs, and return a number for each row of data["test"].

    directory  of a BERT
    data       {part: rows of (text, text, number)}
    folder     for what the Trainer writes
    settings   flags of minbert train: the same head, start and settings as there; None: what the Trainer does by itself
    """
    import transformers

    directory = str(directory)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    encoded = {part: encode(tokenizer, rows) for part, rows in data.items()}
    transformers.set_seed(seed)
    options = {"output_dir": str(folder), "save_strategy": "no", "report_to": [], "disable_tqdm": True}
    options |= {"num_train_epochs": epochs, "bf16": True, "use_cpu": True, "seed": seed}
    if settings:
        mean = statistics.mean(number for *_, number in data["train"])
        model = mean_regressor(directory, settings["hidden_dropout_prob"], mean)
        options |= {"learning_rate": settings["lr"], "per_device_train_batch_size": settings["batch_size"]}
        options |= {"weight_decay": settings["weight_decay"], "warmup_steps": settings["warmup"]}  # below 1: a share
    else:
        model = transformers.BertForSequenceClassification.from_pretrained(directory, num_labels=1)
    peer = transformers.Trainer(
        model,
        transformers.TrainingArguments(**options),
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
        train_dataset=encoded["train"],
    )
    peer.train()
    return peer.predict(encoded["test"]).predictions.reshape(-1).tolist()


def encode(tokenizer, rows):
    """[{"input_ids": ids, ..., "labels": number}, ...]"""
    firsts, seconds, numbers = map(list, zip(*rows))
    columns = {**tokenizer(firsts, seconds, truncation=True, max_length=LENGTH), "labels": numbers}
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def mean_regressor(directory, dropout, mean):
    """Transformers' encoder with the head that minbert trains: the mean of all tokens, its bias at the mean number."""
    from transformers import BertModel

    class MeanRegressor(nn.Module):
        def __init__(self):
            super().__init__()
            self.bert = BertModel.from_pretrained(directory, add_pooling_layer=False)
            self.dropout, self.classifier = nn.Dropout(dropout), nn.Linear(self.bert.config.hidden_size, 1)
            nn.init.normal_(self.classifier.weight, std=self.bert.config.initializer_range)
            nn.init.constant_(self.classifier.bias, mean)

        def forward(self, input_ids, attention_mask, token_type_ids, labels=None):
            """[B, T] each, labels [B]"""
            x = self.bert(input_ids, attention_mask, token_type_ids).last_hidden_state  # [B, T, D]
            weight = attention_mask[:, :, None].to(x.dtype)
            vector = (x * weight).sum(dim=1) / weight.sum(dim=1)  # [B, D]
            logits = self.classifier(self.dropout(vector)).float()  # [B, 1]
            return {"loss": F.mse_loss(logits.squeeze(-1), labels), "logits": logits}

    return MeanRegressor()
