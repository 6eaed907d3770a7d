"""The widgets of a running guest, driven without a browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.errors import ConfigurationError, MachineError

pytest.importorskip("anywidget")

from pyvirt_edu.lab import ConsoleWidget, ScreenWidget
from pyvirt_edu.lab.runner import runner

POLLING = """
    bits 32
    mov edi, 0xb8000
next:
    mov edx, 0x3fd
wait:
    inc ebx
    in al, dx
    test al, 1
    jz wait
    mov edx, 0x3f8
    in al, dx
    out dx, al              ; back to the terminal
    mov [edi], al           ; and onto the screen
    add edi, 2
    jmp next
"""
SLEEPING = """
    bits 16
    xor ax, ax
    mov ds, ax
    mov ss, ax
    mov sp, 0x7c00
    mov word [0x0c * 4], serial
    mov word [0x0c * 4 + 2], 0
    mov al, 0x11
    out 0x20, al
    mov al, 8
    out 0x21, al
    mov al, 4
    out 0x21, al
    mov al, 1
    out 0x21, al
    mov al, 0xef            ; the serial port alone
    out 0x21, al
    mov dx, 0x3fc
    mov al, 8
    out dx, al
    mov dx, 0x3f9
    mov al, 1
    out dx, al
    sti
sleep:
    hlt
    jmp sleep
serial:
    push ax
    push dx
    mov dx, 0x3f8
    in al, dx
    out dx, al
    mov al, 0x20
    out 0x20, al
    pop dx
    pop ax
    iret
"""


TICKING = SLEEPING.replace(
    "mov al, 0xef ",
    """mov word [0x08 * 4], tick
    mov word [0x08 * 4 + 2], 0
    mov al, 0x36            ; the timer, 18.2 times a second
    out 0x43, al
    mov al, 0
    out 0x40, al
    out 0x40, al
    mov al, 0xee """,
)
TICKING += """
tick:
    inc dword [0x500]
    push ax
    mov al, 0x20
    out 0x20, al
    pop ax
    iret
