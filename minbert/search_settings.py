"""How a model's beam search is done: generation_config.json, or in older folders the same keys in config.json.

Each key is honoured, without effect on a beam search, or refused.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.jsonfile import plain_word, quoted, read_json

FILE = "generation_config.json"
KEYS = {"beams": "num_beams", "max_length": "max_length", "length_penalty": "length_penalty"}  # our field: the file's
KEYS |= {"early_stopping": "early_stopping", "start": "decoder_start_token_id", "end": "eos_token_id"}
KEYS |= {"forced_end": "forced_eos_token_id", "renormalise": "renormalize_logits"}
BAD = "bad_words_ids"
MOST_BEAMS, MOST_PENALTY = 64, 100
ONLY = {  # keys that change what is found, with the values at which they do not
    "do_sample": (False,),
    "repetition_penalty": (1.0,),
    "encoder_repetition_penalty": (1.0,),
    "diversity_penalty": (0.0,),
    "num_beam_groups": (1,),
    "penalty_alpha": (0.0,),
    **dict.fromkeys(("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "min_length", "min_new_tokens"), (0,)),
    **dict.fromkeys(("forced_bos_token_id", "max_new_tokens", "max_time", "guidance_scale", "constraints"), ()),
    **dict.fromkeys(("suppress_tokens", "begin_suppress_tokens", "sequence_bias", "force_words_ids"), ([],)),
    **dict.fromkeys(("exponential_decay_length_penalty", "stop_strings", "watermarking_config"), ([],)),
    **dict.fromkeys(("dola_layers", "prompt_lookup_num_tokens"), ()),
    **dict.fromkeys(("remove_invalid_values", "low_memory", "token_healing"), (False,)),
}
HARMLESS = {
    *(
        "bos_token_id",
        "pad_token_id",
        "transformers_version",
        "use_cache",
        "num_return_sequences",
        "_from_model_config",
    ),
    *("output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate"),
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"),  # of draws
    *("cache_implementation", "cache_config", "_commit_hash", "is_assistant", "assistant_confidence_threshold"),
    *("num_assistant_tokens", "num_assistant_tokens_schedule", "disable_compile", "trust_remote_code"),
}


@dataclass(frozen=True)
class SearchSettings:
    """The settings of search.beam_search. Where no file says otherwise, they are those of opus-mt.

    start         the ids with which a row begins
    end           the id at which it ends; None: no id does
    forbidden     ids that are never written
    forced_end    the id that stands in the last place, whatever the model computes; None: none is forced
    beams         how many rows go on, and how many results there are at most
    max_length    the tokens of a result, start and end included
    length_penalty, early_stopping  as in `beam_search`
    renormalise   whether the probabilities of the ids that are not forbidden add up to 1
    """

    start: tuple[int, ...] = ()
    end: int | None = None
    forbidden: tuple[int, ...] = ()
    forced_end: int | None = None
    beams: int = 4
    max_length: int = 512
    length_penalty: float = 1.0
    early_stopping: bool = False
    renormalise: bool = True

    @classmethod
    def of(cls, config, **values) -> "SearchSettings":
        """Of an encoder-decoder with this config: it forces an end and never writes padding. values: fields"""
        end, most = config.eos_token_id, config.max_position_embeddings + 1  # the last token is not read
        own = {"start": (config.decoder_start_token_id,), "end": end, "forced_end": end}
        found = cls(**own | {"forbidden": (config.pad_token_id,)} | values)
        if isinstance(found.max_length, int):
            found = replace(found, max_length=min(found.max_length, most))
        return found.check(config.vocab_size, most)

    @classmethod
    def read(cls, directory: str | Path, config) -> "SearchSettings":
        """What a folder says. Raises UserError, naming the file and the key, for what is not computed here."""
        path = Path(directory, FILE)
        path = path if path.exists() else Path(directory, "config.json")
        values = read_json(path)
        values = {key: value for key, value in values.items() if value is not None or key == KEYS["forced_end"]}
        for key in ONLY.keys() & values:
            if values[key] not in ONLY[key]:
                raise UserError(f"{path}: {key} is {quoted(values[key])}, which minbert's beam search does not do")
        if path.name == FILE and (unknown := values.keys() - {*KEYS.values(), *ONLY, *HARMLESS, BAD}):
            raise UserError(f"{path}: minbert does not know {', '.join(sorted(map(plain_word, unknown)))}")
        found = {ours: values[theirs] for ours, theirs in KEYS.items() if theirs in values}
        if "start" in found:
            found["start"] = (found["start"],)
        words = values.get(BAD, [])
        if not isinstance(words, list) or not all(isinstance(word, list) and len(word) == 1 for word in words):
            raise UserError(f"{path}: {BAD} is {quoted(words)}, but minbert forbids single tokens only")
        found["forbidden"] = tuple(dict.fromkeys([config.pad_token_id, *(id for (id,) in words)]))
        try:
            return cls.of(config, **found)
        except UserError as error:
            name, space, rest = str(error).partition(" ")
            raise UserError(f"{path}: {KEYS.get(name, name)}{space}{rest}") from None

    def write(self, directory: str | Path) -> None:
        """Write generation_config.json, with which transformers finds the same."""
        values = {theirs: getattr(self, ours) for ours, theirs in KEYS.items()}
        values |= {
            KEYS["start"]: self.start[0],
            BAD: [[id] for id in self.forbidden],
            "pad_token_id": self.forbidden[0],
        }
        with atomic_write(Path(directory, FILE)) as path:
            path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    def change(self, **values) -> "SearchSettings":
        """A copy with some values changed; None changes nothing."""
        return replace(self, **{name: value for name, value in values.items() if value is not None})

    def check(self, tokens: int, most: int) -> "SearchSettings":
        """The settings themselves. Raises UserError for one that cannot be: of `tokens` ids, in `most` places."""
        for name, least, largest in (("beams", 1, MOST_BEAMS), ("max_length", 2, most)):
            if type(value := getattr(self, name)) is not int or not least <= value <= largest:
                raise UserError(f"{name} is {quoted(value)}, but must be a whole number from {least} to {largest}")
        penalty = self.length_penalty
        if isinstance(penalty, bool) or not isinstance(penalty, (int, float)) or not abs(penalty) <= MOST_PENALTY:
            raise UserError(f"length_penalty is {quoted(penalty)}, but must be a number from -100 to 100; 0 is none")
        for name in ("early_stopping", "renormalise"):
            if not isinstance(value := getattr(self, name), bool):
                raise UserError(f"{name} is {quoted(value)}, but can be: True, False")
        ends = [("end", self.end), ("forced_end", self.forced_end)]
        for name, id in [*(("start", id) for id in self.start), *((BAD, id) for id in self.forbidden), *ends]:
            if id is not None and (type(id) is not int or not 0 <= id < tokens):
                raise UserError(f"{name} is {quoted(id)}, but must be one id of the {tokens} tokens")
        return self
