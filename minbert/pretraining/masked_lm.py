"""What is BERT's own in a pretraining run: WordPiece, masked words, a teacher to learn from."""

from tqdm import tqdm

from minbert import tokenizer_files
from minbert.bert import BertModel
from minbert.heads import BertForMaskedLM, BertForPreTraining
from minbert.pretraining import vocabulary
from minbert.pretraining.corpus import TokenFile
from minbert.pretraining.objective import Objective
from minbert.pretraining.teacher import Teacher
from minbert.tokenizer import SPECIAL, BertTokenizer

TRY = "probe", ("--fill", "The film was [MASK].")  # a command for the finished model, and its flags
DROPOUTS = "hidden_dropout_prob", "attention_probs_dropout_prob"  # fields of the config


def read_tokenizer(name):
    """The tokenizer of a model that the command has read before."""
    with tokenizer_files.quietly():
        return BertTokenizer.from_pretrained(name)


def learn_tokenizer(job, stream, count_words):
    """A tokenizer for the texts of stream(), or, to inherit, one with the commonest of the teacher's tokens.

    count_words  a tokenizer -> how often each of its words occurs in the texts
    """
    size = job.config.vocab_size
    if job.inherit:
        teachers = job.swap(read_tokenizer(job.teacher))
        texts = tqdm(stream(), desc="counting tokens", unit=" texts", disable=None)
        vocab = vocabulary.common_tokens(texts, teachers, size)
        options = {name: getattr(teachers, name) for name in ("lower_case", "strip_accents", "cjk_apart")}
    else:
        options = {"lower_case": not job.cased}
        counts = count_words(BertTokenizer(SPECIAL, **options))
        with vocabulary.progress(size) as watch:
            vocab = vocabulary.learn_vocab(counts, size, watch=watch)
    return BertTokenizer(vocab, **options, max_length=job.settings.max_length)


def end_of_text(tokenizer):
    """The id that is packed after each text."""
    return tokenizer.sep_token_id


def build(job, **dropout):
    """A new model, or --model with these dropouts."""
    model_class = BertForPreTraining if job.next_sentence else BertForMaskedLM
    return (
        model_class.from_pretrained(job.model, missing_head="new", **dropout) if job.model else model_class(job.config)
    )


def objective(job, model, tokenizer):
    """What to minimise. Shows the teacher, if there is one."""
    teacher = None
    if job.teacher:
        encoder = job.swap(BertModel.from_pretrained(job.teacher))
        teacher = Teacher(encoder, job.swap(read_tokenizer(job.teacher)))
        if not (job.model or job.resume):
            (teacher.bequeath if job.inherit else teacher.initialize)(model, tokenizer)
    return Objective(model, tokenizer, job.settings, teacher, new_head=job.inherit)


def rows(path, tokenizer, length):
    """Packed text, cut into rows."""
    return TokenFile(path, tokenizer, length)
