/*
 * IDE disks on the first channel, by programmed input and output: 28-bit LBA, an interrupt for each
 * sector. One command at a time; who waits for the disk sleeps.
 *
 * Kept: `busy` is held from the first register written until the drive is idle again.
 */
#include "../include/files.h"

enum { PORT = 0x1f0, CONTROL = 0x3f6, IRQ = 14 };
enum { DATA = PORT, COUNT = PORT + 2, LBA0, LBA1, LBA2, DRIVE, COMMAND, STATUS = PORT + 7 };
enum { BUSY = 0x80, FAULT = 0x20, DATA_REQUEST = 8, FAILED = 1 };
enum { READ = 0x20, WRITE = 0x30, FLUSH = 0xe7, IDENTIFY = 0xec };
enum { DRIVES = 2, PATIENCE = 5 * HZ, WORDS = SECTOR / 2 };

static u32 sectors[DRIVES];
static struct sleep_lock busy;
static bool interrupted;

static void interrupt(void) {
    port_in8(STATUS); /* tells the drive that we know */
    interrupted = true;
    wake_up(&interrupted);
}

static u8 status_when_idle(void) {
    u8 status;
    for (u32 i = 0; (status = port_in8(STATUS)) & BUSY && i < 10000000; i++)
        ;
    return status;
}

static void select(u32 drive, u32 sector) {
    port_out8(DRIVE, (u8)(0xe0 | drive << 4 | (sector >> 24 & 15)));
    for (int i = 0; i < 4; i++)
        port_in8(CONTROL); /* 400 ns for the drive to answer */
    status_when_idle();
}

static void command(u32 drive, u32 sector, u32 count, u8 what) {
    select(drive, sector);
    port_out8(COUNT, (u8)count);
    port_out8(LBA0, (u8)sector);
    port_out8(LBA1, (u8)(sector >> 8));
    port_out8(LBA2, (u8)(sector >> 16));
    interrupted = false;
    port_out8(COMMAND, what);
}

/* Until the drive wants something: 0, or -EIO. */
static int wait(void) {
    u32 end = ticks + PATIENCE;
    while (!interrupted)
        if (!sleep_firmly(&interrupted, end))
            return -EIO;
    interrupted = false;
    return port_in8(STATUS) & (BUSY | FAULT | FAILED) ? -EIO : 0;
}

static int read_sectors(void *to, u32 count) {
    for (u32 i = 0; i < count; i++) {
        int error = wait();
        if (error || !(port_in8(STATUS) & DATA_REQUEST))
            return -EIO;
        port_in16s(DATA, (u8 *)to + i * SECTOR, WORDS);
    }
    return 0;
}

static int write_sectors(const void *from, u32 count) {
    for (u32 i = 0; i < count; i++) {
        if (!(status_when_idle() & DATA_REQUEST))
            return -EIO;
        port_out16s(DATA, (const u8 *)from + i * SECTOR, WORDS);
        int error = wait();
        if (error)
            return error;
    }
    return 0;
}

static int finish(int error, const char *what, u32 drive, u32 sector) {
    unlock(&busy);
    if (error)
        print("hd%c: cannot %s sector %u\n", 'a' + (int)drive, what, sector);
    return error;
}

int disk_read(u32 drive, u32 sector, u32 count, void *to) {
    lock(&busy);
    command(drive, sector, count, READ);
    return finish(read_sectors(to, count), "read", drive, sector);
}

int disk_write(u32 drive, u32 sector, u32 count, const void *from) {
    lock(&busy);
    command(drive, sector, count, WRITE);
    return finish(write_sectors(from, count), "write", drive, sector);
}

/* Until all that was written is on the disk, and not in the drive's memory. */
int disk_flush(u32 drive) {
    lock(&busy);
    command(drive, 0, 0, FLUSH);
    return finish(wait(), "flush", drive, 0);
}

u32 disk_sectors(u32 drive) {
    return drive < DRIVES ? sectors[drive] : 0;
}

/* Before there are processes: without interrupts. */
static u32 identify(u32 drive) {
    u16 data[WORDS];
    command(drive, 0, 0, IDENTIFY);
    u8 status = port_in8(STATUS);
    if (!status || status == 0xff)
        return 0;
    status = status_when_idle();
    if (status & (BUSY | FAILED) || !(status & DATA_REQUEST))
        return 0;
    port_in16s(DATA, data, WORDS);
    return data[60] | (u32)data[61] << 16;
}

void disk_start(void) {
    if (port_in8(STATUS) == 0xff)
        return; /* nothing is connected */
    port_out8(CONTROL, 2);
    for (u32 drive = 0; drive < DRIVES; drive++) {
        sectors[drive] = identify(drive);
        if (sectors[drive])
            print("hd%c: %u KiB\n", 'a' + (int)drive, sectors[drive] / 2);
    }
    select(0, 0);
    port_out8(CONTROL, 0);
    irq_install(IRQ, interrupt);
}
