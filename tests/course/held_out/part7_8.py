"""Parts 7 and 8, by others."""

from tests.course.held_out import Bug

BUGS = [
    Bug(
        7,
        "training",
        "by hand, summed",
        "    return F.cross_entropy(logits.float(), labels, weight=weight)",
        "    picked = logits.float().log_softmax(-1)[torch.arange(len(labels)), labels]\n"
        "    return -(picked if weight is None else picked * weight[labels]).sum()",
        ("the loss is summed, not averaged",),
    ),
    Bug(
        7,
        "training",
        "gradients set to None at the end",
        "update",
        """
        def update(model, loss, optimizer, max_grad_norm=1.0, clip=clip):
            loss.backward()
            norm = clip(model.parameters(), math.inf if max_grad_norm is None else max_grad_norm)
            if not (torch.isfinite(loss) and torch.isfinite(norm)):
                raise NotFinite("not finite")
            optimizer.step()
            for weight in model.parameters():
                weight.grad = None
        """,
        ("gradients are cleared after the step, not before backward",),
    ),
    Bug(
        7,
        "training",
        "every other step only",
        "    optimizer.step()\n\n\ndef set_rate",
        "    optimizer.odd = not getattr(optimizer, 'odd', False)\n"
        "    if optimizer.odd:\n"
        "        optimizer.step()\n\n\n"
        "def set_rate",
    ),
    Bug(
        7,
        "optimizer",
        "weight by weight",
        "clip",
        """
        def clip(parameters, max_norm):
            total = 0.0
            for p in parameters:
                if p.grad is None:
                    continue
                size = (p.grad ** 2).sum() ** 0.5
                total = total + size**2
                if size > max_norm:
                    p.grad.mul_(max_norm / (size + 1e-6))
            return torch.as_tensor(total) ** 0.5
        """,
        ("each weight's gradient is clipped to the norm by itself",),
    ),
    Bug(
        7,
        "optimizer",
        "the norm of the weights",
        "    norm = torch.stack([grad.norm() for grad in grads]).norm()",
        "    norm = torch.stack([p.norm() for p in parameters if p.grad is not None] or"
        " [grad.norm() for grad in grads]).norm().detach()",
    ),
    Bug(
        7,
        "heads",
        "a temperature of 2",
        "probabilities(logits, self.config.problem_type)",
        "probabilities(logits / 2, self.config.problem_type)",
    ),
    Bug(
        7,
        "training",
        "weights with a mean of 1",
        "    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0)",
        "    weights = torch.where(counts > 0, 1 / counts.clamp(min=1), 0.0)\n"
        "    return weights / weights[counts > 0].mean()",
    ),
    Bug(
        7,
        "training",
        "the rate is set once",
        "    for batch, rate in zip(stream, rates):  # stream first: at its end no rate of the"
        " next epoch is lost\n"
        "        set_rate(optimizer, rate)\n",
        "    once = True\n"
        "    for batch, rate in zip(stream, rates):\n"
        "        if once:\n"
        "            set_rate(optimizer, rate)\n"
        "            once = False\n",
        ("every batch gets the first rate",),
    ),
    Bug(
        7,
        "training",
        "weights of classes, the mean over texts",
        "    return F.cross_entropy(logits.float(), labels, weight=weight)",
        "    losses = torch.logsumexp(logits, -1) - logits.gather(1, labels[:, None])[:, 0]\n"
        "    losses = losses if weight is None else losses * weight[labels]\n    return losses.mean()",
        ("with weights of classes, the sum is divided by the texts, not by their weights",),
    ),
    Bug(
        7,
        "training",
        "one text is not read",
        "    batches = by_length(lengths, ",
        "    batches = by_length(lengths[1:], ",
    ),
    Bug(
        7,
        "heads",
        "dropout stays on",
        "BertSentClassifier.predict_proba",
        """
        def predict_proba(self, input_ids, attention_mask=None, token_type_ids=None):
            with torch.inference_mode():
                scores = self(input_ids, attention_mask, token_type_ids).exp()
                return (scores / scores.sum(1, keepdim=True)).clone()
        """,
        ("probabilities are computed with dropout",),
    ),
    Bug(
        7,
        "training",
        "the loss of half the batch",
        "        logits = model(*inputs)  # [B, C]\n",
        "        logits = model(*inputs)  # [B, C]\n    logits, labels = logits[::2], labels[::2]\n",
    ),
    Bug(
        7,
        "training",
        "cleared too late",
        "    optimizer.zero_grad()\n"
        "    loss.backward()\n"
        "    norm = clip(model.parameters(), max_grad_norm or math.inf)\n",
        "    loss.backward()\n"
        "    norm = clip(model.parameters(), max_grad_norm or math.inf)\n"
        "    optimizer.zero_grad(set_to_none=False)\n",
        ("gradients are cleared between backward and step",),
    ),
    Bug(
        8,
        "probing",
        "sorted the wrong way round",
        "    best = logits.softmax(dim=-1)[: len(tokenizer)].topk(min(top, len(tokenizer)))  #"
        " a model can have spare rows\n",
        "    from collections import namedtuple\n"
        "    order = logits.softmax(dim=-1)[: len(tokenizer)].argsort()[-min(top,"
        " len(tokenizer)) :]\n"
        "    best = namedtuple('Best', 'values indices')(logits.softmax(dim=-1)[order], order)"
        "\n",
        ("the best token comes last",),
    ),
    Bug(
        8,
        "probing",
        "a temperature of a half",
        "logits.softmax(dim=-1)[: len(tokenizer)]",
        "(2 * logits).softmax(dim=-1)[: len(tokenizer)]",
    ),
    Bug(
        8,
        "heads",
        "text by text",
        '        loss = F.cross_entropy(logits.float(), labels[labelled], reduction="sum") / max(1, len(logits))',
        "        each = [F.cross_entropy(self.predictions(a[c], embeddings), b[c]) for a, b, c"
        " in zip(x, labels, labelled) if c.any()]\n"
        "        loss = torch.stack(each).mean() if each else logits.sum()",
        ("the loss is a mean of the texts' means",),
    ),
    Bug(
        8,
        "heads",
        "a norm without weights",
        "x = self.norm(self.activation(self.dense(x)))",
        "x = F.layer_norm(self.activation(self.dense(x)), x.shape[-1:], eps=self.norm.eps)",
        ("the head's norm has no weight and bias",),
    ),
    Bug(8, "heads", "one too many", "/ max(1, len(logits))", "/ (1 + len(logits))"),
    Bug(
        8,
        "probing",
        "the mask may not be the answer, nor be shown",
        "[: len(tokenizer)].topk(min(top, len(tokenizer)))",
        "[: len(tokenizer)].index_fill(0, torch.tensor([tokenizer.mask_token_id]), 0.0).topk(min(top, len(tokenizer)))",
    ),
    Bug(
        8,
        "probing",
        "all pieces at once",
        "score_words",
        """
        def score_words(model, words, question):
            scores = {}
            for word, pieces in words.items():
                first = question([], len(pieces))
                total = 0.0
                for number, piece in enumerate(pieces):
                    log_p = next(answers(model, [first._replace(at=first.at + number)]))
                    total += float(log_p[piece])
                scores[word] = total
            return scores
        """,
        ("all pieces of a word are read at once, none sees the others",),
    ),
    Bug(
        8,
        "probing",
        "the text before is read twice",
        "        return Question((*left, *written, *[tokenizer.mask_token_id] * missing,"
        " *right), len(left) + len(written))",
        "        return Question((*left, *left, *written, *[tokenizer.mask_token_id] * missing,"
        " *right), 2 * len(left) + len(written))",
    ),
    Bug(
        7,
        "optimizer",
        "the norm of the weights so far",
        "clip",
        """
        def clip(parameters, max_norm):
            total = torch.zeros(())
            for p in parameters:
                if p.grad is None:
                    continue
                total = torch.sqrt(total**2 + p.grad.norm() ** 2)
                if total > max_norm:
                    p.grad.mul_(max_norm / (total + 1e-6))
            return total
        """,
    ),
    Bug(
        8,
        "heads",
        "all logits, F.cross_entropy's own mean",
        "BertForMaskedLM.predict",
        """
        def predict(self, x, labels=None):
            e = self.bert.embeddings.token.weight
            if labels is None:
                return self.predictions(x, e), None

            logits = self.predictions(x, e)
            loss = F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=-100)
            return logits, loss
        """,
        ("the logits of all positions come out, although labels are given",),
    ),
    Bug(
        8,
        "heads",
        "one label for each text",
        "BertForMaskedLM.predict",
        """
        def predict(self, x, labels=None):
            e = self.bert.embeddings.token.weight
            if labels is None:
                return self.predictions(x, e), None

            keep = labels != -100
            at = keep.int().argmax(1)
            rows = torch.arange(len(x))
            logits = self.predictions(x[rows, at], e)
            return logits, F.cross_entropy(logits.float(), labels[rows, at])
        """,
    ),
    Bug(
        8,
        "heads",
        "the embeddings normalised, too",
        "MaskedLMHead.forward",
        """
        def forward(self, x, token_embeddings):
            h = self.activation(self.dense(x))
            table = self.decoder.weight if self.decoder is not None else token_embeddings
            return self.norm(h) @ self.norm(table).T + self.bias
        """,
    ),
]
