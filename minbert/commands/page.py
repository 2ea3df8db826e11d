"""One HTML file that opens by a double click, without a network: what a run found, where heads look, every step.

    minbert page runs/flexible-3-0.0001                      a run: scores, mistakes, words that misled it
    minbert page runs/flexible-3-0.0001 --against runs/other what one run fixed and the other broke
    minbert page --attention --model tiny --text "..."       where each head of each layer looks
    minbert page --walk --sentence "..."                     a sentence through every stage, with its numbers

minbert page --attention --help and minbert page --walk --help show the manuals of these two.
"""

import importlib

KINDS = {"--attention": "minbert.commands.page_attention", "--walk": "minbert.commands.page_walk"}


def main(arguments):
    for flag, module in KINDS.items():
        if flag in arguments:
            importlib.import_module(module).main([word for word in arguments if word != flag])
            return
    raise NotImplementedError
