"""The x87's instructions by name: what may be left out, what WAIT is added to, what is refused."""

from __future__ import annotations

import pytest

from pyvirt_edu.machine.assembler import AssemblyError, assemble
from pyvirt_edu.machine.assembler.disassembler import disassemble
from pyvirt_edu.machine.opcodes import ROWS


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("faddp", "dec1"), ("faddp st2", "dec2"), ("faddp st2, st0", "dec2"), ("fadd st1", "d8c1"),
        ("fadd st(2), st(0)", "dcc2"), ("fadd st, st(2)", "d8c2"), ("fsubr st3, st0", "dce3"),
        ("fdivrp", "def1"), ("fxch", "d9c9"), ("fxch st3", "d9cb"), ("fcom", "d8d1"),
        ("fcom st0, st2", "d8d2"), ("fcomi st2", "dbf2"), ("fucomip st0, st1", "dfe9"),
        ("fcmovne st0, st1", "dbc9"),
        ("fstp st1", "ddd9"), ("fcomp st1", "d8d9"), ("ffree st1", "ddc1"), ("ffreep st1", "dfc1"),
        ("fstpnce st1", "d9d9"), ("feni", "9bdbe0"), ("fneni", "dbe0"), ("fdisi", "9bdbe1"),
        ("fsetpm", "dbe4"),
        ("fld tbyte [eax]", "db28"), ("fld tword [eax]", "db28"), ("fild qword [eax]", "df28"),
        ("fist word [eax]", "df10"), ("fldcw [eax]", "d928"), ("fbstp [eax]", "df30"), ("fsin", "d9fe"),
        ("fnstsw ax", "dfe0"), ("fstsw ax", "9bdfe0"), ("finit", "9bdbe3"), ("fclex", "9bdbe2"),
        ("fstcw [eax]", "9bd938"), ("fsave [eax]", "9bdd30"), ("fstenv [es:eax]", "9b26d930"),
        ("o16 fnsave [eax]", "66dd30"), ("fxsave [eax]", "0fae00"), ("fwait", "9b"), ("wait", "9b"),
    ],
)  # fmt: skip
def test_spelling(source: str, code: str) -> None:
    assert bytes(assemble(f"bits 32\n{source}")).hex() == code


@pytest.mark.parametrize(
    "source",
    ["fadd [eax]", "fld st8", "fld st(9)", "fadd st1, st2", "fld eax", "fld byte [eax]", "fist qword [eax]",
     "fst tbyte [eax]", "fnstsw bx", "fsin st1", "mov st0, eax", "fld [st0]", "lock fadd dword [eax]"],
)  # fmt: skip
def test_what_does_not_exist(source: str) -> None:
    with pytest.raises(AssemblyError):
        assemble(f"bits 32\n{source}")


def test_the_disassembler_reads_back() -> None:
    """Every form, disassembled and assembled again, is the same bytes; of two encodings the first."""
    documented: dict[tuple[str, tuple[str, ...]], bytes] = {}
    for row in ROWS:
        if row.is_x87 or row.operation in ("FXSAVE", "FXRSTOR", "WAIT"):
            code = (b"\x0f" if row.two_byte else b"") + bytes([row.opcode])
            if row.has_modrm:
                rm = 1 if row.rm is None else row.rm
                code += bytes([(row.reg or 0) << 3 | (0xC0 | rm if row.mod == "r" else 3)])
            expected = documented.setdefault((row.mnemonic, row.operands), code)
            for prefix in (b"", b"\x66") if row.operands == ("M",) and row.is_x87 else (b"",):
                (found,) = disassemble(prefix + code, bits=32)
                assert found.bytes == prefix + code
                assert bytes(assemble(f"bits 32\n{found.text}")) == prefix + expected, found.text
