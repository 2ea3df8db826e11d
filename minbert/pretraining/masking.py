"""Which tokens to ask for, and how to hide them (Devlin et al. 2019, section 3.1, task 1)."""

import numpy as np

IGNORED = -100  # a label where nothing is asked


def mask_tokens(rows, packed, rng, share=0.15, whole_words=False):
    """Choose what to ask for, and hide it: 80 % become [MASK], 10 % any token, 10 % stay (section 3.1, task 1).

    rows         ids, int64 [B, T]; special tokens are never chosen
    whole_words  choose words, all pieces or none (google-research/bert, README, whole word masking)
    returns      ids to show [B, T], labels [B, T]: what stood there if it was chosen, or -100
    """
    begins = ~packed.continues[rows] if whole_words else np.ones(rows.shape, bool)
    begins[:, 0] = True
    group = begins.cumsum().reshape(rows.shape) - 1  # what is chosen together
    chosen = (rng.random(group.max() + 1) < share)[group] & ~packed.special[rows]
    draw = rng.random(rows.shape)
    anything = rng.choice(np.flatnonzero(~packed.special), rows.shape)
    shown = np.where(chosen & (draw < 0.8), packed.mask, rows)
    shown = np.where(chosen & (draw >= 0.8) & (draw < 0.9), anything, shown)
    return shown, np.where(chosen, rows, IGNORED)
