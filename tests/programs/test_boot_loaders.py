"""Boot loaders and kernels that find a real PC around them: BIOS, disk, file system, network."""

from __future__ import annotations

import gzip
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.network import STATION
from pyvirt_edu.guests import tiny

from .debian_lab import grub_disk, newest, package, ram_disk
from .test_debian import BOOT_SECTOR, needs_seabios

TINY = tiny.image("tiny2")
SECOND = b"the second sector"


def shows(m: Machine, *texts: str, instructions: int = 1_000_000_000) -> None:
    limits: Any = {"max_instructions": instructions, "max_cycles": 20_000_000_000}
    for text in texts:
        out = m.run(until=lambda m, text=text: text in m.screen.text, **limits)
        assert out.reason == "until", f"{text!r}: {out!r}\n{m.screen.text}"


def boots_tiny(m: Machine, *before: str) -> None:
    """tiny2 comes up, does all it can do, and stops."""
    shows(m, *before)
    assert m.console.wait_for("tiny2: done", 1_000_000_000).reason == "until", m.screen.text
    assert "program: hello from ring 3" in m.console.serial
    assert m.run(max_instructions=10_000_000).reason == "halt"


@needs_seabios
def test_grub_finds_a_multiboot_kernel_in_a_file_system(tmp_path: Path) -> None:
    m = Machine(ram="32MiB", history=False)
    assert (
        m.boot(grub_disk({"tiny2": TINY}, "ls /\nmultiboot /tiny2 one two\nboot", tmp_path)) == "boot-sector"
    )
    boots_tiny(m, "GRUB loading", "lost+found/ tiny2")
    written = m.console.serial
    again = Machine(ram="32MiB", history=False, disk=m.disks[0].contents())  # without BIOS and GRUB
    again.boot(TINY)
    assert again.run(max_instructions=10_000_000).reason == "halt"
    assert again.console.serial == written


@needs_seabios
def test_grub_starts_memtest_as_a_linux_kernel(tmp_path: Path) -> None:
    image = Path("/boot/memtest86+ia32.bin")
    if not image.exists():
        pytest.skip("memtest86+ is not installed")
    m = Machine(ram="32MiB", history=False)
    m.boot(grub_disk({"memtest": image.read_bytes()}, "linux /memtest\nboot", tmp_path))
    shows(m, "Memory  :   32MB")


def memdisk() -> bytes:
    return (package("syslinux-common") / "usr/lib/syslinux/memdisk").read_bytes()


@pytest.mark.long
@needs_seabios
@pytest.mark.parametrize("kind,megabytes", [("harddisk", 4), ("floppy", 1.40625)])
def test_memdisk_is_a_disk_in_memory(kind: str, megabytes: float, tmp_path: Path) -> None:
    """It takes the BIOS's INT 13h over; a boot sector reads the next sector through it."""
    source = BOOT_SECTOR if kind == "harddisk" else BOOT_SECTOR.replace("dx, 0x80", "dx, 0")
    sector = bytes(assemble(source, bits=16, origin=0x7C00)).ljust(510, b"\0") + b"\x55\xaa"
    image = (sector + SECOND).ljust(int(megabytes * (1 << 20)), b"\0")
    files = {"memdisk": memdisk(), "image": image}
    commands = f"linux16 /memdisk {kind}\ninitrd16 /image\nboot"
    m = Machine(ram="32MiB", history=False)
    m.boot(grub_disk(files, commands, tmp_path))
    assert m.run(max_instructions=400_000_000).reason == "halt"
    assert "Loading boot sector... booting..." in m.screen.text
    assert "boot sector:" in m.screen.text
    assert m.read(0x8000, len(SECOND)) == SECOND