"""


def polling() -> Machine:
    m = Machine(ram="1MiB")
    m.load(assemble(POLLING, bits=32, origin=0x10000), at=0x10000)
    m.enter_protected_mode(eip=0x10000, esp=0x90000)
    return m


def sleeping(source: str = SLEEPING) -> Machine:
    m = Machine(ram="1MiB")
    m.load(assemble(source, bits=16, origin=0x8000), at=0x8000)
    m.cpu.cs, m.cpu.eip = 0, 0x8000
    return m


def wait(done: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.01)


def click(widget: Any, action: str, what: Any = None) -> None:
    """What the browser sends."""
    widget._message(widget, {"do": action, "what": what}, [])


@pytest.fixture
def console() -> Iterator[ConsoleWidget]:
    widget = ConsoleWidget(polling())
    yield widget
    widget.close()


def test_typing_into_a_running_guest(console: ConsoleWidget) -> None:
    sent: list[Any] = []
    console.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    click(console, "run")
    for key in "hi\r\x03\x1b[A":
        click(console, "type", key)
    click(console, "paste", "x\ny")
    wait(lambda: console.machine.console.output == b"hi\r\x03\x1b[Ax\ry")
    console.pause()
    assert console.status["state"] == "paused"
    assert console.status["instructions"] == console.machine.instructions
    assert console.runner.terminal.text == "yi"  # the paste overwrote the line
    rows: list[Any] = [[]]  # as when it was made
    for news in sent:
        rows[news["first"] :] = news["lines"]
    assert (0, rows) == console.runner.terminal.take_all()


def test_a_long_paste_arrives_whole(console: ConsoleWidget) -> None:
    text = "".join(f"{i:06d}" for i in range(8_000))
    console.run()
    click(console, "type", text)
    wait(lambda: len(console.machine.console.output) == len(text))
    console.pause()
    assert console.machine.console.text == text


def test_the_machine_is_mine_while_it_is_held(console: ConsoleWidget) -> None:
    console.run()
    wait(lambda: console.machine.instructions > 0)
    for _ in range(20):
        started = time.monotonic()
        with console.held() as m:
            assert time.monotonic() - started < 1.0
            before = m.instructions
            m.run(max_instructions=1000)
            assert m.instructions == before + 1000
            m.cpu.ebx = 0
            assert m.cpu.ebx == 0
    console.pause()
    still = console.machine.instructions
    time.sleep(0.1)
    assert console.machine.instructions == still


def test_the_kernel_thread_gets_its_turn(console: ConsoleWidget) -> None:
    """Python code in another thread runs on beside the guest."""
    console.run()
    wait(lambda: console.machine.instructions > 0)
    before, longest, last = console.machine.instructions, 0.0, time.perf_counter()
    end = last + 1.0
    while last < end:
        sum(range(1000))
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert longest < 1.0
    assert console.machine.instructions > before


def test_back_and_reset(console: ConsoleWidget) -> None:
    start = console.machine.digest()
    console.run()
    click(console, "type", "abc")
    wait(lambda: console.machine.console.text == "abc")
    console.pause()
    now = console.machine.instructions
    click(console, "step")
    assert console.machine.instructions == now + 1
    click(console, "back")
    assert console.machine.instructions == now
    console.back(now - 2)
    assert console.machine.instructions == 2 and console.runner.terminal.text == ""
    console.run()
    wait(lambda: console.machine.console.text == "abc" or console.machine.instructions > now)
    click(console, "reset")
    assert console.machine.digest() == start and console.status["state"] == "paused"
    click(console, "back")
    assert console.status["state"] == "stopped" and "cannot rewind" in console.status["why"]


def test_back_by_a_second(console: ConsoleWidget) -> None:
    console.run()
    wait(lambda: console.runner._seconds > 1.5)
    console.pause()
    now = console.machine.instructions
    click(console, "back a second")
    past = console.machine.instructions
    assert 0 < past < now
    click(console, "back a second")  # less than a second is left: to the start
    assert console.machine.instructions == 0
    assert console.status["why"] == ""


def test_a_sleeping_guest_costs_nothing_and_wakes() -> None:
    widget = ConsoleWidget(sleeping())
    widget.run()
    wait(lambda: widget.status["state"] == "halted" or widget.machine.idle_cycles > 0)
    time.sleep(0.2)
    before = time.process_time()
    time.sleep(1.0)
    assert time.process_time() - before < 0.3
    for text in ("a", "bc"):
        widget.type(text)
        wait(lambda text=text: widget.machine.console.text.endswith(text))
    assert widget.machine.console.text == "abc"
    widget.close()


def test_a_guest_that_waits_for_ticks_keeps_the_time_of_the_clock_on_the_wall() -> None:
    widget = ConsoleWidget(sleeping(TICKING))
    widget.run()
    wait(lambda: widget.machine.idle_cycles > 0)
    before, busy = int.from_bytes(widget.machine.read(0x500, 4), "little"), time.process_time()
    time.sleep(2.0)
    ticks = int.from_bytes(widget.machine.read(0x500, 4), "little") - before
    assert 12 <= ticks <= 60  # 36 where nothing else takes the host's time
    assert time.process_time() - busy < 0.5
    widget.close()


def test_what_goes_wrong_is_said(console: ConsoleWidget) -> None:
    m = console.machine
    click(console, "press nothing")
    assert "KeyError" in console.status["why"]
    m.on_port(0x3FD, lambda port, size: 1 // 0)  # a device in Python that fails
    console.run()
    wait(lambda: console.status["state"] == "stopped")
    assert console.status["why"].startswith("ZeroDivisionError")
    m.release_port(0x3FD)
    m.write(0x10000, b"\x0f\x0b")
    console.reset()
    m.write(0x10000, b"\x0f\x0b")  # UD2 without an IDT: triple fault
    console.run()
    wait(lambda: console.status["state"] == "stopped")
    assert "shutdown" in console.status["why"]


def test_a_machine_without_devices_is_refused() -> None:
    for kind in (ConsoleWidget, ScreenWidget):
        with pytest.raises(ConfigurationError, match=r"devices=\(\)"):
            kind(Machine(ram="1MiB", devices=()))


def test_the_exit_port_is_said() -> None:
    m = Machine(ram="1MiB")
    m.load(assemble("mov al, 3\nout 0xf4, al", bits=32), at=0x10000)
    m.enter_protected_mode(eip=0x10000, esp=0x90000)
    widget = ConsoleWidget(m)
    widget.run()
    wait(lambda: widget.status["state"] == "stopped")
    assert widget.status["why"] == "ended with status 7"
    widget.close()


def test_closing_ends_the_thread() -> None:
    m = polling()
    first, second = ConsoleWidget(m), ScreenWidget(m)
    assert first.runner is second.runner
    first.run()
    thread = first.runner._thread
    assert thread is not None and thread.is_alive()
    first.close()
    wait(lambda: m.instructions > 0)  # the other one still shows it
    assert thread.is_alive()
    second.close()
    assert not thread.is_alive()
    with pytest.raises(MachineError, match="was closed"):
        second.run()
    again = ConsoleWidget(m)
    assert again.runner is not first.runner
    again.close()


def test_an_abandoned_runner_ends() -> None:
    alone = runner(polling())
    alone.run()
    thread = alone._thread
    assert thread is not None
    alone.pause()
    del alone
    wait(lambda: not thread.is_alive(), 5)


def test_the_screen_and_its_keyboard() -> None:
    widget = ScreenWidget(polling())
    sent: list[Any] = []
    widget.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    widget.run()
    widget.runner.type("SEEN")
    wait(lambda: widget.machine.screen.text.startswith("SEEN"))
    widget.pause()
    assert any(text.startswith("SEEN") for news in sent for row in news["rows"].values() for *_, text in row)
    click(widget, "press", ["ctrl", "alt", "delete"])
    assert widget.machine.keyboard.waiting > 0
    waiting = widget.machine.keyboard.waiting
    click(widget, "paste", "A\n")
    assert widget.machine.keyboard.waiting > waiting
    click(widget, "type", "é")
    assert "no key for 'é'" in widget.status["why"]
    click(widget, "run")
    click(widget, "type", "é")  # a slip of the finger stops no guest
    assert widget.status["state"] == "running" and "no key for 'é'" in widget.status["why"]
    click(widget, "type", "e")
    wait(lambda: widget.status["why"] == "")
    widget.pause()
    sent.clear()
    click(widget, "show")
    assert len(sent[-1]["rows"]) == sent[-1]["looks"][0] == 25
    widget.close()


def test_a_hypervisor_does_the_running() -> None:
    from pyvirt_edu.guests.tiny import program, text_range
    from pyvirt_edu.hypervisor.three_ways import bare_metal, machine
    from pyvirt_edu.hypervisor.trap_and_emulate import TrapAndEmulate

    m = machine(program("tiny2"))
    monitor = TrapAndEmulate(m, text_range(program("tiny2")))
    widget = ConsoleWidget(m, run=monitor.gates.run)
    widget.run()
    wait(lambda: widget.status["state"] == "halted")
    assert m.console.text == bare_metal().text
    widget.close()


def test_the_widget_carries_its_fallbacks() -> None:
    m = polling()
    console, screen = ConsoleWidget(m), ScreenWidget(m)
    console.type("<hello>")
    with console.held():
        m.run(max_instructions=100_000)
    for widget in (console, screen):
        data, _ = widget._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in data
        assert "<hello>" in data["text/plain"] and "&lt;hello&gt;" in data["text/html"]
        assert (
            widget.runner.sentence() in data["text/plain"] and widget.runner.sentence() in data["text/html"]
        )
    console.close()
    screen.close()


def test_slices_change_nothing() -> None:
    """A guest in the background counts as one that runs at one go."""
    widget = ConsoleWidget(polling())
    widget.run()
    wait(lambda: widget.machine.instructions > 3_000_000)
    widget.pause()
    whole = polling()
    whole.run(max_instructions=widget.machine.instructions)
    assert whole.digest() == widget.machine.digest()
    widget.close()
