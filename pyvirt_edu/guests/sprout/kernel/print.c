/* Messages, to wherever people look; and the end, when there is nothing else to be done. */
#include "../include/process.h"

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

static void print_list(const char *format, va_list values) {
    char line[256];
    u32 length = (u32)format_list(line, sizeof(line), format, values);
    console_write(line, MIN(length, sizeof(line) - 1));
}

void print(const char *format, ...) {
    va_list values;
    va_start(values, format);
    print_list(format, values);
    va_end(values);
}

void complain(const char *format, ...) {
    va_list values;
    va_start(values, format);
    print("%s[%d]: ", current->name, current->pid);
    print_list(format, values);
    va_end(values);
}

void panic(const char *format, ...) {
    va_list values;
    va_start(values, format);
    print("\nkernel panic: ");
    print_list(format, values);
    print("\n");
    port_out8(0xf4, 0x7f); /* a debug exit port, where there is one */
    cpu_stop();
}