# --- from the network -------------------------------------------------------------------------


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class BootServer:
    """DHCP and TFTP in as few words as a client accepts."""

    ADDRESS, LENT = bytes((10, 0, 2, 2)), bytes((10, 0, 2, 15))

    def __init__(self, m: Machine, name: str, content: bytes) -> None:
        self.m, self.name, self.content = m, name, content
        self.client = 0
        self.asked: list[str] = []
        m.network.attach(self.hear)

    def hear(self, frame: bytes) -> None:
        if frame[12:14] != b"\x08\0" or frame[23] != 17:
            return
        source, port = struct.unpack(">HH", frame[34:38])
        data = frame[42 : 34 + struct.unpack(">H", frame[38:40])[0]]
        if port == 67:
            self.lend(data)
        elif port == 69 and data[:2] == b"\0\1":
            self.asked.append(data[2:].split(b"\0")[0].decode())
            self.client = source
            self.send_block(1)
        elif port == 1069 and data[:2] == b"\0\4":
            self.send_block(int.from_bytes(data[2:4], "big") + 1)

    def send(self, source: int, port: int, to: bytes, data: bytes) -> None:
        udp = struct.pack(">4H", source, port, 8 + len(data), 0) + data
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + self.ADDRESS + to
        head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        self.m.network.inject(self.m.network.card + STATION + b"\x08\0" + head + udp)

    def lend(self, asked: bytes) -> None:
        kind = asked[asked.index(b"\x35\x01") + 2]
        answer = b"\2" + asked[1:16] + self.LENT + self.ADDRESS + asked[24:44] + bytes(64)
        answer += self.name.encode().ljust(128, b"\0") + b"\x63\x82\x53\x63"
        answer += bytes((53, 1, 2 if kind == 1 else 5, 54, 4)) + self.ADDRESS
        answer += bytes((51, 4, 0, 1, 0, 0, 1, 4, 255, 255, 255, 0, 3, 4)) + self.ADDRESS + b"\xff"
        self.send(67, 68, b"\xff" * 4, answer)

    def send_block(self, number: int) -> None:
        start = 512 * (number - 1)
        if start <= len(self.content):
            data = struct.pack(">HH", 3, number) + self.content[start : start + 512]
            self.send(1069, self.client, self.LENT, data)


def ipxe() -> bytes:
    return (package("ipxe") / "boot/ipxe.lkrn").read_bytes()


@pytest.mark.long
@needs_seabios
def test_ipxe_boots_from_the_network(tmp_path: Path) -> None:
    m = Machine(ram="64MiB", history=False)
    server = BootServer(m, "tiny2", TINY)
    m.boot(grub_disk({"ipxe": ipxe()}, "linux16 /ipxe\nboot", tmp_path))
    shows(m, "iPXE initialising", f"net0: {m.network.card.hex(':')} using rtl8029")
    boots_tiny(m, "10.0.2.15/255.255.255.0 gw 10.0.2.2", "tftp://10.0.2.2/tiny2")
    assert server.asked == ["tiny2"]


@pytest.mark.long
@needs_seabios
def test_ipxe_without_an_answer_gives_up(tmp_path: Path) -> None:
    m = Machine(ram="64MiB", history=False)
    m.boot(grub_disk({"ipxe": ipxe()}, "linux16 /ipxe\nboot", tmp_path))
    shows(m, "using rtl8029", "Configuring", "No more network devices", instructions=6_000_000_000)
    discovers = [f for f in m.network.sent if f[12:14] == b"\x08\0" and f[36:38] == b"\0\x43"]
    assert len(discovers) >= 3


# --- GNU Mach ---------------------------------------------------------------------------------

TASK = """
        bits 32
        org 0x10000
        mov eax, -30            ; mach_print
        push text
        push 0                  ; where its caller would return to
        call 7:0                ; the gate to the kernel
        jmp $
text:   db "hello from a task", 10, 0
"""


def task() -> bytes:
    """The program as an ELF file with one segment."""
    code = bytes(assemble(TASK))
    head = b"\x7fELF\1\1\1".ljust(16, b"\0")
    head += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, 0x10000, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    head += struct.pack("<8I", 1, 0x1000, 0x10000, 0x10000, len(code), len(code), 7, 0x1000)
    return head.ljust(0x1000, b"\0") + code


