/* Messages: printf's most needed conversions (%s %c %d %u %x %p %%, a width, a leading 0). */
#include "../include/kernel.h"

struct sink {
    char *to;
    u32 size, used;
};

static void put(struct sink *s, char c) {
    if (s->used + 1 < s->size)
        s->to[s->used] = c;
    s->used++;
}

static void put_number(struct sink *s, u32 value, u32 base, bool negative, int width, char fill) {
    char digits[12];
    int n = 0;
    do
        digits[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    if (negative)
        digits[n++] = '-';
    for (int i = n; i < width; i++)
        put(s, fill);
    while (n)
        put(s, digits[--n]);
}

static void put_string(struct sink *s, const char *text, int width, bool left) {
    int length = (int)strlen(text);
    for (int i = length; !left && i < width; i++)
        put(s, ' ');
    for (const char *p = text; *p; p++)
        put(s, *p);
    for (int i = length; left && i < width; i++)
        put(s, ' ');
}

static void put_value(struct sink *s, char kind, va_list *values, int width, char fill, bool left) {
    if (kind == 's') {
        put_string(s, va_arg(*values, const char *), width, left);
    } else if (kind == 'c') {
        put(s, (char)va_arg(*values, int));
    } else if (kind == 'd') {
        int value = va_arg(*values, int);
        put_number(s, value < 0 ? -(u32)value : (u32)value, 10, value < 0, width, fill);
    } else if (kind == 'u') {
        put_number(s, va_arg(*values, u32), 10, false, width, fill);
    } else if (kind == 'x' || kind == 'p') {
        put_number(s, va_arg(*values, u32), 16, false, width, fill);
    } else {
        put(s, kind);
    }
}

int format_list(char *to, u32 size, const char *format, va_list values) {
    struct sink s = {to, size, 0};
    va_list rest;
    va_copy(rest, values);
    for (; *format; format++) {
        if (*format != '%') {
            put(&s, *format);
            continue;
        }
        bool left = *++format == '-';
        format += left;
        char fill = *format == '0' ? '0' : ' ';
        int width = 0;
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (*format - '0');
        put_value(&s, *format, &rest, width, fill, left);
    }
    va_end(rest);
    to[MIN(s.used, size - 1)] = 0;
    return (int)s.used;
}

int format_text(char *to, u32 size, const char *format, ...) {
    va_list values;
    va_start(values, format);
    int n = format_list(to, size, format, values);
    va_end(values);
    return n;
}

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
