"""Published models: their sizes, the number of parameters that their authors give, and what they were trained on.

    found = find("gpt3-175b")           # Published(sizes=Sizes("gpt2", L=96, D=12288, ...), parameters=174.6e9, ...)

Each size is from the paper or the config.json that `source` names. Where a paper leaves the vocabulary or the positions
out, they are those of the published files.
"""

from dataclasses import dataclass

from minbert.size import Sizes


@dataclass(frozen=True)
class Published:
    """A model that somebody published.

    parameters  as its authors count them, most often rounded; None: they do not say
    source      where the sizes and that number are from
    tokens      that it learnt from, each as often as it was read; None: not published
    lesson      where that number is from
    """

    sizes: Sizes
    parameters: float | None
    source: str
    tokens: float | None = None
    lesson: str = ""


def bert(L=12, D=768, H=12, V=30522, F=None, P=512):
    return Sizes("bert", L=L, D=D, H=H, F=F or 4 * D, V=V, P=P, S=2)


def roberta(L=12, D=768, H=12, V=50265, P=514):
    return Sizes("roberta", L=L, D=D, H=H, F=4 * D, V=V, P=P, S=1, most=P - 2)


def distilbert(V=30522):
    return Sizes("distilbert", L=6, D=768, H=12, F=3072, V=V, P=512)


def electra(L, D, H, E, F):
    return Sizes("electra", L=L, D=D, H=H, F=F, V=30522, P=512, S=2, E=E)


def gpt2(L, D, H, V=50257, P=1024):
    return Sizes("gpt2", L=L, D=D, H=H, F=4 * D, V=V, P=P)


def gpt3(L, D, H):
    return gpt2(L, D, H, P=2048)


def megatron(L, D, H, P):
    return gpt2(L, D, H, V=51200, P=P)  # GPT-2's vocabulary, filled up so that many devices can share it


