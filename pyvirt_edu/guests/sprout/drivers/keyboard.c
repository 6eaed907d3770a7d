/* The PS/2 keyboard: scan codes of set 1 to characters of a US keyboard, arrows to ANSI sequences. */
#include "../include/files.h"

enum { DATA = 0x60, STATUS = 0x64, IRQ = 1, OUTPUT_FULL = 1, RELEASED = 0x80, EXTENDED = 0xe0 };
enum { LEFT_SHIFT = 0x2a, RIGHT_SHIFT = 0x36, CONTROL = 0x1d, CAPS_LOCK = 0x3a };

static const char plain[] = "\0\0331234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
static const char shifted[] = "\0\033!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
static bool shift, control, caps, extended;

static void send(const char *text) {
    while (*text)
        tty_input(*text++);
}

static void extended_key(u8 code) {
    static const struct {
        u8 code;
        const char *text;
    } keys[] = {{0x48, "\033[A"}, {0x50, "\033[B"}, {0x4d, "\033[C"}, {0x4b, "\033[D"}, {0x47, "\033[H"},
                {0x4f, "\033[F"}, {0x53, "\033[3~"}, {0x1c, "\r"}, {0x35, "/"}};
    for (u32 i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].code == code)
            send(keys[i].text);
}

static void key(u8 code) {
    char c = code < sizeof(plain) ? (shift ? shifted : plain)[code] : 0;
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!c)
        return;
    if (letter && caps)
        c ^= 32;
    if (control && (letter || (c >= '[' && c <= '_')))
        c &= 31;
    tty_input(c);
}

static void scan_code(u8 code) {
    bool down = !(code & RELEASED), was_extended = extended;
    u8 which = code & (u8)~RELEASED;
    extended = code == EXTENDED;
    if (extended)
        return;
    if (which == LEFT_SHIFT || which == RIGHT_SHIFT)
        shift = was_extended ? shift : down; /* some extended keys come with a false shift */
    else if (which == CONTROL)
        control = down;
    else if (which == CAPS_LOCK)
        caps ^= down;
    else if (down && was_extended)
        extended_key(which);
    else if (down)
        key(which);
}

static void interrupt(void) {
    while (port_in8(STATUS) & OUTPUT_FULL)
        scan_code(port_in8(DATA));
}

void keyboard_start(void) {
    for (int i = 0; i < 16 && port_in8(STATUS) & OUTPUT_FULL; i++)
        port_in8(DATA); /* keys that were pressed before anybody listened */
    port_out8(STATUS, 0x60); /* write the command byte: translate to set 1, interrupt, no mouse */
    for (int i = 0; i < 1000 && port_in8(STATUS) & 2; i++)
        ;
    port_out8(DATA, 0x61);
    for (int i = 0; i < 1000 && port_in8(STATUS) & 2; i++)
        ;
    port_out8(DATA, 0xf4); /* to the keyboard: scan */
    irq_install(IRQ, interrupt);
}
