"""Take the bodies of functions out of a file; their signatures and docstrings stay."""

import ast

from minbert.errors import UserError


def blank(source: str, names, number) -> str:
    """The source without the bodies of these functions of part `number`: each raises NotImplementedError instead.

    names  "attend", "BertModel.pool", or a class: all its methods. Raises UserError for a name that is not there.
    """
    lines = source.splitlines()
    bodies = {}
    for name in names:
        for full, node in functions(ast.parse(source)):
            if full == name or full.startswith(f"{name}."):
                bodies[full] = node
        if not any(full == name or full.startswith(f"{name}.") for full in bodies):
            raise UserError(f"part {number}: there is no function {name} to blank")
    for full, node in sorted(bodies.items(), key=lambda item: -item[1].lineno):
        first = node.body[0]
        has_docstring = isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str)
        begin = first.end_lineno if has_docstring else first.lineno - 1
        indent = " " * (node.col_offset + 4)
        lines[begin : node.end_lineno] = [f'{indent}raise NotImplementedError("part {number}: {full}")']
    return "\n".join(lines) + "\n"


def functions(tree, prefix=""):
    """(full name, node) of each function and method, but not of functions inside functions."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield prefix + node.name, node
