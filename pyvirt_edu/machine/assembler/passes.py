"""From source text to a program: labels, directives and the passes that settle them.

How long a jump is depends on how far it goes, and how far it goes depends on how long the
instructions between are. So the source is assembled again and again, each time with the labels
of the pass before, until no label moves. The first passes take every jump as short. Later an
instruction may only grow. That is why it ends.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

from ..decode.operand_registers import REGISTERS
from .encoding import MEANINGS, PREFIXES, SIZE_PREFIXES, encode, in_range, unknown_mnemonic
from .errors import AssemblyError, did_you_mean
from .expressions import Parser, Token, Value, string_bytes, tokenize, wrap
from .operands import parse_operands
from .program import ListingRow, Program

_DATA = {"db": 1, "dw": 2, "dd": 4, "dq": 8}
_RESERVE = {"resb": 1, "resw": 2, "resd": 4, "resq": 8}
_DIRECTIVES = ("equ", "times", "align", "alignb", "org", "bits", "use16", "use32", "global", "cpu")
_STATEMENTS = (*_DATA, *_RESERVE, *_DIRECTIVES, *PREFIXES, *SIZE_PREFIXES, *MEANINGS)
_WORDS = frozenset(_STATEMENTS)

_MOST_PASSES = 100
_MOST_BYTES = 64 << 20


def assemble(
    source: str, *, bits: int = 32, origin: int = 0, symbols: Mapping[str, int] | None = None
) -> Program:
    """Assemble Intel-syntax source to a `Program`.

    `origin` is the address the first byte will have (``org`` in the source overrides it), `bits`
    the mode at the start, `symbols` names that are already known. Raises `AssemblyError` with
    the line, the column and, where there is one, a remedy.
    """
    if bits not in (16, 32):
        raise ValueError(f"bits must be 16 or 32, not {bits}")
    try:
        return _Assembly(source, bits, origin, dict(symbols or {})).program()
    except AssemblyError as error:
        raise error.with_traceback(None) from None  # the reader's line matters, not ours


class _Assembly:
    """The state of the passes over one source text. It is the expressions' `Scope`."""

    def __init__(self, source: str, bits: int, origin: int, given: dict[str, int]) -> None:
        self.source = source
        self.first_bits = bits
        self.origin = origin
        self.given = given
        self.tokens: list[list[Token]] = []
        self.lines = source.splitlines()
        for number, line in enumerate(self.lines, 1):
            try:
                self.tokens.append(tokenize(line))
            except AssemblyError as error:
                raise error.locate(number, line) from None
        self.lengths: dict[tuple[int, int], int] = {}
        self.before: dict[str, Value] = {}
        self.now: dict[str, Value] = {}
        self.strict = False  # whether an undefined symbol is an error yet

    # The passes.

    def program(self) -> Program:
        for number in range(1, _MOST_PASSES + 1):
            known = sum(value.known for value in self.before.values())
            old_lengths = dict(self.lengths)
            self._one_pass()
            settled = self.now == self.before and self.lengths == old_lengths
            if settled and self.strict:
                return self._result()
            # A pass that taught nothing new: whatever is still unknown stays so.
            self.strict = number > 1 and known == sum(value.known for value in self.now.values())
            self.before = self.now
        raise AssemblyError(
            "the labels do not settle", 1, "some equ, times or align depends on itself in a circle"
        ).locate(1, self.lines[0] if self.lines else "")

    def _one_pass(self) -> None:
        self.now = {}
        self.where: dict[str, int] = {}
        self.labels: list[str] = []
        self.code = bytearray()
        self.bits = self.first_bits
        self.parent = ""
        self.listing: list[ListingRow] = []
        for number, tokens in enumerate(self.tokens, 1):
            text = self.lines[number - 1]
            start = len(self.code)
            self.statement_start = start
            self.line_number, self.part = number, 0
            end_column = tokens[-1].column + len(tokens[-1].text) if tokens else 1
            bits = self.bits
            try:
                if tokens:
                    self._line(Parser(tokens, self, end_column))
            except AssemblyError as error:
                if error.column == 1 and tokens:
                    error.column = tokens[0].column
                raise error.locate(number, text) from None
            self.listing.append(ListingRow(self.origin + start, bytes(self.code[start:]), text, number, bits))

    def _result(self) -> Program:
        labels = {name: self.now[name].number for name in self.labels}
        constants = {name: value.number for name, value in self.now.items() if name not in labels}
        first = next((row.bits for row in self.listing if row.code), self.first_bits)
        return Program(bytes(self.code), labels, self.listing, self.source, self.origin, first, constants)

    # What expressions ask for.

    def here(self) -> Value:
        return Value(self.origin + self.statement_start, 1)

    def start(self) -> Value:
        return Value(self.origin, 1)

    def lookup(self, token: Token) -> Value:
        name = self._full_name(token)
        for table in (self.now, self.before):
            if name in table:
                if self.strict and not table[name].known:
                    raise AssemblyError(f"{name} depends on itself", token.column)
                return table[name]
        if name in self.given:
            return Value(wrap(self.given[name]))
        if self.strict:
            remedy = did_you_mean(name, [*self.now, *self.before, *self.given, *REGISTERS])
            raise AssemblyError(f"undefined symbol {name}", token.column, remedy)
        return Value(known=False)

    def _full_name(self, token: Token) -> str:
        """Local labels belong to the last label that is not local."""
        name = token.text.removeprefix("$")
        return self.parent + name if name.startswith(".") and not name.startswith("..") else name

    def _define(self, token: Token, value: Value) -> None:
        name = self._full_name(token)
        if name.lower() in REGISTERS and not token.text.startswith("$"):
            raise AssemblyError(f"{name} is a register, not a name for a label", token.column)
        if name in self.where:
            raise AssemblyError(f"{name} is already defined in line {self.where[name]}", token.column)
        self.where[name] = self.line_number
        self.now[name] = value

    # One line.

    def _line(self, parser: Parser) -> None:
        token = parser.token
        assert token is not None
        if token.text == "%":
            remedy = "use equ for constants; for macros, build the source with Python"
            raise AssemblyError("there is no preprocessor here", token.column, remedy)
        if parser.take("["):  # [bits 16], as some write it
            self._statement(parser)
            parser.expect("]")
            parser.finish()
            return
        if token.kind == "name" and self._is_label(parser):
            parser.position += 1
            parser.take(":")
            if equ := parser.take("equ"):
                value = parser.number("a constant")
                parser.finish()
                self._define(token, value)
                del equ
                return
            self._define(token, self.here())
            self.labels.append(self._full_name(token))
            if not token.text.startswith("."):
                self.parent = token.text.removeprefix("$")
        if parser.token:
            self._statement(parser)
            parser.finish()

    def _is_label(self, parser: Parser) -> bool:
        token = parser.tokens[parser.position]
        after = parser.tokens[parser.position + 1] if parser.position + 1 < len(parser.tokens) else None
        if after is not None and after.text == ":":
            return True
        if token.lower in _WORDS:
            return False
        return token.text.startswith(".") or (after is not None and after.lower in _WORDS)

    def _statement(self, parser: Parser) -> None:
        token = parser.token
        if token is None:
            raise AssemblyError("expected an instruction at the end of the line", parser.column)
        word = token.lower
        if token.kind != "name":
            raise AssemblyError(f"expected an instruction, found {token.text!r}", token.column)
        if word in _DATA:
            parser.position += 1
            self._data(parser, _DATA[word])
        elif word in _RESERVE:
            parser.position += 1
            self._emit(bytes(self._count(parser, word) * _RESERVE[word]))
        elif word in _DIRECTIVES:
            parser.position += 1
            self._directive(parser, token)
        else:
            self._instruction(parser)

    def _emit(self, code: bytes) -> None:
        self.code += code
        if len(self.code) > _MOST_BYTES:
            raise AssemblyError(f"the program is longer than {_MOST_BYTES >> 20} MiB", 1)

    def _count(self, parser: Parser, what: str) -> int:
        column = parser.column
        value = parser.number("a count")
        if value.number < 0 and value.known and self.strict:
            remedy = f"the code before it is {-value.number} bytes too long" if what == "times" else ""
            raise AssemblyError(f"{what} with a negative count: {value.number}", column, remedy)
        if value.number > _MOST_BYTES:
            raise AssemblyError(f"{what} with a count of {value.number}", column, "that is more than 64 MiB")
        return max(0, value.number) if value.known else 0

    def _directive(self, parser: Parser, token: Token) -> None:
        word, column = token.lower, parser.column
        if word == "equ":
            raise AssemblyError("equ needs a name before it", token.column, "write NAME equ VALUE")
        if word == "times":
            self._times(parser)
        elif word in ("align", "alignb"):
            self._align(parser, 0 if word == "alignb" else None)
        elif word == "org":
            value = parser.number("an origin").number
            if self.code:
                raise AssemblyError(
                    "org must come before any code", token.column, "use times or align to move on"
                )
            self.origin = value
        elif word in ("bits", "use16", "use32"):
            bits = parser.number("bits").number if word == "bits" else int(word[3:])
            if bits not in (16, 32):
                raise AssemblyError(f"bits {bits} is not supported", column, "it can be 16 or 32")
            self.bits = bits
        else:  # global, cpu: for linkers and other processors; nothing to do
            parser.position = len(parser.tokens)

    def _times(self, parser: Parser) -> None:
        count = self._count(parser, "times")
        if not parser.token:
            raise AssemblyError("times needs something to repeat", parser.column)
        body = parser.position
        last = None
        for done in range(count):
            parser.position = body
            before = len(self.code)
            self._statement(parser)
            code = bytes(self.code[before:])
            # Twice the same is always the same ($ is where the line begins). Jumps are relative
            # to where they stand, so they differ each time.
            if code == last:
                self._emit(code * (count - done - 1))
                break
            last = code
        if not count:
            parser.position = len(parser.tokens)

    def _align(self, parser: Parser, fill: int | None) -> None:
        column = parser.column
        boundary = parser.number("an alignment")
        if boundary.known and (boundary.number < 1 or boundary.number & (boundary.number - 1)):
            raise AssemblyError(f"cannot align to {boundary.number}", column, "it must be a power of two")
        count = -(self.origin + len(self.code)) % max(1, boundary.number)
        if parser.take(","):
            body = parser.position
            for _ in range(count):
                parser.position = body
                self._statement(parser)
            if not count:
                parser.position = len(parser.tokens)
            return
        nop = encode(MEANINGS["nop"], (), [], self.bits, 0)
        self._emit((nop if fill is None else bytes([fill])) * count)

    def _data(self, parser: Parser, size: int) -> None:
        if not parser.token:
            raise AssemblyError("expected data at the end of the line", parser.column)
        while True:
            self._datum(parser, size)
            if not parser.take(","):
                return
            if not parser.token:
                return  # NASM allows a comma at the end

    def _datum(self, parser: Parser, size: int) -> None:
        token = parser.token
        after = parser.tokens[parser.position + 1].text if parser.position + 1 < len(parser.tokens) else ","
        if token and token.kind == "string" and after == ",":
            parser.position += 1
            text = string_bytes(token)
            self._emit(text + bytes(-len(text) % size))
            return
        if token and token.text == "?":
            parser.position += 1
            self._emit(bytes(size))
            return
        negative = token is not None and token.text == "-" and re.fullmatch(r"\d[\d_]*\.\d*.*", after)
        if token and (token.kind == "float" or negative):
            parser.position += 2 if negative else 1
            digits = float((after if negative else token.text).replace("_", "")) * (-1 if negative else 1)
            if size not in (4, 8):
                raise AssemblyError("a number with a fraction needs dd or dq", token.column)
            self._emit(struct.pack("<f" if size == 4 else "<d", digits))
            return
        column = parser.column
        value = parser.number("data")
        if not in_range(value, size * 8):
            wider = {1: "dw", 2: "dd", 4: "dq"}.get(size)
            remedy = f"use {wider}" if wider else ""
            raise AssemblyError(
                f"{value.number} does not fit in {size} byte{'s' * (size > 1)}", column, remedy
            )
        self._emit((value.number % (1 << size * 8)).to_bytes(size, "little"))

    def _instruction(self, parser: Parser) -> None:
        prefixes: list[str] = []
        while prefix := parser.take(*PREFIXES, *SIZE_PREFIXES):
            prefixes.append(prefix.lower)
        token = parser.token
        if token is None:  # prefixes alone are a line too: the next line continues it
            self._bare_prefixes(prefixes, parser)
            return
        meaning = MEANINGS.get(token.lower)
        if meaning is None:
            raise unknown_mnemonic(token.text, token.column, _STATEMENTS)
        parser.position += 1
        operands = parse_operands(parser, self.bits)
        key = (self.line_number, self.part)
        self.part += 1
        # Before every symbol is known, lengths are guesses and may still shrink.
        floor = self.lengths.get(key, 0) if self.strict else 0
        here = self.origin + len(self.code)
        if meaning.name.startswith("loop") and len(operands) == 2:
            prefixes.append(self._loop_counter(operands))
        try:
            code = encode(meaning, prefixes, operands, self.bits, here, floor)
        except AssemblyError as error:
            if error.column == 1:
                error.column = token.column
            raise
        self.lengths[key] = len(code)
        self._emit(code)

    def _loop_counter(self, operands: list) -> str:  # type: ignore[type-arg]
        """``loop label, cx`` counts in cx whatever the mode."""
        register = getattr(operands[1], "register", None)
        if register is None or register.name not in ("cx", "ecx"):
            raise AssemblyError("loop counts in cx or ecx", operands[1].column)
        return "a16" if register.name == "cx" else "a32"

    def _bare_prefixes(self, prefixes: list[str], parser: Parser) -> None:
        if any(prefix in SIZE_PREFIXES for prefix in prefixes):
            raise AssemblyError("a size prefix needs an instruction", parser.column)
        self._emit(bytes(PREFIXES[prefix] for prefix in prefixes))
