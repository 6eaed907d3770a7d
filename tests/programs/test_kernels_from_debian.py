"""Kernels nobody here wrote, from Debian's packages: Linux, and with them their drivers, files and shell."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.machine.errors import ImageError

from .debian_lab import (
    FILE,
    FOLDER,
    compiled,
    ext2,
    merged,
    newest,
    package,
    ram_disk,
    with_dependencies,
)

pytestmark = pytest.mark.long

PATIENCE: Any = {"max_instructions": 12_000_000_000, "max_cycles": 60_000_000_000}
SHORT = "cryptomgr.notests"  # spares the kernel four of its seven thousand million instructions
NAMES_OF_USERS = ("etc/passwd", FILE, b"root::0:0:root:/:/bin/sh\n")


def kernel(root: Path) -> Path:
    return next((root / "boot").glob("vmlinuz-*"))


def hears(m: Machine, *texts: str) -> None:
    for text in texts:
        out = m.console.wait_for(text, **PATIENCE)
        assert out.reason == "until", f"{text!r}: {out!r}\n{m.console.serial[-2000:]}"


def shows(m: Machine, *texts: str) -> None:
    for text in texts:
        out = m.run(until=lambda m, text=text: text in m.screen.text, **PATIENCE)
        assert out.reason == "until", f"{text!r}: {out!r}\n{m.screen.text}"


def halts(m: Machine) -> None:
    out = m.run(**PATIENCE)
    assert out.reason == "halt", out
    assert m.cpu.eflags & 0x200 == 0


def complaints(text: str) -> list[str]:
    """Lines of a kernel that found the machine odd."""
    known = ("ACPI BIOS Error", "boot CPU (#0) not listed", "perfctr msr", "Unable to init MCE")
    words = ("WARNING", "BUG", "Oops", "rror", "nchecked", "ailed", "weird", "spurious", "timed out", "lost")
    lines = [line for line in text.splitlines() if line[:1] == "[" and any(word in line for word in words)]
    return [line for line in lines if not any(word in line for word in known)]


DRIVERS = ["ata_piix", "sd_mod", "ext4", "crc32c_generic", "ne2k-pci"]
WITH_DRIVERS = """
for module in %s; do insmod /lib/$module; done
echo clock $(date -u +%%F.%%H)
hwclock -u -r
until [ -b /dev/sda ]; do sleep 1; done
mount -t ext2 /dev/sda /mnt
md5sum </mnt/noise
echo from the shell >/mnt/answer
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount -t ext2 -o ro /dev/sda /mnt && cat /mnt/answer
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
ping -c 3 10.0.2.2
echo ready
setsid cttyhack sh
poweroff -f
"""


def test_linux_with_its_drivers_and_a_shell_on_the_serial_line(tmp_path: Path) -> None:
    """No word on its command line but the console's; disk, file system, network, clock and keys."""
    root = newest("686")
    drivers = with_dependencies(root, DRIVERS)
    noise = random.Random(5).randbytes(3_000_000)
    disk = ext2({"noise": noise}, 8, tmp_path)
    script = WITH_DRIVERS % " ".join(path.name for path in drivers)
    files = [(f"lib/{path.name}", FILE, path.read_bytes()) for path in drivers]
    m = Machine(ram="96MiB", history=False, disk=disk, date="2031-05-06T07:08:09")
    assert m.boot(kernel(root), append="console=ttyS0", initrd=ram_disk(script, files)) == "bzimage"
    hears(m, "setting system clock to 2031-05-06T07:08", "clock 2031-05-06.07", "Tue May  6 07:0")
    hears(m, hashlib.md5(noise).hexdigest(), "from the shell")
    hears(m, "3 packets transmitted, 3 packets received", "ready", "# ")
    m.console.type("echo $((6*7)) answers\n")
    hears(m, "\r\n42 answers", "# ")
    m.console.type("for i in a b c; do echo $i; done | tac; cat /proc/interrupts; ip link show eth0\n")
    hears(m, "c\r\nb\r\na\r\n", "ttyS0", "ata_piix", "eth0", m.network.card.hex(":"), "# ")
    m.console.type("exit\n")
    halts(m)
    assert not complaints(m.console.serial)
    assert b"from the shell" in m.disks[0].contents()


def test_linux_on_screen_and_keyboard() -> None:
    """An empty command line but for the tests it leaves out: a login on the VGA console."""
    script = "while :; do setsid getty 38400 tty1; done\n"
    m = Machine(ram="64MiB", history=False)
    m.boot(kernel(newest("686")), append=SHORT, initrd=ram_disk(script, [NAMES_OF_USERS]))
    shows(m, "login:")
    m.keyboard.type("root\n")
    shows(m, "/ #")
    odd = "~`!@#$%^&*()_+-={}[]|;:,.<>?/"
    m.keyboard.type(f"echo '{odd}' $((6*7)) | tr 0-9 a-j\n")
    shows(m, f"\n{odd} ec")
    m.keyboard.press("caps lock")
    m.keyboard.type("ab")
    m.keyboard.press("caps lock")
    shows(m, "# AB")
    m.keyboard.press("ctrl", "c")
    m.keyboard.type("for i in $(seq 60); do echo line $i; done\n")
    shows(m, "line 60")
    assert "line 30" not in m.screen.text
    m.keyboard.press("shift", "page up")  # moves the start address
    shows(m, "line 30")
    m.keyboard.type("poweroff -f\n")
    halts(m)
    assert "System halted" in m.screen.text


