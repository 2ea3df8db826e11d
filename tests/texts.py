"""Texts for the tests of tokenizers: made up by hypothesis, or endless; and how much work a call does."""

import itertools
import sys
from unicodedata import category, normalize

from hypothesis import settings
from hypothesis import strategies as st

from minbert import BertTokenizer
from minbert.tokenizer import SPECIAL
from tests.stress.fuzz import text as fuzz

made_up = settings(derandomize=True, database=None, deadline=None, max_examples=150)
UNITS = st.one_of(st.sampled_from(fuzz.UNITS), st.sampled_from(fuzz.PIECES), st.characters(exclude_categories=()))
TEXTS = st.lists(UNITS, max_size=20).map("".join)
WORDS = st.lists(st.sampled_from(fuzz.PIECES), min_size=1, max_size=4).map("".join)
VOCABS = st.lists(st.tuples(st.sampled_from(["", "##"]), WORDS).map("".join), max_size=60)
TOKENIZERS = st.builds(
    lambda pieces, lower: BertTokenizer(list(dict.fromkeys([*SPECIAL, *pieces])), lower), VOCABS, st.booleans()
)

ENDLESS = ["s", "\u0301", "\u302e\U0001d165", "Σ", "é", "\0", "中", "<", "a ", "[SEP", "[SEP]", 30 * "un" + " "]


def telling_characters(first=0, last=0x10FFFF):
    """The characters between two code points by which a tokenizer can be told from another.

    Unassigned and private ones, and letters without case and accents, come in long runs, of which no rule knows more
    than the range and the category. Of each run: the first, the last and every 31st.
    """
    chars = list(map(chr, range(first, last + 1)))
    dull = [category(char) in ("Cn", "Co", "Lo") and normalize("NFD", char) == char == char.lower() for char in chars]
    edges = [True, *(one != other for one, other in itertools.pairwise(dull)), True]
    rows = zip(chars, dull, edges, edges[1:])
    return [char for char, is_dull, begins, ends in rows if not is_dull or begins or ends or ord(char) % 31 == 0]


def work(call, *arguments, **options):
    """How much a call does: the instructions that Python runs, and for each method of a string that string's length."""
    done, before = 0, (sys.gettrace(), sys.getprofile())

    def trace(frame, event, _):
        nonlocal done
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        done += event == "opcode"
        return trace

    def profile(_, event, method):
        nonlocal done
        if event == "c_call" and isinstance(getattr(method, "__self__", None), str):
            done += len(method.__self__)

    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        call(*arguments, **options)
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return done
