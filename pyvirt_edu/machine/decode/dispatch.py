"""Calls by number: the link between a number that the decoder found and a function that a row names.

The chain of comparisons is made from the rows when a module is imported, so that nobody keeps
it: an instruction is added by its row and, at most, one function.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..state.jit import core


def _call(text: str, values: Mapping[str, str], space: Mapping[str, Any]) -> str:
    """``divide(signed=1)`` with all arguments: ``divide(m, operands & 0xFF, 1)``."""
    tree = ast.parse(text, mode="eval").body
    given: dict[str, str] = {}
    name = text
    if isinstance(tree, ast.Call):
        name = ast.unparse(tree.func)
        given = {str(k.arg): ast.unparse(k.value) for k in tree.keywords}
    if name not in space:
        raise NameError(f"a row of the opcode table names {name}, which {space['__name__']} does not have")
    arguments = []
    for parameter in inspect.signature(space[name].core_source).parameters:
        value = given.get(parameter, parameter)
        if parameter not in given and parameter not in values:
            raise TypeError(f"{name} has a parameter {parameter} that neither its row nor its unit gives")
        arguments.append(values.get(value, value))
    return f"{name}({', '.join(arguments)})"


def dispatcher(
    name: str,
    parameters: tuple[str, ...],
    calls: Iterable[tuple[int, str]],
    values: Mapping[str, str],
    space: dict[str, Any],
) -> Callable[..., Any]:
    """A function of the processor, ``name(*parameters)``, that makes one of many calls.

    The second parameter is the number of the call. `calls` are numbers and texts such as
    ``divide(signed=1)``; the functions are looked up in `space`, a module's globals. `values`
    are what their other parameters are given.
    """
    values = {parameters[0]: parameters[0], **values}
    arms: dict[str, list[int]] = {}
    for number, text in calls:
        arms.setdefault(_call(text, values, space), []).append(number)
    lines, word = [f"def {name}({', '.join(parameters)}):"], "if"
    for call, numbers in arms.items():
        test = " or ".join(f"{parameters[1]} == {number}" for number in numbers)
        lines += [f"    {word} {test}:", f"        {call}"]
        word = "elif"
    source = "\n".join(lines) + "\n"
    file = f"<{name} of {space['__name__']}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    made: dict[str, Any] = {}
    exec(compile(source, file, "exec"), space, made)
    return core(made[name])  # not inlined by force: that costs a fifth of a unit's compile time
