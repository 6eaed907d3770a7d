"""Attacks on a monitor that runs a kernel in ring 1: programs made by a grammar from a seed.

A program is one to six productions, each a few instructions that use one mechanism of protected mode
in a way in which an operating system would not. A production calls `wild` when bare metal and a
monitor may differ with good reason: addresses of the monitor, time, what instructions that do not
trap say. Programs without that must print under a monitor what they print on bare metal.

    python -m tests.hypervisor.attack_grammar SEED      prints a program
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from . import attack_processor, attack_protection
from .attack_kernel import Part, kernel
from .attack_words import Words

PRODUCTIONS = attack_protection.PRODUCTIONS + attack_processor.PRODUCTIONS


@dataclass(frozen=True)
class Attack:
    seed: int
    productions: tuple[str, ...]
    comparable: bool  # prints under a monitor what it prints on bare metal
    text: str


def attack(seed: int) -> Attack:
    """The program of a seed; always the same."""
    w = Words(seed)
    tame, wild, names, parts = w.chance(0.25), False, list[str](), list[Part]()
    length = w.number(1, 1, 2, 2, 3, 4, 5, 6)
    while len(parts) < length:
        kept = list(w.slots), list(w.data), dict(w.gates)
        w.is_wild, production = False, w.random.choice(PRODUCTIONS)
        if not parts:  # so that few seeds have them all
            production = PRODUCTIONS[seed % len(PRODUCTIONS)]
        code = production(w)
        if tame and w.is_wild and parts:
            w.slots, w.data, w.gates = kept
            continue
        wild |= w.is_wild
        if w.chance(0.08):
            code = f"pushfd; or dword [esp], 0x100; popfd; {code}"  # in single steps
        flags = w.number(2, 0x202, 0x3002) if w.chance(0.2) else None
        parts.append(Part(code, flags, fresh=w.chance(0.7)))
        names.append(production.__name__)
    return Attack(seed, tuple(names), not wild, kernel(parts, w.slots, w.gates, w.data))


if __name__ == "__main__":
    shown = attack(int(sys.argv[1]))
    print(
        f"; seed {shown.seed}: {', '.join(shown.productions)}; comparable: {shown.comparable}\n{shown.text}"
    )
