"""Small kernels of our own, for places where the shared ones are not present.

They keep the same protocol (see kernels.py) and do the same kinds of work.
"""

from __future__ import annotations

from dataclasses import dataclass

from .kernels import BASE

# N is at offset 8. The checksum comes back in EAX and is printed digit by digit.
FRAME = """
        jmp start
        times 8-($-$$) db 0
count:  dd 3
start:  mov al, 'S'
        out 0xe9, al
        mov ecx, [count]
        call work
        push eax
        mov al, 'E'
        out 0xe9, al
        mov ebx, [esp]
        mov ecx, 8
digit:  rol ebx, 4
        mov eax, ebx
        and eax, 15
        add al, '0'
        cmp al, '9'
        jbe print
        add al, 39
print:  out 0xe9, al
        dec ecx
        jnz digit
        mov al, 10
        out 0xe9, al
        pop eax
        out 0xf4, al
        hlt
work:
"""


@dataclass(frozen=True)
class Source:
    text: str
    per_unit: int


SOURCES = {
    "a": Source(
        """
        mov eax, 1
        mov edx, 0x85ebca6b
again:  add eax, edx
        rol edx, 7
        xor edx, eax
        sub eax, ecx
        dec ecx
        jnz again
        ret
        """,
        6,
    ),
    "d": Source(
        """
again:  push ecx
        mov eax, 22
        call fibonacci
        pop ecx
        dec ecx
        jnz again
        ret
fibonacci:
        cmp eax, 2
        jb done
        push eax
        dec eax
        call fibonacci
        xchg eax, [esp]
        sub eax, 2
        call fibonacci
        pop ecx
        add eax, ecx
done:   ret
        """,
        # calls: 57313 of fib(22), of which 28657 end at once (3 instructions), the rest take 11
        28_657 * 3 + 28_656 * 11 + 6,
    ),
    "l": Source(
        """
        xor eax, eax
again:  mov byte [patched + 1], cl
        add eax, ecx
patched:
        mov dl, 0
        dec ecx
        jnz again
        movzx edx, dl
        add eax, edx
        ret
        """,
        5,
    ),
}


def assembled(letter: str) -> bytes:
    from ..machine.assembler import assemble

    return bytes(assemble(FRAME + SOURCES[letter].text, origin=BASE, bits=32))
