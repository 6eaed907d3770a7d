"""Tokens of a line, and expressions over numbers, labels and registers.

An expression has a `Value`: a number, and with it how often the program's origin is in it.
``end - start`` is a plain number; ``start + 4`` moves with the program. The assembler may
shorten the first to one byte, as NASM does, but keeps the second at full width. Inside brackets
registers join in: ``[ebx + 4*esi - 8]`` is the same kind of sum.

Numbers have 64 bits, as in NASM: ``0xFFFFFFFFFFFFFFFF`` is -1, and sums wrap. ``/ % >>`` take them
as unsigned, ``// %% >>>`` as signed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..decode.operand_registers import REGISTERS, Register
from .errors import AssemblyError

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\f\xa0]+) | (?P<comment>;.*)
      | (?P<string>'[^']*' | "[^"]*" | `(?:\\.|[^`\\])*`)
      | (?P<float>\d[\d_]*\.\d*(?:[eE][-+]?\d+)? | \d+[eE][-+]\d+)
      | (?P<number>\d\w*)
      | (?P<here>\$\$ | \$(?![\w.?@]))
      | (?P<name>\$?[A-Za-z_.?@][\w.?@\#~]*)
      | (?P<operator><<<|>>>|<=>|<<|>>|//|%%|\|\||\^\^|&&|==|!=|<>|<=|>=|[-+*/%&|^~!<>=()\[\]:,?])""",
    re.VERBOSE,
)

#: A byte as ``\x41`` or octal ``\101``, a character as ``\u20ac``, a letter.
_ESCAPE = re.compile(
    r"\\(?:x([0-9A-Fa-f]{1,2}) | ([0-7]{1,3}) | u([0-9A-Fa-f]{1,4}) | U([0-9A-Fa-f]{1,8}) | (.))", re.VERBOSE
)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "e": "\x1b", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}

#: Binary operators, loosest first, and how tightly each binds.
_LEVELS = ("||", "^^", "&&", "= == != <> < > <= >=", "|", "^", "&", "<< >> <<< >>>", "+ -", "* / // % %%")
_BINDS = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators.split()}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a line; `column` counts from 1."""

    kind: str
    text: str
    column: int
    lower: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """The value of an expression.

    `moves` counts how often the origin is contained; a value that is not `known` uses a symbol
    that a later pass will define.
    """

    number: int = 0
    moves: int = 0
    known: bool = True
    registers: Mapping[Register, int] = field(default_factory=dict)
    index: Register | None = None  #: written as ``register*1``: meant as index, not as base

    @property
    def plain(self) -> bool:
        return not self.moves and not self.registers


class Scope(Protocol):
    """What an expression needs from the assembler."""

    def lookup(self, token: Token) -> Value: ...
    def here(self) -> Value: ...
    def start(self) -> Value: ...


def tokenize(line: str) -> list[Token]:
    """Split a source line; comments and blanks are dropped."""
    tokens: list[Token] = []
    position = 0
    while position < len(line):
        found = _TOKEN.match(line, position)
        if found is None:
            character = line[position]
            if character in "'\"`":
                raise AssemblyError("a string without its closing quote", position + 1, f"add {character}")
            raise AssemblyError(f"unexpected character {character!r}", position + 1)
        kind = str(found.lastgroup)
        if kind not in ("space", "comment"):
            text = found.group()
            tokens.append(Token(kind, text, position + 1, text.lower() if kind == "name" else text))
        position = found.end()
    return tokens


def string_bytes(token: Token) -> bytes:
    """The bytes of a string token; only back-quoted strings know escapes, as in NASM."""
    body = token.text[1:-1]
    if token.text[0] != "`":
        return body.encode("utf-8")
    out = bytearray()
    position = 0
    for escape in _ESCAPE.finditer(body):
        out += body[position : escape.start()].encode("utf-8")
        position = escape.end()
        byte, octal, short, long, letter = escape.groups()
        if byte or octal:
            out.append((int(byte, 16) if byte else int(octal, 8)) & 0xFF)
        elif letter:
            out += _LETTERS.get(letter, letter).encode("utf-8")
        elif int(short or long, 16) > 0x10FFFF:
            raise AssemblyError(f"there is no character {escape.group()}", token.column)
        else:
            out += chr(int(short or long, 16)).encode("utf-8", "surrogatepass")
    return bytes(out) + body[position:].encode("utf-8")


def wrap(number: int) -> int:
    """A number as signed 64 bits, which is what NASM reckons in."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def parse_number(token: Token) -> int:
    """``31  0x1F  1Fh  0b1_1111  11111b  0o37  37o`` are all thirty-one."""
    text = token.text.replace("_", "").lower()
    tries: list[tuple[str, int]] = []
    if text[:2] in ("0x", "0h"):
        tries.append((text[2:], 16))
    elif text.endswith("h"):
        tries.append((text[:-1], 16))
    else:
        if text[:2] in ("0b", "0y"):
            tries.append((text[2:], 2))
        if text[:2] in ("0o", "0q"):
            tries.append((text[2:], 8))
        if text[-1] in "by":
            tries.append((text[:-1], 2))
        if text[-1] in "oq":
            tries.append((text[:-1], 8))
        tries.append((text.removeprefix("0d").removesuffix("d"), 10))
    for digits, base in tries:
        try:
            number = int(digits, base)
        except ValueError:
            continue
        if number >> 64:
            raise AssemblyError(f"{token.text} does not fit in 64 bits", token.column)
        return wrap(number)
    remedy = "write hexadecimal numbers as 0x1F or 1Fh" if re.search("[a-f]", text) else ""
    raise AssemblyError(f"not a number: {token.text}", token.column, remedy)


