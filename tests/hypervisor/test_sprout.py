"""sprout, the whole operating system, unmodified in ring 1 under the monitor of chapter 00."""

from __future__ import annotations

from pyvirt_edu import Machine
from pyvirt_edu.guests import sprout
from pyvirt_edu.hypervisor.trap_and_emulate import TrapAndEmulate
from pyvirt_edu.hypervisor.trap_gates import SIZE

LINES = ("", "ls /bin\n", "wild write\n", "cat /proc/uptime | cat > /tmp/x\n", "ls /tmp\n", "poweroff\n")


def typed(monitored: bool) -> tuple[str, TrapAndEmulate | None]:
    m = Machine(ram="16MiB")
    m.boot(sprout.image(), initrd=sprout.root(), keep=SIZE)
    monitor = TrapAndEmulate(m) if monitored else None
    runner = monitor.gates if monitor else m
    for line in LINES:
        m.console.type(line)
        runner.run(max_instructions=1_000_000 if not line else 400_000)
    return m.console.text, monitor


def test_prints_what_it_prints_on_bare_metal() -> None:
    bare, _ = typed(False)
    text, monitor = typed(True)
    assert "ls /bin" in bare
    assert "wild" in bare.split("ls /bin")[1]
    assert text == bare
    assert monitor is not None
    exits = {reason: account.exits for reason, account in monitor.meter.accounts.items()}
    assert exits["lgdt"] == exits["lidt"] == exits["ltr"] == 1
    assert exits["int"] > 20
    assert exits["iretd"] > exits["int"]
