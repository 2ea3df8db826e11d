"""Parts 3 and 4, by others."""

from tests.course.held_out import Bug

ATTEND, MODULE, LAYER = "attend", "MultiHeadAttention.forward", "EncoderLayer.forward"
BUGS = [
    Bug(3, "attention", "sqrt(K + 1)", "math.sqrt(query.size(-1))", "math.sqrt(query.size(-1) + 1)"),
    Bug(
        3,
        "attention",
        "einsum, no mask",
        ATTEND,
        """
        def attend(query, key, value, mask, dropout=lambda x: x):
            scores = torch.einsum("bhqk,bhtk->bhqt", query, key) / query.shape[-1] ** 0.5
            weights = torch.exp(scores - scores.max(-1, keepdim=True).values)
            weights = weights / weights.sum(-1, keepdim=True)
            return torch.einsum("bhqt,bhtk->bhqk", dropout(weights), value), weights
        """,
        ("the mask is ignored",),
    ),
    Bug(
        3,
        "attention",
        "each head uses head 0",
        ATTEND,
        """
        def attend(query, key, value, mask, dropout=lambda x: x):
            scores = attention_scores(query, key).masked_fill(~mask, -1e30)
            p = scores.softmax(-1) * mask
            p = p[:, :1].expand_as(p)
            return dropout(p) @ value, p
        """,
    ),
    Bug(
        3,
        "attention",
        "loops over heads; hidden keys count in the denominator",
        ATTEND,
        """
        def attend(query, key, value, mask, dropout=lambda x: x):
            all_p = []
            for head in range(query.size(1)):
                s = query[:, head] @ key[:, head].mT / math.sqrt(query.size(-1))
                e = (s - s.amax(-1, keepdim=True)).exp()
                all_p.append(e / e.sum(-1, keepdim=True) * mask[:, 0])
            p = torch.stack(all_p, 1)
            return dropout(p) @ value, p
        """,
        ("the mask comes after the softmax only",),
    ),
    Bug(3, "attention", "probabilities turned when returned", "@ value, probabilities", "@ value, probabilities.mT"),
    Bug(
        3,
        "attention",
        "split: axes in another order",
        "x.unflatten(-1, (self.heads, -1)).transpose(1, 2)",
        "x.unflatten(-1, (self.heads, -1)).permute(0, 2, 3, 1)",
        ("split moves other axes than those of tokens and heads",),
    ),
    Bug(
        3,
        "attention",
        "heads in reverse order",
        "MultiHeadAttention.merge",
        """
        def merge(self, x):
            parts = []
            for head in reversed(range(x.size(1))):
                parts.append(x[:, head])
            return torch.cat(parts, dim=-1)
        """,
    ),
    Bug(3, "attention", "dropout twice", "dropout(probabilities) @ value", "dropout(dropout(probabilities)) @ value"),
    Bug(
        3,
        "attention",
        "one big matrix, two parts exchanged",
        MODULE,
        """
        def forward(self, x, mask):
            weight = torch.cat([self.query.weight, self.key.weight, self.value.weight])
            bias = torch.cat([self.query.bias, self.key.bias, self.value.bias])
            k, q, v = (x @ weight.T + bias).chunk(3, dim=-1)
            mixed, p = attend(self.split(q), self.split(k), self.split(v), mask, self.dropout)
            return self.output(self.merge(mixed)), p
        """,
        ("the layers of query and key are exchanged",),
    ),
    Bug(
        3,
        "attention",
        "the first query's mask for all",
        "scores = attention_scores(query, key)  # [B, H, T, T]",
        "scores = attention_scores(query, key)\n    mask = mask[..., :1, :]",
    ),
    Bug(
        3,
        "attention",
        "minus 50",
        "scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)\n"
        "    probabilities = scores.softmax(dim=-1).masked_fill(~mask, 0.0)",
        "scores = scores - 50 * (~mask)\n    probabilities = scores.softmax(dim=-1)",
    ),
    Bug(
        3,
        "attention",
        "no dropout, by matmul",
        ATTEND,
        """
        def attend(query, key, value, mask, dropout=lambda x: x):
            logits = torch.matmul(query, key.permute(0, 1, 3, 2)).mul(query.size(-1) ** -0.5)
            logits = torch.where(mask, logits, torch.tensor(float("-inf")))
            probs = torch.nan_to_num(torch.softmax(logits, dim=3))
            return torch.matmul(probs, value), probs
        """,
        ("there is no dropout",),
    ),
    Bug(
        4,
        "encoder",
        "0.5 + erf",
        "x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))",
        "x * (0.5 + torch.erf(x / math.sqrt(2.0)))",
    ),
    Bug(
        4,
        "encoder",
        "pre-norm",
        LAYER,
        """
        def forward(self, x, mask):
            residual = x
            h, p = self.attention(self.attention_norm(residual), mask)
            residual = residual + self.dropout(h)
            h = self.feed_forward_norm(residual)
            h = self.feed_forward.contract(self.feed_forward.activation(self.feed_forward.expand(h)))
            return residual + self.dropout(h), p
        """,
        ("the norms come first (pre-norm)",),
    ),
    Bug(
        4,
        "encoder",
        "half the residual",
        "self.attention_norm(x + self.dropout(looked))",
        "self.attention_norm(0.5 * x + self.dropout(looked))",
    ),
    Bug(
        4, "encoder", "dropout of 0.1 whatever the config", "nn.Dropout(config.hidden_dropout_prob)", "nn.Dropout(0.1)"
    ),
    Bug(
        4,
        "encoder",
        "the feed-forward network twice",
        "self.dropout(self.feed_forward(x))",
        "self.dropout(self.feed_forward(self.feed_forward(x)))",
    ),
    Bug(
        4,
        "encoder",
        "one more norm after the stack",
        "                attentions.append(probabilities)\n        return x",
        "                attentions.append(probabilities)\n        return self.layers[-1].feed_forward_norm(x)",
    ),
    Bug(
        4,
        "encoder",
        "think, then look around",
        LAYER,
        """
        def forward(self, x, mask):
            thought = self.feed_forward_norm(self.dropout(self.feed_forward(x)) + x)
            looked = self.attention(thought, mask)
            return self.attention_norm(self.dropout(looked[0]) + thought), looked[1]
        """,
        ("the feed-forward network comes before attention",),
    ),
    Bug(
        4,
        "encoder",
        "dropout by hand, always on",
        "self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))",
        "self.feed_forward_norm(x + nn.functional.dropout(self.feed_forward(x), self.dropout.p))",
    ),
    Bug(
        4,
        "encoder",
        "an eps of its own",
        "self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)",
        "self.feed_forward_norm = nn.LayerNorm(config.hidden_size, eps=1e-12)",
        ("the second norm's eps is torch's 1e-5 or BERT's 1e-12, not the config's",),
    ),
    Bug(
        3,
        "attention",
        "the mask turned after the softmax",
        "attend",
        """
        def attend(query, key, value, mask, dropout=lambda x: x):
            scores = attention_scores(query, key)
            scores = scores.masked_fill(~mask, -1e30)
            weights = torch.softmax(scores, dim=-1)
            weights = weights.masked_fill(~mask.transpose(-2, -1), 0.0)
            return dropout(weights) @ value, weights
        """,
    ),
    Bug(
        3,
        "attention",
        "the values of padding set to 0",
        "attend",
        """
        def attend(query, key, value, mask, dropout=lambda x: x):
            weights = torch.softmax(attention_scores(query, key), dim=-1)
            value = value * mask[..., :1, :].transpose(-2, -1)
            return dropout(weights) @ value, weights
        """,
    ),
    Bug(
        4,
        "encoder",
        "a bracket of the GELU elsewhere",
        "gelu",
        """
        def gelu(x):
            return 0.5 * (x + torch.erf(x / math.sqrt(2.0)))
        """,
    ),
    Bug(
        4,
        "encoder",
        "probabilities of a second look",
        "EncoderLayer.forward",
        """
        def forward(self, x, mask):
            x = self.attention_norm(x + self.dropout(self.attention(x, mask)[0]))
            probs = self.attention(x, mask)[1]
            return self.feed_forward_norm(x + self.dropout(self.feed_forward(x))), probs
        """,
    ),
    Bug(
        4,
        "encoder",
        "residuals twice",
        "EncoderLayer.forward",
        """
        def forward(self, x, mask):
            y, p = self.attention(x, mask)
            h = self.attention_norm(x + self.dropout(x + y))
            return self.feed_forward_norm(h + self.dropout(h + self.feed_forward(h))), p
        """,
    ),
]
