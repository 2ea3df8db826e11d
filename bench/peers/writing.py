"""Peers of generation and of translation: transformers. And what all systems are given there."""

import time

import numpy as np
import torch

from bench.serve import timed

PROMPT, WRITTEN = 16, 64  # tokens
READ, BEAMS, MARIAN_WORDS = 24, 4, 32_000  # tokens of a text; beams; tokens of the vocabulary


def prompts_of(vocab_size, number):
    """Ids, the same for each system"""
    return np.random.default_rng(0).integers(0, vocab_size, (number, PROMPT)).tolist()


def texts_to_translate(number):
    """Ids and their mask, the same for each system; the last text is half as long as the first"""
    ids = torch.from_numpy(np.random.default_rng(0).integers(1, MARIAN_WORDS - 1, (number, READ)))
    lengths = torch.linspace(READ, READ if number == 1 else READ // 2, number).long()
    mask = (torch.arange(READ) < lengths[:, None]).long()
    return ids.masked_fill(mask == 0, MARIAN_WORDS - 1), mask


def written(work, threads):
    """Of one thread, the time that it computed: what other programs take does not count."""
    ids = []

    def run():
        figures = timed(lambda: ids.extend(work()), time.process_time if threads == 1 else time.perf_counter)
        made = [ids.pop() for _ in range(len(ids))]
        return figures | {"tokens": sum(map(len, made)), "ids": made}

    return run


def generate(folder, batch_size, threads, **options):
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(threads)
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
    prompts = torch.tensor(prompts_of(model.config.vocab_size, batch_size))
    settings = {"attention_mask": torch.ones_like(prompts), "do_sample": False, "max_new_tokens": WRITTEN}

    def work():
        return model.generate(prompts, **settings)[:, PROMPT:].tolist()

    return written(work, threads)


def search(folder, batch_size, threads, **options):
    from transformers import MarianMTModel

    torch.set_num_threads(threads)
    model, (ids, mask) = MarianMTModel.from_pretrained(folder).eval(), texts_to_translate(batch_size)
    settings = {"attention_mask": mask, "num_beams": BEAMS, "max_length": WRITTEN, "do_sample": False}

    def work():
        rows = model.generate(ids, **settings)[:, 1:].tolist()
        return [row[: row.index(0) + 1] for row in rows]

    return written(work, threads)
