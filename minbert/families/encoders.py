"""What the encoders of the families share: BERT's layers under another embedding. The heads are in heads.py."""

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from minbert.attention import causal_mask, padding_mask
from minbert.bert import BertModel, initialize
from minbert.config import BOUNDS
from minbert.embeddings import Embeddings
from minbert.encoder import Encoder
from minbert.weights import Pretrained

# The heads of these families read the first token's vector, and nothing else.
FIRST_TOKEN = BOUNDS | {"pooling": ("cls",)}
# Our modules of the embeddings and the layers: their names in Hugging Face's checkpoints, where those are BERT's.
BODY = {ours: theirs[:1] for ours, theirs in BertModel.names.modules.items() if ours != "pooler"}
DROPPED = BertModel.names.dropped
CLASSIFIER = {name: (name,) for name in ("classifier.dense", "classifier.out_proj")}
REMEDY = "name a checkpoint that has one, such as {}; in Python, {{}} makes a random one"


def tokenizers(*names):
    """The values that tokenizer_class may have: Hugging Face's classes of these names, and those that stand for any."""
    of_names = (f"{name}Tokenizer{end}" for name in names for end in ("", "Fast"))
    return (*of_names, "PreTrainedTokenizerFast", "TokenizersBackend", None)


class FamilyModel(BertModel):
    """BertModel with the embeddings of a family; without a pooler "pooler_output" is None. A class declares

    embeddings_class  of config; row_by_row says that they look at no other token than the one that they embed
    like              the class of BERT's that computes the same way on these parts
    """

    embeddings_class, like = Embeddings, None

    def __init__(self, config, pooler: bool = False):
        Pretrained.__init__(self)
        self.config = config = self.config_class.of(config)
        self.embeddings = self.embeddings_class(config)
        self.encoder = Encoder(config)
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if pooler else None
        initialize(self, config.initializer_range)
        self.eval()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        causal: bool = False,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
    ) -> dict:
        """As in BertModel, but that the positions may depend on the mask"""
        attention_mask = (torch.ones_like(input_ids) if attention_mask is None else attention_mask).expand_as(input_ids)
        mask = padding_mask(attention_mask)  # [B, 1, 1, T]
        if causal:
            mask = mask & causal_mask(input_ids.size(1), input_ids.device)  # [B, 1, T, T]
        embedded = self.embeddings(input_ids, token_type_ids, self.places(attention_mask))  # [B, T, D]
        hidden_states = [embedded] if output_hidden_states else None
        attentions = [] if output_attentions else None
        x = self.encoder(embedded, mask, hidden_states, attentions)  # [B, T, D]
        output = {"last_hidden_state": x, "pooler_output": self.pool(x)}
        on_request = {"hidden_states": hidden_states, "attentions": attentions}
        return output | {name: tuple(found) for name, found in on_request.items() if found is not None}

    def places(self, attention_mask: Tensor) -> Tensor | None:
        """[B, T] -> each token's row in the table of positions [B, T]; None: 0, 1, 2, ..."""
        return None

    def pool(self, last_hidden_state: Tensor) -> Tensor | None:
        """As in BertModel; None without a pooler"""
        return None if self.pooler is None else super().pool(last_hidden_state)


def narrow(config, **changes):
    """The config for a module as wide as the embeddings."""
    return SimpleNamespace(**vars(config) | {"hidden_size": config.embedding_size} | changes)


class NarrowEmbeddings(Embeddings):
    """BERT's, and then a linear layer to the width of the layers, if that is another."""

    row_by_row = True

    def __init__(self, config):
        super().__init__(narrow(config))
        wider = config.embedding_size != config.hidden_size
        self.project = nn.Linear(config.embedding_size, config.hidden_size) if wider else None

    def forward(self, input_ids, token_type_ids=None, positions=None) -> Tensor:
        x = super().forward(input_ids, token_type_ids, positions)
        return x if self.project is None else self.project(x)
