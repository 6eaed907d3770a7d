"""The shared kernels' checksums, whole and in slices; and our own kernels."""

from __future__ import annotations

import importlib.util
import random

import pytest

from pyvirt_edu.bench import kernels, own_kernels, unicorn_peer

SHARED = kernels.find()


@pytest.mark.skipif(SHARED is None, reason="the shared kernels are not present beside the clone")
@pytest.mark.parametrize("letter", sorted(kernels.KNOWN))
def test_checksum(letter: str) -> None:
    kernel = kernels.get(letter, SHARED)
    assert kernel is not None
    machine, console = kernels.prepared(kernel, 3)
    out = machine.run()
    end = "exit" if letter == "k" else "halt"  # k runs on a PC, which has the exit port
    assert (out.reason, console.checksum) == (end, kernel.checksum)
    assert machine.cpu.eax == kernel.checksum


@pytest.mark.skipif(SHARED is None, reason="the shared kernels are not present beside the clone")
@pytest.mark.parametrize("letter", ["h", "i", "j", "l"])
def test_slices_change_nothing(letter: str) -> None:
    kernel = kernels.get(letter, SHARED)
    assert kernel is not None
    whole, _ = kernels.prepared(kernel, 3)
    whole.run()
    sliced, _ = kernels.prepared(kernel, 3)
    rng = random.Random(letter)
    while not sliced.cpu.halted:
        sliced.run(max_instructions=rng.choice((1, 7, 1000, 50_000)))
    assert whole.digest() == sliced.digest()


@pytest.mark.parametrize("letter", sorted(own_kernels.SOURCES))
def test_our_own(letter: str) -> None:
    kernel = kernels.get(letter, None)
    assert kernel is not None
    console = kernels.run_ours(kernel, 3)
    if importlib.util.find_spec("unicorn"):
        assert console.checksum == unicorn_peer.run(kernel, 3).checksum