class Parser:
    """Walks over the tokens of one line and evaluates the expressions it meets."""

    def __init__(self, tokens: list[Token], scope: Scope, end_column: int = 1) -> None:
        self.tokens = tokens
        self.scope = scope
        self.position = 0
        self.end_column = end_column

    # Moving along the line.

    @property
    def token(self) -> Token | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    @property
    def column(self) -> int:
        return self.token.column if self.token else self.end_column

    def sees(self, *texts: str) -> bool:
        """Whether the next token is one of these words (lower case) or operators."""
        token = self.token
        return token is not None and token.kind in ("name", "operator", "here") and token.lower in texts

    def take(self, *texts: str) -> Token | None:
        """The next token if it is one of these, and step over it."""
        if not self.sees(*texts):
            return None
        self.position += 1
        return self.tokens[self.position - 1]

    def expect(self, text: str) -> None:
        if not self.take(text):
            seen = f"before {self.token.text!r}" if self.token else "at the end of the line"
            raise AssemblyError(f"expected {text!r} {seen}", self.column)

    def finish(self) -> None:
        if self.token:
            raise AssemblyError(f"unexpected {self.token.text!r}", self.column)

    # Expressions, by precedence.

    def expression(self) -> Value:
        """``condition ? this : that``, or just the condition."""
        value = self._binary(0)
        question = self.take("?")
        if question is None:
            return value
        _plain(question, value)
        this = self.expression()
        self.expect(":")
        that = self.expression()
        chosen = this if value.number else that
        return chosen if value.known else Value(known=False)

    def _binary(self, least: int) -> Value:
        """Terms joined by operators that bind at least so tightly."""
        left = self._unary()
        while (operator := self.token) and (binds := _BINDS.get(operator.text, -1)) >= least:
            self.position += 1
            left = _combine(operator, left, self._binary(binds + 1))
        if self.sees("<=>"):
            remedy = "compare with < and >: its value in NASM is not what NASM's manual says"
            raise AssemblyError("<=> is no operator here", self.column, remedy)
        return left

    def number(self, what: str) -> Value:
        """An expression without registers."""
        column = self.column
        value = self.expression()
        if value.registers:
            raise AssemblyError(f"{what} cannot contain a register", column)
        return value

    def _unary(self) -> Value:
        if operator := self.take("-", "+", "~", "!"):
            value = self._unary()
            if operator.text == "-":
                return _combine(operator, Value(), value)
            if operator.text == "+":
                return value
            _plain(operator, value)
            return Value(~value.number if operator.text == "~" else int(not value.number), 0, value.known)
        return self._primary()

    def _primary(self) -> Value:
        token = self.token
        if token is None:
            raise AssemblyError("expected a value at the end of the line", self.column)
        if self.take("("):
            value = self.expression()
            self.expect(")")
            return value
        self.position += 1
        if token.kind == "number":
            return Value(parse_number(token))
        if token.kind == "string":
            text = string_bytes(token)
            if len(text) > 4:
                raise AssemblyError("a string in an expression has at most 4 bytes", token.column)
            return Value(int.from_bytes(text, "little"))
        if token.kind == "here":
            return self.scope.here() if token.text == "$" else self.scope.start()
        if token.kind == "name":
            if token.lower in REGISTERS:
                return Value(registers={REGISTERS[token.lower]: 1})
            return self.scope.lookup(token)
        self.position -= 1
        raise AssemblyError(f"expected a value, found {token.text!r}", token.column)


