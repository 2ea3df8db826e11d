"""Other ways to cut text: BPE on bytes (GPT-2, RoBERTa) or characters (GPT-1, BERTweet), unigram (XLM-RoBERTa, Marian).

All have BertTokenizer's interface. `from_pretrained` chooses by the files in a folder.
"""

import re
from pathlib import Path

from minbert import tokenizer_files
from minbert.encoding import Tokenizer
from minbert.errors import UserError
from minbert.jsonfile import quoted, read_json
from minbert.tokenizer import BertTokenizer
from minbert.tokenizer_json import MAX_BYTES, as_dict
from minbert.tokenizers import bpe_files
from minbert.tokenizers.byte_bpe import GPT2, ROBERTA, TITLES, ByteBPETokenizer
from minbert.tokenizers.marian import MARIAN, SOURCE, TARGET, MarianTokenizer
from minbert.tokenizers.unigram import Unigram
from minbert.tokenizers.word_bpe import BERTWEET, GPT, GPTTokenizer, TweetTokenizer, original_words
from minbert.tokenizers.xlm_roberta import MODEL, XLM_ROBERTA, XLMRobertaTokenizer

__all__ = [
    "GPT2",
    "ROBERTA",
    "ByteBPETokenizer",
    "GPTTokenizer",
    "MarianTokenizer",
    "TweetTokenizer",
    "Unigram",
    "XLMRobertaTokenizer",
    "class_of",
    "from_pretrained",
    "original_words",
    "with_mask",
]
CLASSES = dict.fromkeys(TITLES, ByteBPETokenizer) | {GPT.title: GPTTokenizer, BERTWEET.title: TweetTokenizer}
CLASSES |= {XLM_ROBERTA.title: XLMRobertaTokenizer, MARIAN.title: MarianTokenizer}


def from_pretrained(name, **options) -> Tokenizer:
    """The tokenizer of a folder, or of the place where weights.hub finds a name.

    options  arguments of its class, in the place of what the files say
    Raises UserError for files of another kind of tokenizer.
    """
    directory = bpe_files.find(name)
    return class_of(directory).from_pretrained(directory, **options)


def class_of(directory: str | Path) -> type[Tokenizer]:
    """The class that reads the tokenizer in a folder, by the files there. Raises UserError if there is none."""
    directory = Path(directory)
    if (directory / bpe_files.CODES).exists():
        return TweetTokenizer
    if any((directory / name).exists() for name in (SOURCE, TARGET)) or is_marian(directory):
        return MarianTokenizer
    bpe = any((directory / name).exists() for name in (bpe_files.VOCAB, bpe_files.MERGES))
    whole = directory / tokenizer_files.WHOLE
    if not bpe and (directory / tokenizer_files.VOCAB).exists():
        return BertTokenizer  # it refuses files of other kinds beside vocab.txt
    if not bpe and (directory / MODEL).exists():
        return XLMRobertaTokenizer
    for name in tokenizer_files.OTHER_KINDS["SentencePiece"]:
        if not bpe and (directory / name).exists():
            raise UserError(f"{directory / name}: is of a SentencePiece tokenizer, but minbert reads {MODEL} only")
    if not bpe and not whole.exists():
        raise UserError(
            f"{directory} holds no vocab.txt, no vocab.json with merges.txt, no bpe.codes, no tokenizer.json"
        )
    if title := bpe_files.title_of(directory):
        return CLASSES.get(title, ByteBPETokenizer if bpe else BertTokenizer)  # which says what it cannot read
    if bpe:
        gpt = bpe_files.source(directory, "config.json").get("model_type") == "openai-gpt"
        return GPTTokenizer if gpt else ByteBPETokenizer
    model = as_dict(read_json(whole, limit=MAX_BYTES).get("model"))
    kind = model.get("type") or ("BPE" if "merges" in model else "WordPiece")  # old files name no type
    if kind == "BPE":
        return GPTTokenizer if model.get("end_of_word_suffix") else ByteBPETokenizer
    if kind == "WordPiece":
        return BertTokenizer
    if kind == "Unigram":
        return XLMRobertaTokenizer
    raise UserError(f"{whole}: model.type is {quoted(kind)}, but only 'BPE', 'Unigram' or 'WordPiece' is supported")


def is_marian(directory: Path) -> bool:
    """Whether the files of a folder say that it is Marian's, whose vocab.json looks like that of BPE."""
    kind = bpe_files.source(directory, "config.json").get("model_type")
    return kind == "marian" or bpe_files.title_of(directory) == MARIAN.title


def with_mask(tokenizer: Tokenizer, text: str) -> str:
    """The text with the model's own mask token for [MASK]. In byte-level BPE the space before it belongs to the token
    that is missing, and goes."""
    text = text.replace("[MASK]", tokenizer.mask_token)
    if getattr(tokenizer, "mask_takes_space", False):
        text = re.sub(rf"\s+{re.escape(tokenizer.mask_token)}", lambda _: tokenizer.mask_token, text)
    return text
