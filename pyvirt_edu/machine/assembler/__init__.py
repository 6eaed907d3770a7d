"""The assembler: Intel syntax in, bytes out.

    >>> from pyvirt_edu import assemble
    >>> program = assemble('''
    ... start:  mov ecx, 3
    ... .again: dec ecx
    ...         jnz .again
    ...         hlt
    ... ''')
    >>> program.hex(" ")
    'b9 03 00 00 00 49 75 fd f4'
    >>> program.symbols
    {'start': 0, 'start.again': 5}

It reads what NASM users write: labels and local ``.labels``, ``equ``, ``db dw dd dq`` with
strings, ``times``, ``align``, ``org``, ``bits 16`` and ``bits 32``, ``resb`` and its sisters, and
expressions with ``$`` and ``$$``. There are no macros and no sections: a program is one flat
piece, and Python is the macro language. What can be encoded is what stands in the opcode table.

The parts, in the order in which a line passes through them: ``expressions`` (words and sums),
``operands`` (registers, addresses, numbers), ``encoding`` (operands to bytes, by the table),
``passes`` (labels, directives, and how jumps find their length).
"""

from .errors import AssemblyError
from .passes import assemble
from .program import ListingRow, Program

__all__ = ["AssemblyError", "ListingRow", "Program", "assemble"]
