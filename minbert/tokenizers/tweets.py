"""Tweets as BERTweet read them when it learnt (Nguyen et al. 2020): @USER, HTTPURL, :names: of emojis, words apart.

The words are those of NLTK's tokenizer for tweets, which finds links, telephone numbers and emoticons first.
"""

import html.entities
import warnings

import regex

from minbert.errors import UserError

PATIENCE = 20.0  # seconds for one text; only texts made to take long need them

EYES, NOSE, MOUTH = "[:;=8]", r"[\-o*']?", r"[)\](\[dp/:}{@|\\]"
IN_TWO, IN_ONE = r"\([^\s()]*?\([^\s()]+\)[^\s()]*?\)", r"\([^\s]+?\)"  # parentheses in a link: (a(b)c), (a)
KINDS = {  # the first that matches is taken
    "link": rf"(?:https?:(?:/{{1,3}}|[a-z0-9%])|[a-z0-9.\-]+\.[a-z]{{2,13}}/)(?:[^\s()<>{{}}\[\]]|{IN_TWO}|{IN_ONE})+"
    rf"(?:{IN_TWO}|{IN_ONE}|[^\s`!()\[\]{{}};:'\".,<>?«»“”‘’])",
    "host": r"(?<!@)[a-z0-9]+(?:[.\-][a-z0-9]+)*\.[a-z]{2,13}\b/?(?!@)",
    "telephone": r"(?:\+?[01][ *\-.)]*)?(?:\(?\d{3}[ *\-.)]*)?\d{3}[ *\-.)]*\d{4}",
    "emoticon": f"[<>]?{EYES}{NOSE}{MOUTH}|{MOUTH}{NOSE}{EYES}[<>]?|<3",
    "tag": r"<[^>\s]+>",
    "arrow": r"-+>|<-+",
    "mention": r"@\w+",
    "hashtag": r"#+\w+[\w'\-]*\w+",
    "address": r"[\w.+\-]+@[\w\-]+\.(?:[\w\-]\.?)+[\w\-]",
    "word with marks": r"[^\W\d_](?:[^\W\d_]|['\-_])+[^\W\d_]",
    "number with marks": r"[+\-]?\d+[,/.:\-]\d+[+\-]?",
    "word": r"\w+",
    "dots": r"\.(?:\s*\.)+",
    "other": r"\S",
}
WORD = regex.compile("|".join(KINDS.values()), regex.IGNORECASE)
ENTITY = regex.compile(r"&(#?(x?))([^&;\s]+);")  # &amp; &#65; &#x41;
RUN = regex.compile(r"([^a-zA-Z0-9])\1{3,}")
CONTRACTIONS = (  # the first five, then the others, each in all the text; the order counts
    *(("cannot ", "can not "), ("n't ", " n't "), ("n 't ", " n't "), ("ca n't", "can't"), ("ai n't", "ain't")),
    *((f"{end} ", f" {end} ") for end in ("'m", "'re", "'s", "'ll", "'d", "'ve")),
    *((" p . m .", "  p.m."), (" p . m ", " p.m "), (" a . m .", " a.m."), (" a . m ", " a.m ")),
)


def normalize(tweet: str) -> str:
    """'@jo can’t see https://t.co/x' -> "@USER can't see HTTPURL" """
    words = split(tweet.replace("\u2019", "'").replace("\u2026", "..."))
    text = " ".join(map(normalize_word, words))
    for old, new in CONTRACTIONS:
        text = text.replace(old, new)
    return " ".join(text.split())


def split(text: str) -> list[str]:
    """The words of a tweet. Raises UserError if that takes too long."""
    text = RUN.sub(r"\1\1\1", ENTITY.sub(unescape, text))
    try:
        return WORD.findall(text, timeout=PATIENCE)
    except TimeoutError:
        raise UserError(f"{text[:40]!r}...: {len(text)} characters, too many for a tweet; shorten the text") from None


def normalize_word(word: str) -> str:
    if word.startswith("@"):
        return "@USER"
    if word.lower().startswith(("http", "www")):
        return "HTTPURL"
    return name_of_emoji(word) if len(word) == 1 else word


def unescape(match) -> str:
    """An HTML entity's character, or nothing if there is none.

    As in NLTK, a name that begins with x, such as &xi;, is read as a hexadecimal number, with or without #.
    """
    mark, hexadecimal, body = match.groups()
    try:
        code = int(body, 16 if hexadecimal else 10) if mark else html.entities.name2codepoint[body]
        return bytes([code]).decode("cp1252") if mark and 0x80 <= code <= 0x9F else chr(code)
    except (KeyError, ValueError, OverflowError):
        return ""


def name_of_emoji(char: str, found=[]) -> str:  # noqa: B006 (remembers what it imported)
    """'😀' -> ':grinning_face:' by the package emoji, whose releases differ in names (BERTweet's: 0.6.0).

    Without the package, the emoji stays, and a warning says so once.
    """
    if not found:
        try:
            from emoji import demojize
        except ImportError:
            message = "emoji is not installed, so emojis are not named as BERTweet learnt: pip install emoji"
            warnings.warn(message, stacklevel=2)
            demojize = str
        found.append(demojize)
    return found[0](char)
