"""Calls by number: the link between a number that the decoder found and a function that a row names.

The chain of comparisons is made from the rows when a module is imported, so that nobody keeps
it: an instruction is added by its row and, at most, one function.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

from ..state.jit import core, unit
from .operations import RECIPES, UNIT_VALUES, calls


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


def _chain(
    number: str, calls: Iterable[tuple[int, str]], values: Mapping[str, str], space: Mapping[str, Any]
) -> list[str]:
    """The comparisons of `number`, a call behind each."""
    arms: dict[str, list[int]] = {}
    for n, text in calls:
        arms.setdefault(_call(text, values, space), []).append(n)
    lines, word = [], "if"
    for call, numbers in arms.items():
        test = " or ".join(f"{number} == {n}" for n in numbers)
        lines += [f"{word} {test}:", f"    {call}"]
        word = "elif"
    return lines


def _function(header: str, body: list[str], space: dict[str, Any]) -> Callable[..., Any]:
    """A function of a module, made from lines of source that debuggers and `inspect` find too."""
    name = header.partition("(")[0]
    source = "".join([f"def {header}:\n", *(f"    {line}\n" for line in body)])
    file = f"<{name} of {space['__name__']}>"
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    made: dict[str, Any] = {}
    exec(compile(source, file, "exec"), space, made)
    return made[name]  # type: ignore[no-any-return]


def recipes_by_number(modules: Iterable[ModuleType], space: dict[str, Any]) -> Callable[..., Any]:
    """``emit_recipe(m, recipe, op)``: the recipe with that number, from the modules that have it."""
    names = {name: value for module in modules for name, value in vars(module).items()}
    calls = ((n, f"recipe_{name}") for n, name in enumerate(RECIPES))
    body = _chain("recipe", calls, {"m": "m", "op": "op"}, names | space)
    return core(_function("emit_recipe(m, recipe, op)", body, names | space))


def unit_by_rows(name: str, space: dict[str, Any], before: str = "", after: str = "") -> Callable[..., Any]:
    """The unit ``assist_name(m, op, operands, immediate)``: what its rows ask for, by number.

    `space` is the module's globals. If there is `before`, it must return 1 for the instruction to
    be executed. `after` returns what the unit does, else 0: 1 lets the loop go on at once.
    """
    body = _chain("op", calls(name), UNIT_VALUES, space)
    body.append(f"return {_call(after, UNIT_VALUES, space) if after else 0}")
    if before:
        body = [f"if {_call(before, UNIT_VALUES, space)}:", *(f"    {line}" for line in body), "return 0"]
    return unit(_function(f"assist_{name}(m, op, operands, immediate)", body, space))
