"""A trace document with known states, made without a machine.

The program is the one in SOURCE; `run` is a tiny model of its nine instructions, enough to write down
what each step changes.
"""

from __future__ import annotations

from typing import Any

NUMBERS = (3, 5, 8, 13, 21, 0xFFFF_FFF0)
ORIGIN, LIST, RESULT, STACK = 0x10000, 0x10040, 0x10058, 0x90000
ZF, SF, CF, PF = 0x40, 0x80, 1, 4

CODE: list[tuple[str, str, str]] = [
    ("be40000100", f"mov esi, {LIST:#x}", "numbers"),
    ("b906000000", "mov ecx, 6", "how many"),
    ("e806000000", "call 0x10015", "sum(numbers)"),
    ("a358000100", f"mov dword ptr [{RESULT:#x}], eax", "keep it"),
    ("f4", "hlt", ""),
    ("31c0", "xor eax, eax", "total = 0"),
    ("0306", "add eax, dword ptr [esi]", "total += *p"),
    ("83c604", "add esi, 4", "p++"),
    ("49", "dec ecx", ""),
    ("75f8", "jne 0x10017", ""),
    ("c3", "ret", "return total"),
]


def _flags(result: int, carry: int) -> int:
    value = 2 | carry
    value |= ZF if result == 0 else 0
    value |= SF if result >> 31 else 0
    return value | (PF if bin(result & 0xFF).count("1") % 2 == 0 else 0)


def demo(title: str = "Sum of six numbers") -> dict[str, Any]:
    """The document of the run."""
    addresses, place = [], ORIGIN
    for code, _, _ in CODE:
        addresses.append(place)
        place += len(code) // 2
    state = {"eax": 0, "ebx": 0, "ecx": 0, "edx": 0, "esi": 0, "edi": 0, "ebp": 0, "esp": STACK}
    state |= {"eflags": 2, "cs": 8, "ss": 16, "ds": 16, "es": 16, "fs": 16, "gs": 16, "cr0": 0x60000011}
    start = dict(state)
    steps: list[dict[str, Any]] = []

    def step(line: int, changes: dict[str, int], *stores: list[int]) -> None:
        changed = {name: value for name, value in changes.items() if state[name] != value}
        state.update(changed)
        steps.append({"address": addresses[line], "registers": changed, "memory": list(stores)})

    step(0, {"esi": LIST})
    step(1, {"ecx": 6})
    step(2, {"esp": STACK - 4}, [STACK - 4, 4, 0, addresses[3]])
    step(5, {"eax": 0, "eflags": _flags(0, 0)})
    for number in NUMBERS:
        total = state["eax"] + number
        step(6, {"eax": total & 0xFFFF_FFFF, "eflags": _flags(total & 0xFFFF_FFFF, total >> 32)})
        step(7, {"esi": state["esi"] + 4, "eflags": _flags(state["esi"] + 4, 0)})
        left = state["ecx"] - 1
        step(8, {"ecx": left, "eflags": _flags(left, state["eflags"] & CF)})
        step(9, {})
    step(10, {"esp": STACK})
    step(3, {}, [RESULT, 4, 0, state["eax"]])
    step(4, {})
    data = b"".join(number.to_bytes(4, "little") for number in (*NUMBERS, 0, 0))
    return {
        "title": title,
        "start": {"eip": ORIGIN, "registers": start},
        "code": [
            {"address": at, "bytes": code, "text": text, "source": source}
            for at, (code, text, source) in zip(addresses, CODE)
        ],
        "steps": steps,
        "memory": [
            {"label": "stack", "kind": "stack", "base": STACK - 16, "bytes": "00" * 32},
            {"label": "numbers and result", "kind": "bytes", "base": LIST, "bytes": data.hex()},
        ],
        "symbols": {ORIGIN: "start", addresses[5]: "sum", addresses[6]: "next"},
        "end": addresses[4] + 1,
        "exit": "halt",
    }
