/*
 * The VGA's text screen: 25 lines of 80 characters at physical address b8000, two bytes each. Of
 * the ANSI sequences it knows those that move the cursor or erase, and leaves colours out.
 */
#include "../include/kernel.h"

enum { WIDTH = 80, HEIGHT = 25, BLANK = 0x0720 };
enum { INDEX = 0x3d4, DATA = 0x3d5, CURSOR_HIGH = 14, CURSOR_LOW = 15 };
enum { TEXT, ESCAPE, SEQUENCE };

static u16 *const screen = (u16 *)(KERNEL_BASE + 0xb8000);
static u32 column, row, state, numbers[2], count;

static void show_cursor(void) {
    u32 at = row * WIDTH + MIN(column, (u32)WIDTH - 1);
    port_out8(INDEX, CURSOR_HIGH);
    port_out8(DATA, (u8)(at >> 8));
    port_out8(INDEX, CURSOR_LOW);
    port_out8(DATA, (u8)at);
}

static void blank(u32 from, u32 to) {
    for (u32 i = from; i < to; i++)
        screen[i] = BLANK;
}

void vga_start(void) {
    blank(0, WIDTH * HEIGHT);
    show_cursor();
}

static void new_line(void) {
    if (++row < HEIGHT)
        return;
    row = HEIGHT - 1;
    memcpy(screen, screen + WIDTH, WIDTH * (HEIGHT - 1) * 2);
    blank(WIDTH * (HEIGHT - 1), WIDTH * HEIGHT);
}

static void move(u32 new_row, u32 new_column) {
    row = MIN(new_row, (u32)HEIGHT - 1);
    column = MIN(new_column, (u32)WIDTH - 1);
}

static void erase_line(u32 how) {
    u32 start = row * WIDTH;
    blank(how == 0 ? start + column : start, how == 1 ? start + column + 1 : start + WIDTH);
}

static void erase_screen(u32 how) {
    u32 at = row * WIDTH + column;
    blank(how == 0 ? at : 0, how == 1 ? at + 1 : WIDTH * HEIGHT);
}

/* ESC [ numbers letter */
static void sequence(char c) {
    u32 n = numbers[0], steps = n ? n : 1;
    if (c >= '0' && c <= '9') {
        numbers[count] = MIN(numbers[count] * 10 + (u32)(c - '0'), 999u);
        return;
    }
    if (c == ';' || c == '?') {
        count = c == ';' ? 1 : 0;
        return;
    }
    state = TEXT;
    if (c == 'A')
        move(row - MIN(steps, row), column);
    else if (c == 'B')
        move(row + steps, column);
    else if (c == 'C')
        move(row, column + steps);
    else if (c == 'D')
        move(row, column - MIN(steps, column));
    else if (c == 'H' || c == 'f')
        move(steps - 1, numbers[1] ? numbers[1] - 1 : 0);
    else if (c == 'J')
        erase_screen(n);
    else if (c == 'K')
        erase_line(n);
}

static void text(char c) {
    if (c == 27) {
        state = ESCAPE;
    } else if (c == '\n') {
        new_line();
    } else if (c == '\r') {
        column = 0;
    } else if (c == '\b') {
        column -= column > 0;
    } else if (c == '\t') {
        column = MIN((column + 8) & ~7u, (u32)WIDTH - 1);
    } else if ((u8)c >= 32) {
        if (column == WIDTH) {
            column = 0;
            new_line();
        }
        screen[row * WIDTH + column++] = (u16)(BLANK & 0xff00) | (u8)c;
    }
}

void vga_write(char c) {
    if (state == SEQUENCE) {
        sequence(c);
    } else if (state == ESCAPE) {
        state = c == '[' ? SEQUENCE : TEXT;
        numbers[0] = numbers[1] = count = 0;
    } else {
        text(c);
    }
    show_cursor();
}