DEVLIN, LIU = "Devlin et al. 2019, section 3", "Liu et al. 2019, sections 4.4 and 5"
# a million batches of 256 texts, nine tenths of them with 128 tokens and the rest with 512
BERT_TOKENS = 256 * (900_000 * 128 + 100_000 * 512)
BERT_LESSON = "Devlin et al. 2019, appendix A.2"
LIU_TOKENS = 500_000 * 8_000 * 512  # steps, texts, tokens
LIU_LESSON = "Liu et al. 2019, table 4"
GPT2, BROWN = "Radford et al. 2019, table 2, and the count in openai/gpt-2", "Brown et al. 2020, tables 2.1 and D.1"
BIO = "config.json; the paper gives BERT's size"
PUBLISHED = {
    "bert-base-uncased": Published(bert(), 110e6, DEVLIN, BERT_TOKENS, BERT_LESSON),
    "bert-base-cased": Published(bert(V=28996), 110e6, DEVLIN, BERT_TOKENS, BERT_LESSON),
    "bert-large-uncased": Published(bert(24, 1024, 16), 340e6, DEVLIN, BERT_TOKENS, BERT_LESSON),
    "bert-base-multilingual-cased": Published(bert(V=119547), None, "config.json"),
    "bert-base-chinese": Published(bert(V=21128), None, "config.json"),
    "bert-base-nli-mean-tokens": Published(bert(), None, "config.json"),
    "all-MiniLM-L6-v2": Published(bert(6, 384, 12), 22.7e6, "config.json, model card"),
    "biobert": Published(bert(V=28996), None, BIO),
    "clinicalbert": Published(bert(V=28996), None, BIO),
    "bluebert": Published(bert(), None, BIO),
    "scibert": Published(bert(V=31090), None, BIO),
    "pubmedbert": Published(bert(), None, BIO),
    "roberta-base": Published(roberta(), 125e6, LIU, LIU_TOKENS, LIU_LESSON),
    "roberta-large": Published(roberta(24, 1024, 16), 355e6, LIU, LIU_TOKENS, LIU_LESSON),
    "sentiment-roberta-large-english": Published(roberta(24, 1024, 16), None, "config.json"),
    "bertweet-base": Published(roberta(V=64001, P=130), 135e6, "config.json, model card"),
    "xlm-roberta-base": Published(roberta(V=250002), 270e6, "Conneau et al. 2020, section 3"),
    "xlm-roberta-large": Published(roberta(24, 1024, 16, 250002), 550e6, "Conneau et al. 2020, section 3"),
    "twitter-xlm-roberta-emotion-es": Published(roberta(V=250002), None, "config.json"),
    "distilbert-base-uncased": Published(distilbert(), 66e6, "Sanh et al. 2019, table 3"),
    "distilbert-base-multilingual-cased": Published(distilbert(119547), 134e6, "config.json, model card"),
    "electra-small-discriminator": Published(electra(12, 256, 4, 128, 1024), 14e6, "Clark et al. 2020, table 1"),
    "electra-base-discriminator": Published(electra(12, 768, 12, 768, 3072), 110e6, "Clark et al. 2020, table 1"),
    "electra-large-discriminator": Published(electra(24, 1024, 16, 1024, 4096), 335e6, "Clark et al. 2020, table 2"),
    "openai-gpt": Published(
        Sizes("openai-gpt", L=12, D=768, H=12, F=3072, V=40478, P=512),
        117e6,
        "Radford et al. 2018, section 4.1; count: 2019, table 2",
    ),
    "distilgpt2": Published(gpt2(6, 768, 12), 82e6, "config.json, model card"),
    "gpt2": Published(gpt2(12, 768, 12), 124e6, GPT2),
    "gpt2-medium": Published(gpt2(24, 1024, 16), 355e6, GPT2),
    "gpt2-large": Published(gpt2(36, 1280, 20), 774e6, GPT2),
    "gpt2-xl": Published(gpt2(48, 1600, 25), 1_558e6, GPT2),
    "gpt3-small": Published(gpt3(12, 768, 12), 125e6, BROWN, 300e9, BROWN),
    "gpt3-medium": Published(gpt3(24, 1024, 16), 356e6, BROWN, 300e9, BROWN),
    "gpt3-large": Published(gpt3(24, 1536, 16), 760e6, BROWN, 300e9, BROWN),
    "gpt3-2.7b": Published(gpt3(32, 2560, 32), 2_650e6, BROWN, 300e9, BROWN),
    "gpt3-6.7b": Published(gpt3(32, 4096, 32), 6_660e6, BROWN, 300e9, BROWN),
    "gpt3-175b": Published(gpt3(96, 12288, 96), 174.6e9, BROWN, 300e9, BROWN),
    "megatron-8.3b": Published(megatron(72, 3072, 32, 1024), 8.3e9, "Shoeybi et al. 2019"),
    "turing-nlg-17b": Published(megatron(78, 4256, 28, 1024), 17e9, "Rosset 2020, Microsoft Research blog"),
    "mt-nlg-530b": Published(megatron(105, 20480, 128, 2048), 530e9, "Smith et al. 2022", 270e9, "Smith et al. 2022"),
    "megatron-1t": Published(
        megatron(128, 25600, 160, 2048), 1_008e9, "Narayanan et al. 2021, table 1", 450e9, "Narayanan et al. 2021"
    ),
    "opus-mt-en-de": Published(
        Sizes("marian", L=12, A=18, D=512, H=8, F=2048, V=58101, P=512), None, "config.json; 6 layers on each side"
    ),
}
ALIASES = {"gpt3": "gpt3-175b", "mt-nlg": "mt-nlg-530b", "gpt1": "openai-gpt"}


def find(name: str) -> tuple[str, Published] | None:
    """A published model and its name here; None if there is none. OWNER/ may stand before the name."""
    wanted = name.rpartition("/")[2].lower()
    names = {known.lower(): known for known in PUBLISHED} | ALIASES
    known = names.get(wanted)
    return known and (known, PUBLISHED[known])
