"""A page: one HTML file with all that it shows, which loads nothing and sends nothing.

Texts of strangers cannot become markup: what a template shows is escaped, all else travels as base64 (pack.py), and a
Content-Security-Policy (W3C CSP 3, section 2.3) lets run only the scripts and styles whose hashes it names.
"""

import base64
import hashlib
import html
import json
import re
from functools import cached_property
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import minbert
from minbert.atomic import atomic_write
from minbert.pages.pack import pack
from minbert.wording import counted

HERE = Path(__file__).parent
FORMAT = 1
# Characters that a person does not see, or that change the order in which others are shown (UAX #9, section 2).
# Joiners (U+200C, U+200D) belong between letters of Persian, say, and in emoji: they are shown after ASCII alone.
HIDDEN = re.compile(
    r"(?<![^\x00-\x7f])[\u200c\u200d]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


def visible(text: str) -> Markup:
    """Text as markup in which hidden characters are shown by their numbers: U+202E."""
    parts = re.split(f"({HIDDEN.pattern})", text)
    shown = Markup('<span class="hidden-character">U+{:04X}</span>')
    return Markup("").join(shown.format(ord(part)) if number % 2 else part for number, part in enumerate(parts))


def digest(text: str) -> str:
    """The source of a script or a style as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def templates() -> Environment:
    """The templates. They escape what they are given, and a value that is missing is an error."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"visible": visible, "counted": counted}
    return found


class Page:
    """One HTML file.

    kind    the name of its template and of its script: run, attention, walk or play
    title   of the window
    about   what its script reads at once; anything that JSON can say
    blocks  name -> bytes that its script unpacks when it needs them
    values  what its template shows
    """

    connects = "'none'"  # what its script may ask: connect-src of the policy

    def __init__(self, kind: str, title: str, about: dict | None = None, blocks: dict | None = None, **values):
        self.kind, self.title, self.values = kind, title, values
        self.about = {"format": FORMAT, "kind": kind, "minbert": minbert.__version__, **(about or {})}
        self.blocks = {name: pack(data) for name, data in (blocks or {}).items()}
        names = ("base", kind)
        self.scripts = [(HERE / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in names]
        style = HERE / "templates" / f"{kind}.css"
        self.style = (HERE / "templates" / "base.css").read_text(encoding="utf-8")
        self.style += style.read_text(encoding="utf-8") if style.exists() else ""

    @property
    def policy(self) -> str:
        """The Content-Security-Policy: nothing but the page's own scripts and style."""
        scripts = " ".join(map(digest, self.scripts))
        return (
            f"default-src 'none'; script-src {scripts}; style-src {digest(self.style)}; "
            f"connect-src {self.connects}; base-uri 'none'; form-action 'none'"
        )

    @cached_property
    def text(self) -> str:
        """The file."""
        about = json.dumps(self.about, ensure_ascii=True, sort_keys=True)
        for mark in "<>&":  # JSON has them in its strings only
            about = about.replace(mark, f"\\u{ord(mark):04x}")
        return (
            templates()
            .get_template(f"{self.kind}.html")
            .render(
                title=self.title,
                policy=self.policy,
                style=Markup(self.style),
                scripts=[Markup(script) for script in self.scripts],
                about=Markup(about),
                blocks={name: Markup(data) for name, data in self.blocks.items()},
                **self.values,
            )
        )

    def write(self, path: str | Path) -> Path:
        """Write the file. Raises UserError if it cannot be written."""
        with atomic_write(path) as new:
            new.write_text(self.text, encoding="utf-8", newline="\n")
        return Path(path)

    def _repr_html_(self) -> str:
        """For notebooks: the page in a frame that has no access to the notebook."""
        frame = 'sandbox="allow-scripts" width="100%" height="640" style="border: 0"'
        return f'<iframe title="{html.escape(self.title)}" {frame} srcdoc="{html.escape(self.text)}"></iframe>'
