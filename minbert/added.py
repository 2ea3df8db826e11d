"""Added tokens: found in a text as they are written, and taken out whole, before its words are cut into pieces.

People add tokens to a finished vocabulary: names, markers such as [E1]. The rules are those of Hugging Face's
tokenizers library, in which a token is matched in the text as it is, or, if it is `normalized`, in the cleaned and
lower-cased one. Of several that match, the leftmost is taken, and of those the longest.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

NAMES = {  # the special tokens that every BERT has; a tokenizer's files can call them otherwise
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}


@dataclass(frozen=True)
class AddedToken:
    """A token and how it is found.

    special      a control token: decode can leave it out
    single_word  only where no letter, digit, mark or _ is next to it
    lstrip       with the white space before it
    rstrip       with the white space after it
    normalized   in the cleaned, lower-cased text
    """

    content: str
    special: bool = False
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False


class Finder:
    """Finds tokens in a text.

    tokens  {how a token is written in the text: AddedToken}
    """

    def __init__(self, tokens: dict[str, AddedToken]):
        self.tokens = tokens
        longest_first = sorted(tokens, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)))

    def cut(self, text: str) -> Iterator[tuple[int, int, AddedToken | None]]:
        """Yields (start, end, token) for each token in a text, and (start, end, None) for what is between them."""
        done = 0
        for match in self.pattern.finditer(text) if self.tokens else ():
            token, (start, end) = self.tokens[match[0]], match.span()
            if token.single_word and (in_word(text[max(0, start - 1) : start]) or in_word(text[end : end + 1])):
                continue
            while token.lstrip and start > done and text[start - 1].isspace():
                start -= 1
            while token.rstrip and end < len(text) and text[end].isspace():
                end += 1
            if done < start:
                yield done, start, None
            yield start, end, token
            done = end
        if done < len(text):
            yield done, len(text), None


def in_word(char: str) -> bool:
    r"""Whether a character is part of a word, as \w of the Rust library has it. "" is not."""
    category = unicodedata.category(char or " ")
    return category[0] in "LM" or category in ("Nd", "Nl", "Pc") or char in ("\u200c", "\u200d")