@pytest.mark.parametrize("ram", ["64MiB", "1GiB"])
def test_linux_finds_its_memory(ram: str) -> None:
    script = "grep MemTotal /proc/meminfo\necho ready\npoweroff -f\n"
    m = Machine(ram=ram, history=False)
    m.boot(kernel(newest("686")), append=f"console=ttyS0 {SHORT}", initrd=ram_disk(script))
    hears(m, "MemTotal:", "ready")
    halts(m)
    found = int(m.console.serial.split("MemTotal:")[1].split()[0]) << 10
    assert 0.75 * m.ram_size < found < m.ram_size


def test_linux_with_pae_and_a_large_ram_disk() -> None:
    noise = random.Random(6).randbytes(24 << 20)
    script = "md5sum /noise\nuname -r\npoweroff -f\n"
    m = Machine(ram="256MiB", history=False)
    disk = ram_disk(script, [("noise", FILE, noise)])
    m.boot(kernel(newest("686-pae")), append=f"console=ttyS0 {SHORT}", initrd=disk)
    hears(m, hashlib.md5(noise).hexdigest(), "-686-pae")
    halts(m)
    assert not complaints(m.console.serial)


NUMBERS = Path(__file__).parent / "numbers"
LIBRARIES = "libc.so.6 libm.so.6 libcrypt.so.1 libresolv.so.2".split()


def test_programs_of_debian_compute_as_on_the_host(tmp_path: Path) -> None:
    """awk, Perl and a program of the C library, the same files under Linux here and on the host's
    processor. Debian's i386 computes on the x87."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    version = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True).stdout.strip()
    names = ["libc6", "libc6-dev", "libcrypt1", "mawk", "perl-base", f"libgcc-{version}-dev"]
    root = merged(names, tmp_path / "root")
    libraries = root / "lib/i386-linux-gnu"
    loader = [str(root / "lib/ld-linux.so.2"), "--library-path", str(libraries)]
    report = compiled(NUMBERS / "report.c", root, tmp_path / "report")
    commands = {
        "report": [str(report)],
        "mawk": [*loader, str(root / "usr/bin/mawk"), "-f", str(NUMBERS / "numbers.awk")],
        "perl": [*loader, str(root / "usr/bin/perl"), str(NUMBERS / "numbers.pl")],
    }
    expected = {}
    for name, command in commands.items():
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={"LC_ALL": "C"})
        except OSError:
            pytest.skip("this host runs no 32-bit programs")
        assert done.returncode == 0 and len(done.stdout) > 500, done.stderr
        expected[name] = done.stdout
    files = [("lib/i386-linux-gnu", FOLDER, b"")]
    files += [(f"lib/i386-linux-gnu/{name}", FILE, (libraries / name).read_bytes()) for name in LIBRARIES]
    contents = {
        "lib/ld-linux.so.2": root / "lib/ld-linux.so.2",
        "report": report,
        "mawk": root / "usr/bin/mawk",
        "perl": root / "usr/bin/perl",
        "numbers.awk": NUMBERS / "numbers.awk",
        "numbers.pl": NUMBERS / "numbers.pl",
    }
    files += [(name, FILE, path.read_bytes()) for name, path in contents.items()]
    script = "export LC_ALL=C\n"
    for name, line in (
        ("report", "/report"),
        ("mawk", "/mawk -f /numbers.awk"),
        ("perl", "/perl /numbers.pl"),
    ):
        script += f"echo begin {name}; {line}; echo end {name}\n"
    m = Machine(ram="96MiB", history=False)
    append = f"console=ttyS0 quiet {SHORT}"
    m.boot(kernel(newest("686")), append=append, initrd=ram_disk(script + "poweroff -f\n", files))
    halts(m)
    printed = m.console.serial.replace("\r\n", "\n")
    for name, text in expected.items():
        mine = printed.split(f"begin {name}\n")[1].split(f"end {name}\n")[0]
        assert mine.splitlines() == text.splitlines()


def test_too_little_memory_for_linux_is_said() -> None:
    m = Machine(ram="16MiB", history=False)
    with pytest.raises(ImageError, match='make the machine with ram="[0-9]+MiB" or more'):
        m.boot(kernel(newest("686")))


def test_debians_installer_asks_its_questions() -> None:
    """A whole distribution's installer: 30 MB of RAM disk, udev, a full-screen dialogue."""
    images = package("debian-installer-12-netboot-i386") / "usr/lib/debian-installer/images/12/i386"
    root = images / "text/debian-installer/i386"
    m = Machine(ram="768MiB", history=False)
    m.boot(root / "linux", append=f"vga=normal fb=false {SHORT} ---", initrd=root / "initrd.gz")
    for title in ("Select a language", "Select your location", "Configure the keyboard"):
        shows(m, title)
        m.run(max_cycles=400_000_000)
        m.keyboard.press("enter")
    shows(m, "Detecting network hardware", "Network autoconfiguration failed")
    assert any(frame[36:38] == b"\0\x43" for frame in m.network.sent)  # DHCP found nobody
