"""A model of the playground, and what it answers about a text: tokens, attention; a classifier also classes, evidence.

The numbers are those of `minbert predict` and `minbert study errors`, whose functions compute them. Answers are made of
what JSON has.
"""

import math
from collections.abc import Callable

from torch import Tensor

from minbert import left_to_right, probing
from minbert.errors import UserError
from minbert.files.mentions import replace_mentions
from minbert.files.stream import Row
from minbert.runs import classifier
from minbert.tasks import Task
from minbert.training import Data
from minbert.wording import counted

TOKENS = 512  # of a text, special ones included
GIVES = {  # kind of task: what a classifier does that learnt it
    "class": "gives each text a class",
    "number": "gives each text a number",
    "several": "gives each text any number of labels",
    "tags": "gives each word a tag",
}


class Model:
    """A model and its tokenizer. name: as it is shown, without folders"""

    kind = ""

    def __init__(self, name: str, model, tokenizer):
        self.name, self.model, self.tokenizer, self.stopped = name, model, tokenizer, False
        for module in model.modules():  # a thread that computes cannot be stopped from outside
            module.register_forward_pre_hook(self.go_on)

    def go_on(self, *_):
        """Before each step of the model: raise UserError if it is to stop."""
        if self.stopped:
            raise UserError("the playground ends")

    @property
    def called(self) -> str:
        """Its name within a sentence, where it may look like a word of it: “one”."""
        return f"“{self.name}”"

    @property
    def title(self) -> str:
        """Its family: BERT, GPT-2."""
        return self.model.config.form.title

    @property
    def most(self) -> int:
        """Tokens of a text that it reads here."""
        return min(TOKENS, self.tokenizer.max_length, self.model.config.most_tokens)

    def ids(self, text: str) -> list[int]:
        """The text as the model reads it."""
        return self.tokenizer(text)["input_ids"]

    def read(self, text: str) -> list[int]:
        """The same. Raises UserError for more tokens than the model reads here."""
        ids = self.ids(text)
        if len(ids) > self.most:
            raise UserError(
                f"the text has {counted(len(ids), 'token', form=',')}, and {self.called} reads {self.most} at most: "
                "shorten it"
            )
        return ids

    def shown(self, id: int) -> str:
        return left_to_right.shown(self.tokenizer, id)

    def tokens(self, text: str) -> list[dict]:
        """[{"id", "token", "known": False where the vocabulary cannot spell it}, ...]"""
        unknown = self.tokenizer.unk_token_id
        return [{"id": id, "token": self.shown(id), "known": id != unknown} for id in self.read(text)]

    def best(self, log_p: Tensor, top: int) -> list[dict]:
        """log-probabilities [V] -> the likeliest tokens, best first: [{"id", "token", "p"}, ...]"""
        found = probing.top_tokens(log_p, self.tokenizer, top)
        return [{"id": row["id"], "token": self.shown(row["id"]), "p": row["score"]} for row in found]

    def place(self, id: int, log_p: Tensor, top: int) -> dict:
        """A token of a text and what was expected in its place."""
        best = self.best(log_p, top)
        value = log_p[id].item()
        known = id != self.tokenizer.unk_token_id  # of a word that it cannot spell there is no probability
        return {
            "token": self.shown(id),
            "log_p": value if known else None,
            "p": math.exp(value) if known else None,
            "top": best,
            "covered": sum(row["p"] for row in best),
        }

    def attention(self, text: str):
        """The Page that shows where its heads look."""
        from minbert.pages.attention import attention_page

        self.read(text)
        return attention_page(self.model, self.tokenizer, text, name=self.name)


class Classifier(Model):
    """A trained classifier of texts.

    task    what it learnt
    tweets  whether it reads @user and http for names and links
    explain  study.evidence.explain
    """

    kind = "classifier"

    def __init__(self, name, model, tokenizer, task: Task, tweets: bool, explain: Callable):
        super().__init__(name, model, tokenizer)
        self.task, self.tweets, self.explain = task, tweets, explain
        self.labels = task.stored(model.config)

    def prepared(self, text: str) -> str:
        return replace_mentions(text) if self.tweets else text

    def ids(self, text):
        return super().ids(self.prepared(text))

    def classes(self, text: str) -> dict:
        """{"header": names of columns, "rows": one, or of tags one for each word}, as Task.columns gives them"""
        self.read(text)
        examples = self.task.take([Row(1, 1, self.prepared(text), None)])
        encoded = self.task.encode(examples, self.tokenizer, self.most, self.model.config.type_vocab_size)
        targets = self.task.targets(examples, None, self.labels, encoded)
        logits = classifier.predict(self.model, Data(encoded.encoding, None))
        header, (rows,) = self.task.columns(logits, self.labels, targets)
        return {"header": header, "rows": rows}

    def evidence(self, text: str) -> dict:
        """The words that spoke for the predicted class, or against it: evidence.Evidence, and the text they are of."""
        self.read(text)
        if self.task.kind != "class":
            raise UserError(f"words are weighed for the one class of a text, and {self.called} {GIVES[self.task.kind]}")
        found = self.explain(self.model, self.tokenizer, text := self.prepared(text), max_length=self.most)
        words = [[word.start, word.end, word.weight] for word in found.words]
        label = self.labels.names[found.number]
        return {"text": text, "label": label, "p": found.p, "words": words, "area": found.area}