@pytest.mark.long
def test_gnu_mach_starts_a_task() -> None:
    """A microkernel with drivers of the nineties; its first task calls it from ring 3."""
    root = package("gnumach-image-1.8-486:i386")
    kernel = gzip.decompress(next((root / "boot").glob("gnumach*.gz")).read_bytes())
    m = Machine(ram="64MiB", history=False, disk=bytes(1 << 20))
    module = (task(), "first first $(task-create) $(task-resume)")
    assert m.boot(kernel, append="console=com0", initrd=[module]) == "multiboot"
    for text in ("Using configuration type 1", "hd0: PYVIRT HARDDISK, 1MB", "hello from a task"):
        assert m.console.wait_for(text, 2_000_000_000).reason == "until", m.console.serial
    m.run(max_instructions=100_000)
    assert m.cpu.cpl == 3


# --- Linux from a disk ------------------------------------------------------------------------


@pytest.mark.long
@needs_seabios
@pytest.mark.parametrize("command", ["linux", "linux16"])
def test_grub_boots_linux(command: str, tmp_path: Path) -> None:
    """The kernel comes off the disk; with linux16 its own 16-bit code asks the BIOS about the machine."""
    vmlinuz = next((newest("686") / "boot").glob("vmlinuz-*")).read_bytes()
    script = "echo hello from $(uname -r); grep -c . /proc/ioports; reboot -f\n"
    files = {"vmlinuz": vmlinuz, "initrd": ram_disk(script)}
    initrd = command.replace("linux", "initrd")
    commands = f"{command} /vmlinuz console=ttyS0 cryptomgr.notests\n{initrd} /initrd\nboot"
    m = Machine(ram="128MiB", history=False)
    m.boot(grub_disk(files, commands, tmp_path))
    for text in ("Linux version 6", "BIOS-e820: [mem 0x0000000000100000-0x0000000007ff", "hello from 6"):
        assert m.console.wait_for(text, 6_000_000_000).reason == "until", m.console.serial + m.screen.text
    assert m.run(max_instructions=1_000_000_000).reason == "reset"
    shows(m, "SeaBIOS", "GRUB loading")  # and once more


# --- and others -------------------------------------------------------------------------------


@pytest.mark.long
def test_a_game_is_played() -> None:
    """grub-invaders, a multiboot kernel: the ship moves with the arrow keys."""
    m = Machine(ram="16MiB", history=False)
    assert m.boot(package("grub-invaders") / "boot/invaders.exec") == "multiboot"
    m.run(max_cycles=400_000_000)
    assert m.screen.text.count("-*-") > 20
    places = []
    for key in ("right", "left"):
        m.keyboard.hold(key)  # it looks at the keyboard now and then
        m.run(max_cycles=100_000_000)
        m.keyboard.release(key)
        places.append(next(line.index("/ \\") for line in m.screen.lines if "/ \\" in line))
    assert places[0] > places[1]


@pytest.mark.long
@needs_seabios
@pytest.mark.parametrize("image", ["grub-rescue-floppy.img", "grub-rescue-cdrom.iso"])
def test_rescue_disks_boot_as_hard_disks(image: str) -> None:
    m = Machine(ram="64MiB", history=False)
    m.boot(package("grub-rescue-pc") / "usr/lib/grub-rescue" / image)
    shows(m, "GNU GRUB", "*GNU/Linux")
    m.keyboard.press("down")
    shows(m, "*GNU (aka GNU/Hurd)")
    m.keyboard.press("c")
    shows(m, "grub>")
    m.keyboard.type("lsmmap\n")
    shows(m, "base_addr = 0x100000, length = 0x3f00000, available RAM")


@pytest.mark.long
@needs_seabios
def test_debians_boot_record_starts_the_active_partition(tmp_path: Path) -> None:
    """The package mbr: code for the first sector, put there by its own installer."""
    source = BOOT_SECTOR.replace("cx, 2", "cx, 3")
    boot = bytes(assemble(source, bits=16, origin=0x7C00)).ljust(510, b"\0") + b"\x55\xaa"
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\0\4\0", 1, 63)  # from the second sector on
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(446) + entry + bytes(48) + b"\x55\xaa" + boot + SECOND.ljust(1 << 20, b"\0"))
    subprocess.run([str(package("mbr") / "sbin/install-mbr"), str(disk)], check=True, timeout=60)
    m = Machine(ram="16MiB", history=False)
    m.boot(disk)
    assert m.run(max_instructions=400_000_000).reason == "halt"
    assert "boot sector:" in m.screen.text
    assert m.read(0x8000, len(SECOND)) == SECOND