def _plain(operator: Token, *values: Value) -> None:
    if any(value.registers for value in values):
        raise AssemblyError(
            f"{operator.text!r} cannot be applied to a register",
            operator.column,
            "an address is a sum: base + index * 1, 2, 4 or 8 + displacement",
        )


def _combine(operator: Token, a: Value, b: Value) -> Value:
    """Apply a binary operator."""
    text, known = operator.text, a.known and b.known
    if text in "+-":
        sign = 1 if text == "+" else -1
        registers = dict(a.registers)
        for register, count in b.registers.items():
            registers[register] = registers.get(register, 0) + sign * count
        registers = {register: count for register, count in registers.items() if count}
        index = a.index or b.index
        return Value(wrap(a.number + sign * b.number), a.moves + sign * b.moves, known, registers, index)
    if text == "*" and (a.plain or b.plain):
        factor, other = (a.number, b) if a.plain else (b.number, a)
        registers = {register: count * factor for register, count in other.registers.items() if factor}
        index = next(iter(registers), None) if factor == 1 else None
        return Value(wrap(factor * other.number), factor * other.moves, known, registers, index)
    _plain(operator, a, b)
    if not known:
        return Value(known=False)
    if text in ("/", "//", "%", "%%") and not b.number:
        raise AssemblyError("division by zero", operator.column)
    if text in ("<<", ">>", "<<<", ">>>") and not 0 <= b.number < 64:
        raise AssemblyError(f"cannot shift by {b.number}", operator.column, "the count must be 0 to 63")
    if text in ("<", ">", "<=", ">=") and wrap(a.number - b.number) != a.number - b.number:
        remedy = "NASM compares by a difference of 64 bits, and has it wrong here"
        raise AssemblyError("cannot compare numbers 64 bits apart", operator.column, remedy)
    return Value(wrap(int(_OPERATIONS[text](a.number, b.number))))


def _divided(x: int, y: int) -> int:
    """The quotient rounded towards zero."""
    return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)


_ALL = (1 << 64) - 1

#: What the binary operators do with two signed numbers of 64 bits.
_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "||": lambda x, y: bool(x or y),
    "^^": lambda x, y: bool(x) != bool(y),
    "&&": lambda x, y: bool(x and y),
    "=": lambda x, y: x == y,
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
    "<>": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    ">": lambda x, y: x > y,
    "<=": lambda x, y: x <= y,
    ">=": lambda x, y: x >= y,
    "|": lambda x, y: x | y,
    "^": lambda x, y: x ^ y,
    "&": lambda x, y: x & y,
    "<<": lambda x, y: x << y,
    "<<<": lambda x, y: x << y,
    ">>": lambda x, y: (x & _ALL) >> y,
    ">>>": lambda x, y: x >> y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: (x & _ALL) // (y & _ALL),
    "//": _divided,
    "%": lambda x, y: (x & _ALL) % (y & _ALL),
    "%%": lambda x, y: x - y * _divided(x, y),
}
