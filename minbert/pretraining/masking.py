"""Which tokens to predict, and how to hide them (Devlin et al. 2019, section 3.1, task 1)."""

import numpy as np

IGNORED = -100  # the label of a token that is not to be predicted


def mask_tokens(rows, packed, rng, share=0.15, whole_words=False):
    """Choose the tokens to predict, and hide them: 80 % become [MASK], 10 % a random token, 10 % stay.

    rows         ids, int64 [B, T]; special tokens are never chosen
    whole_words  choose words, all pieces or none (google-research/bert, README, whole word masking)
    returns      masked ids [B, T], labels [B, T]: the original id where one was chosen, else -100
    """
    begins = ~packed.continues[rows] if whole_words else np.ones(rows.shape, bool)
    begins[:, 0] = True
    group = begins.cumsum().reshape(rows.shape) - 1  # tokens of one group are chosen together
    chosen = (rng.random(group.max() + 1) < share)[group] & ~packed.special[rows]
    draw = rng.random(rows.shape)
    random = rng.choice(np.flatnonzero(~packed.special), rows.shape)
    masked = np.where(chosen & (draw < 0.8), packed.mask, rows)
    masked = np.where(chosen & (draw >= 0.8) & (draw < 0.9), random, masked)
    return masked, np.where(chosen, rows, IGNORED)
