"""Parts 5 and 6, by others."""

from tests.course.held_out import Bug

BUGS = [
    Bug(
        5,
        "bert",
        "the mean of two tokens",
        "self.pooler(last_hidden_state[:, 0])",
        "self.pooler(last_hidden_state[:, :2].mean(1))",
    ),
    Bug(
        5,
        "heads",
        "divided by the root of the count",
        "/ weight.sum(dim=1).clamp(min=1)",
        "/ weight.sum(dim=1).clamp(min=1).sqrt()",
    ),
    Bug(
        5,
        "heads",
        "the encoder never trains",
        "BertSentClassifier.train",
        """
        def train(self, mode=True):
            for module in self.modules():
                module.training = mode and not any(module is inner for inner in self.bert.modules())
            return self
        """,
        ("the encoder is always in evaluation mode",),
    ),
    Bug(5, "heads", "dropout of 0.5", "self.dropout = nn.Dropout(dropout)", "self.dropout = nn.Dropout(0.5)"),
    Bug(
        5,
        "heads",
        "frozen by name, the pooler forgotten",
        "            self.bert.requires_grad_(False)",
        "            for name, weight in self.bert.named_parameters():\n"
        '                if name.startswith(("embeddings", "encoder")):\n'
        "                    weight.requires_grad = False",
        ("the pooler is not frozen with the encoder",),
    ),
    Bug(
        5,
        "heads",
        "logits divided by sqrt(D)",
        "logits = self.classifier(self.dropout(self.features(input_ids, attention_mask, token_type_ids)))",
        "x = self.features(input_ids, attention_mask, token_type_ids)\n"
        "        logits = self.classifier(self.dropout(x)) / x.size(-1) ** 0.5",
    ),
    Bug(
        5,
        "heads",
        "features without gradients",
        "        return self.pool(self.bert(input_ids, attention_mask, token_type_ids), attention_mask)",
        "        with torch.no_grad():\n"
        "            return self.pool(self.bert(input_ids, attention_mask, token_type_ids),"
        " attention_mask)",
        ("the linear layer learns, but nothing before it: its input is detached",),
    ),
    Bug(
        5,
        "heads",
        "a loop over rows, padding in",
        "BertSentClassifier.pool",
        """
        def pool(self, output, attention_mask=None):
            if self.config.pooling == "pooler":
                return output["pooler_output"]
            rows = output["last_hidden_state"]
            if self.config.pooling == "cls":
                return torch.stack([row[0] for row in rows])
            return torch.stack([sum(row) / len(row) for row in rows])
        """,
        ("padding counts in the mean",),
    ),
    Bug(
        5,
        "heads",
        "the mask from the ids",
        '        x = output["last_hidden_state"]\n',
        '        x = output["last_hidden_state"][:, :-1]\n'
        "        attention_mask = None if attention_mask is None else attention_mask[:, :-1]\n",
    ),
    Bug(
        6,
        "optimizer",
        "beta times t",
        '    correction1 = 1 - beta1**step if group["correct_bias"] else 1.0\n    correction2 = 1 - beta2**step if',
        '    correction1 = 1 - beta1 ** (step * step) if group["correct_bias"] else 1.0\n'
        "    correction2 = 1 - beta2**step if",
    ),
    Bug(
        6,
        "optimizer",
        "one clock for all",
        "                if weight.grad is not None:\n                    state = self.state[weight]",
        "                self.clock = getattr(self, 'clock', {})\n"
        "                self.clock[weight] = self.clock.get(weight, 0) + 1\n"
        "                if weight.grad is not None:\n"
        "                    state = self.state[weight]\n"
        "                    if state:\n"
        "                        state['step'] = self.clock[weight] - 1",
    ),
    Bug(
        6,
        "optimizer",
        "gradients capped at 1",
        "    mean.mul_(beta1).add_(grad, alpha",
        "    grad = grad.clamp(-1, 1)\n    mean.mul_(beta1).add_(grad, alpha",
    ),
    Bug(
        6,
        "optimizer",
        "written out, eps before the correction",
        "update",
        """
        def update(weight, grad, step, mean, square, group):
            b1, b2 = group["betas"]
            mean.copy_(b1 * mean + (1 - b1) * grad)
            square.copy_(b2 * square + (1 - b2) * grad * grad)
            c1, c2 = (1 - b1**step, 1 - b2**step) if group["correct_bias"] else (1.0, 1.0)
            delta = group["lr"] * (c2**0.5 / c1) * mean / (square**0.5 + group["eps"])
            if group["efficient"]:
                weight.copy_((weight - delta) * (1 - group["lr"] * group["weight_decay"]))
            else:
                weight.copy_(weight * (1 - group["lr"] * group["weight_decay"]) - delta)
        """,
        ("eps meets sqrt(v) before it is corrected",),
    ),
    Bug(
        6,
        "optimizer",
        "Nesterov",
        "        weight.addcdiv_(mean, denominator, value=-lr / correction1)",
        "        weight.addcdiv_(beta1 * mean + (1 - beta1) * grad, denominator, value=-lr / correction1)",
    ),
    Bug(
        6,
        "optimizer",
        "warm-up by whole numbers",
        "        return step / warmup\n    return (total",
        "        return step // warmup\n    return (total",
    ),
    Bug(
        6,
        "optimizer",
        "only what is called bias does not decay",
        "parameter_groups",
        """
        def parameter_groups(model, weight_decay):
            yes, no = [], []
            for name, weight in model.named_parameters():
                if weight.requires_grad:
                    (no if name.endswith("bias") else yes).append(weight)
            return [{"params": yes, "weight_decay": weight_decay}, {"params": no, "weight_decay": 0.0}]
        """,
        ("norms decay, biases do not",),
    ),
    Bug(
        6,
        "optimizer",
        "L2, written out",
        "update",
        """
        def update(weight, grad, step, mean, square, group):
            b1, b2 = group["betas"]
            g = grad + group["weight_decay"] * weight
            mean.lerp_(g, 1 - b1)
            square.mul_(b2).add_(g.square() * (1 - b2))
            c1 = 1 - b1**step if group["correct_bias"] else 1
            c2 = 1 - b2**step if group["correct_bias"] else 1
            if group["efficient"]:
                weight.sub_(group["lr"] * c2**0.5 / c1 * mean / (square.sqrt() + group["eps"]))
            else:
                weight.sub_(group["lr"] * (mean / c1) / ((square / c2).sqrt() + group["eps"]))
        """,
        ("decay is part of the gradient (L2), not apart from it",),
    ),
    Bug(
        6,
        "optimizer",
        "a rate that is squared",
        '    lr, (beta1, beta2), decay = group["lr"],',
        '    lr, (beta1, beta2), decay = group["lr"] ** 2,',
    ),
    Bug(
        6,
        "optimizer",
        "the warm-up ends a step too early",
        "    if step < warmup:\n        return step / warmup\n    return (total",
        "    if step < warmup - 1:\n        return step / warmup\n    return (total",
    ),
    Bug(
        5,
        "bert",
        "a softmax in the pooler",
        "BertModel.pool",
        """
        def pool(self, last_hidden_state):
            first = last_hidden_state[:, 0]
            return torch.softmax(self.pooler(first), dim=-1)
        """,
    ),
    Bug(
        5,
        "heads",
        "one more than the tokens",
        "BertSentClassifier.pool",
        """
        def pool(self, output, attention_mask=None):
            if self.config.pooling == "pooler":
                return output["pooler_output"]
            x = output["last_hidden_state"]
            if self.config.pooling == "cls":
                return x[:, 0]

            if attention_mask is None:
                return x.mean(1)
            m = attention_mask.to(x.dtype)
            return (x * m[:, :, None]).sum(1) / (m.sum(1, keepdim=True) + 1)
        """,
    ),
    Bug(
        5,
        "heads",
        "the largest, hidden by -1e9",
        "BertSentClassifier.pool",
        """
        def pool(self, output, attention_mask=None):
            if self.config.pooling == "pooler":
                return output["pooler_output"]
            x = output["last_hidden_state"]
            if self.config.pooling == "cls":
                return x[:, 0]

            if attention_mask is not None:
                x = x.masked_fill(attention_mask[:, :, None] == 0, -1e9)
            return x.max(dim=1).values
        """,
        ("the largest of each number among the real tokens is read, not the mean",),
    ),
    Bug(
        6,
        "optimizer",
        "decay twice",
        "update",
        """
        def update(weight, grad, step, mean, square, group):
            b1, b2 = group["betas"]
            lr, wd, eps = group["lr"], group["weight_decay"], group["eps"]
            mean.mul_(b1).add_(grad, alpha=1 - b1)
            square.mul_(b2).addcmul_(grad, grad, value=1 - b2)
            c1, c2 = 1.0, 1.0
            if group["correct_bias"]:
                c1, c2 = 1 - b1**step, 1 - b2**step
            if group["efficient"]:
                weight -= lr * math.sqrt(c2) / c1 * mean / (square.sqrt() + eps)
                weight *= 1 - lr * wd
            else:
                weight *= 1 - lr * wd; weight *= 1 - lr * wd
                weight -= lr * (mean / c1) / ((square / c2).sqrt() + eps)
        """,
    ),
    Bug(
        6,
        "optimizer",
        "new weights, not in place",
        "update",
        """
        def update(weight, grad, step, mean, square, group):
            b1, b2 = group["betas"]
            lr, wd, eps = group["lr"], group["weight_decay"], group["eps"]
            mean.mul_(b1).add_(grad, alpha=1 - b1)
            square.mul_(b2).addcmul_(grad, grad, value=1 - b2)
            c1, c2 = 1.0, 1.0
            if group["correct_bias"]:
                c1, c2 = 1 - b1**step, 1 - b2**step
            if group["efficient"]:
                weight -= lr * math.sqrt(c2) / c1 * mean / (square.sqrt() + eps)
                weight = weight - lr * wd * weight
            else:
                weight = weight - lr * wd * weight
                weight -= lr * (mean / c1) / ((square / c2).sqrt() + eps)
        """,
        ("the weight stays as it is: new numbers are computed, but not in place",),
    ),
    Bug(
        6,
        "optimizer",
        "the peak a step late, the end a step early",
        "linear",
        """
        def linear(step, warmup, total):
            if step <= warmup:
                return step / max(1, warmup)
            return max(0.0, (total - step - 1) / (total - warmup))
        """,
    ),
]
