"""What programs do wrong, on purpose and at random: the kernel says so and goes on."""

from __future__ import annotations

import pytest

from pyvirt_edu import assemble
from pyvirt_edu.guests import sprout

from .lab import needs_busybox, run_script

#: Deed: the signal that ends it, and what the kernel says.
DEEDS = {
    "read": (11, "bad read at 00000010"),
    "write": (11, "bad write at 00000010"),
    "jump": (11, "bad jump at 00123456"),
    "kernel": (11, "bad read at c0100000"),
    "text": (11, "bad write at 0804"),
    "divide": (8, "division error"),
    "hlt": (11, "privileged instruction or bad selector"),
    "ports": (11, "privileged instruction or bad selector"),
    "gate": (11, "privileged instruction or bad selector"),
    "selector": (11, "privileged instruction or bad selector"),
    "opcode": (4, "invalid instruction"),
    "iopl": (11, "privileged instruction or bad selector"),
    "step": (5, "single step"),
    "stack": (11, "bad write at bf7feffc"),
    "nostack": (11, "bad write at 00000ffc"),
    "frame": (11, "bad jump"),
    "memory": (9, "out of memory"),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_deed(deed: str) -> None:
    signal, text = DEEDS[deed]
    said = run_script(f"wild {deed}\necho alive\n")
    assert text in said[0]
    assert said[1].startswith(f"wild: {deed}: signal {signal}, status 0")
    assert said[-1] == "alive"


def processes(said: list[str]) -> list[str]:
    """The names in what ps prints at the end."""
    last = len(said) - 1 - said[::-1].index("  PID  PPID S NAME")
    return [line.split()[-1] for line in said[last + 1 :]]


def test_fork_bomb_and_files() -> None:
    said = run_script("wild bomb\nwild descriptors\nps\n")
    assert processes(said) == ["init", "sh", "ps"]


def free_memory(said: list[str]) -> list[int]:
    return [int(line.split()[1]) for line in said if line.startswith("MemFree:")]


def test_nothing_is_lost() -> None:
    """All memory comes back from programs that end badly."""
    once = "wild bomb\nwild memory\nwild elf 20\nwild stack\nwild text\ncat /proc/meminfo\n"
    free = free_memory(run_script(once * 4))
    assert len(free) == 4
    assert free[-1] == free[1]


@pytest.mark.parametrize("seed", [1, 10_000, 20_000])
def test_a_hundred_thousand_random_system_calls(seed: int) -> None:
    """200 times 500 calls with any numbers, edges, and pointers to any place."""
    said = run_script(f"wild calls 200 {seed}\nps\necho alive\n", most=3_000_000_000)
    assert processes(said[:-1]) == ["init", "sh", "ps"]
    assert said[-1] == "alive"


def test_random_bytes_as_programs() -> None:
    said = run_script("wild elf 200\nps\necho alive\n", most=10_000_000_000)
    assert processes(said[:-1]) == ["init", "sh", "ps"]


def test_what_is_missing_says_so_once() -> None:
    code = "b8e7030000cd80b8fe000000cd80b8fe000000cd8031dbb801000000cd80"  # 999, 254, 254, exit(0)
    from .test_boot import executable

    files = {"bin/missing": executable(bytes.fromhex(code)), "etc/script": b"missing\nmissing\n"}
    said = run_script("", sprout.root_with(files))
    assert said == ["missing[3]: system call 254 (epoll_create) is not supported"]


def test_floating_point_is_kept_apart() -> None:
    """Two programs that sum in the x87, pre-empted again and again, get what one alone gets."""
    from .test_boot import executable

    source = """
        fldz
        mov ecx, 400000
    .next: fld1
        faddp st1, st0
        dec ecx
        jnz .next
        sub esp, 4
        fistp dword [esp]
        pop eax
        xor ebx, ebx
        cmp eax, 400000
        je .good
        inc ebx
    .good: mov eax, 1
        int 0x80
    """
    program = executable(assemble(source, bits=32, origin=0x08048054))
    script = b"sum & sum & sum & sum; echo $?\nsum | sum | sum; echo $?\n"
    said = run_script("", sprout.root_with({"bin/sum": program, "etc/script": script}))
    assert [line for line in said if not line.startswith("[")] == ["0", "0"]


@needs_busybox
def test_signals_stop_and_continue() -> None:
    from pyvirt_edu.guests import busybox

    script = b"""
sleep 5 & p=$!
kill -STOP $p; sleep 0.1; grep State /proc/$p/status
kill -CONT $p; sleep 0.1; grep State /proc/$p/status
kill $p; wait $p; echo $?
trap 'echo got usr1' USR1; (sleep 0.1; kill -USR1 $$) & wait; echo after
"""
    said = run_script("", busybox.root({"etc/script": script}), 32 << 20)
    assert [line.split("\t")[-1] for line in said] == ["T", "S", "Terminated", "143", "got usr1", "after"]


@needs_busybox
def test_writers_of_one_file_do_not_overlap() -> None:
    """Four processes that share a position, and four that append: every line is there, whole."""
    from pyvirt_edu.guests import busybox

    script = b"""
cat > /tmp/w <<'X'
for j in $(seq 100); do dd if=/etc/line bs=5000 count=1 2>/dev/null; done
X
head -c 4999 /dev/zero | tr '\\0' x > /etc/line; echo >> /etc/line
(for i in 1 2 3 4; do sh /tmp/w & done; wait) > /tmp/shared
for i in 1 2 3 4; do sh /tmp/w >> /tmp/appended & done; wait
wc -lc /tmp/shared /tmp/appended; sort -u /tmp/shared | wc -c
"""
    said = run_script("", busybox.root({"etc/script": script}), 64 << 20, most=3_000_000_000)
    assert [line.split() for line in said] == [
        ["400", "2000000", "/tmp/shared"],
        ["400", "2000000", "/tmp/appended"],
        ["800", "4000000", "total"],
        ["5000"],
    ]


def test_long_calls_are_interrupted() -> None:
    """A read of a gigabyte of zeros does not keep others from running, nor from ending it."""
    from .test_boot import executable

    source = """
        sub esp, 4096
        mov eax, 5
        mov ebx, name
        xor ecx, ecx
        int 0x80
        mov ebx, eax
        mov eax, 90         ; mmap: 16 MiB, anywhere
        push 0
        push -1
        push 0x22
        push 3
        push 0x1000000
        push 0
        mov esi, ebx
        mov ebx, esp
        int 0x80
        mov ebx, esi
        mov ecx, eax
    again: mov eax, 3
        mov edx, 0x1000000
        int 0x80
        jmp again
    name: db "/dev/zero", 0
    """
    program = executable(assemble(source, bits=32, origin=0x08048054))
    script = b"zeros &\nubench 1\necho alive\nkill -9 3\nps\n"
    said = run_script("", sprout.root_with({"bin/zeros": program, "etc/script": script}), 64 << 20)
    assert "alive" in said and processes(said) == ["init", "sh", "ps"]
