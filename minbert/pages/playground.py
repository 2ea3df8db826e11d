"""The playground: a page on which to ask models about a text, and what answers it.

    from minbert.pages.playground import Playground
    from minbert.pages.server import Server

    playground = Playground(language=Masked("tiny", model, tokenizer))
    server = Server(playground.page(), playground.ask, port=8765)

`minbert play` does this.
"""

import inspect
import warnings

from minbert.errors import UserError
from minbert.pages.answering import GIVES, TOKENS, Classifier, Model
from minbert.pages.expecting import Causal, Masked
from minbert.pages.html import Page

CHARACTERS, TOP = 4000, 50  # of a text; rows of a list
EXAMPLES = (  # what it is, and the text
    ("a review", "The film was okay overall, but the middle was a bit slow."),
    ("a missing word", "The film was okay overall, but the [MASK] was a bit slow."),
    ("a beginning", "The best part of the film was the"),
    ("a tired animal", "The animal didn't cross the street because it was too tired."),
)
FIELDS = {"text": str, "top": int, "start": int, "readout": str}  # of questions
ABSENT = {
    "classifier": "No classifier here. Start the playground with a trained one: minbert play --model FOLDER",
    "language": "No language model here. Start the playground with one: minbert play --lm tiny",
}


class PlayPage(Page):
    """The one page that may ask its server. No other kind of page may connect to anything."""

    connects = "'self'"


class Playground:
    """A classifier, a language model, or both, that answer questions about texts.

    notes  {readout of a language model: what it means}
    """

    def __init__(
        self, classifier: Classifier | None = None, language: Masked | Causal | None = None, notes: dict | None = None
    ):
        self.models, self.notes = {"classifier": classifier, "language": language}, notes or {}
        self.routes = {
            f"{part}/{name}": getattr(model, name)
            for part, names in {
                "classifier": ("tokens", "classes", "evidence", "attention"),
                "language": ("tokens", "fill", "next_tokens", "spectrum", "attention"),
            }.items()
            if (model := self.models[part])
            for name in names
        }

    def ask(self, route: str, given: dict) -> dict | list | Page:
        """The answer to a question.

        route  "language/fill": the model, and the method that answers
        given  the arguments of that method; its text has 4,000 characters at most, a list 50 rows
        Raises UserError for a question that cannot be answered, with a message for the person who asked.
        """
        if route not in self.routes:
            why = ABSENT.get(route.partition("/")[0], "") if None in self.models.values() else ""
            raise UserError(why or f"there is no such question: take {', '.join(self.routes)}")
        answer = self.routes[route]
        check(given, inspect.signature(answer).parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a text that is cut: none is, here
            return answer(**given)

    def stop(self) -> None:
        """Let an answer that is being computed end at once, with an error."""
        for model in filter(None, self.models.values()):
            model.stopped = True

    def page(self) -> Page:
        """The page that asks."""
        shown = {
            part: {"name": model.name, "title": model.title, "kind": model.kind} | self.more(model)
            for part, model in self.models.items()
            if model
        }
        about = {"models": shown, "limits": {"characters": CHARACTERS, "tokens": TOKENS, "top": TOP}}
        values = {part: shown.get(part) for part in self.models} | {"models": shown, "absent": ABSENT}
        examples = [each for each in EXAMPLES if "[MASK]" not in each[1] or isinstance(self.models["language"], Masked)]
        values |= {"examples": examples, "top": TOP}
        return PlayPage("play", "minbert playground", about, **values)

    def more(self, model: Model) -> dict:
        """What the page has to know of a classifier or of a language model."""
        if isinstance(model, Classifier):
            return {"task": model.task.kind, "gives": GIVES[model.task.kind], "labels": list(model.labels.names)}
        readouts = [[name, self.notes.get(name, "")] for name in model.readouts]
        return {"readouts": readouts, "preferred": model.preferred}


def check(given, known) -> None:
    """Raise UserError for a question that is not made of these fields, or is too large."""
    if not isinstance(given, dict) or not {"text"} <= {*given} <= {*known}:
        raise UserError(f"a question is an object with a text; it can have {', '.join(known)}")
    for name, value in given.items():
        if type(value) is not FIELDS[name]:
            raise UserError(f"{name} is of the wrong type: it should be {FIELDS[name].__name__}")
    if not 1 <= given.get("top", 1) <= TOP:
        raise UserError(f"a list has from 1 to {TOP} rows")
    if not 0 <= given.get("start", 0) <= TOKENS:
        raise UserError(f"start is a place from 0 to {TOKENS}")
    text = given["text"]
    if len(text) > CHARACTERS:
        raise UserError(f"the text has {len(text):,} characters, and {CHARACTERS:,} are the most here: shorten it")
    if not text.strip():
        raise UserError("the text is empty: write something")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UserError("the text holds half a character: write it anew")
