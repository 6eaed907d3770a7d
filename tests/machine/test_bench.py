"""`pyvirt bench`: what it prints; the figures themselves are not judged by tests."""

from __future__ import annotations

import pytest

from pyvirt_edu import bench
from pyvirt_edu.bench import kernels, qemu_peer
from pyvirt_edu.bench.results import Result, table


def test_the_median_decides() -> None:
    fast = Result("steps", "/s", [5.0, 1.0, 9.0], 4.0)
    slow = Result("snapshot", "ms", [5.0, 1.0, 9.0], 4.0, more=False)
    assert (fast.median, fast.reached, slow.reached) == (5.0, True, False)
    text = table([fast, slow])
    assert "reached" in text
    assert "MISSED" in text
    assert fast.as_dict()["median"] == 5.0


def test_an_unknown_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["nonsense"])
    assert "there is no part 'nonsense'" in capsys.readouterr().err


def test_peers_that_are_missing_are_named() -> None:
    assert qemu_peer.missing(None)


def test_the_work_count_is_patched() -> None:
    kernel = kernels.get("a", None)
    assert kernel is not None
    assert kernel.blob(0x11223344)[8:12] == b"\x44\x33\x22\x11"
    assert kernel.instructions(10) == 60
