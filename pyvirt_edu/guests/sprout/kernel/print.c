/* Messages, to wherever people look; and the end, when there is nothing else to be done. */
#include "../include/kernel.h"

static void put_console(char c) {
    uart_write(c);
    vga_write(c);
}

void console_write(const char *text, u32 size) {
    for (u32 i = 0; i < size; i++) {
        if (text[i] == '\n')
            put_console('\r');
        put_console(text[i]);
    }
}

void print(const char *format, ...) {
    char line[256];
    va_list values;
    va_start(values, format);
    int n = format_list(line, sizeof(line), format, values);
    va_end(values);
    console_write(line, MIN((u32)n, sizeof(line) - 1));
}

void panic(const char *format, ...) {
    char line[256];
    va_list values;
    va_start(values, format);
    format_list(line, sizeof(line), format, values);
    va_end(values);
    print("\nkernel panic: %s\n", line);
    port_out8(0xf4, 0x7f); /* a debug exit port, where there is one */
    cpu_stop();
}
