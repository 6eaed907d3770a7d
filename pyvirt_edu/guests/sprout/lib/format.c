/* Numbers and strings as text: the conversions of printf that the kernel and its programs need. */
#include "../include/text.h"

struct sink {
    char *to;
    u32 size, used;
};

static void put(struct sink *s, char c) {
    if (s->used + 1 < s->size)
        s->to[s->used] = c;
    s->used++;
}

static void put_text(struct sink *s, const char *text, u32 width, char fill, bool left) {
    u32 length = strlen(text);
    for (u32 i = length; !left && i < width; i++)
        put(s, fill);
    while (*text)
        put(s, *text++);
    for (u32 i = length; left && i < width; i++)
        put(s, ' ');
}

/* The digits, from the last one on: they end at `end`. */
static const char *digits(char *end, u32 value, u32 base, bool negative) {
    *--end = 0;
    do
        *--end = "0123456789abcdef"[value % base];
    while (value /= base);
    if (negative)
        *--end = '-';
    return end;
}

int format_list(char *to, u32 size, const char *format, va_list values) {
    struct sink s = {to, size, 0};
    char buffer[12], *end = buffer + sizeof(buffer);
    for (; *format; format++) {
        if (*format != '%') {
            put(&s, *format);
            continue;
        }
        bool left = *++format == '-';
        format += left;
        char fill = *format == '0' ? '0' : ' ';
        u32 width = parse_number(format);
        while (*format >= '0' && *format <= '9')
            format++;
        if (*format == 's') {
            put_text(&s, va_arg(values, const char *), width, ' ', left);
        } else if (*format == 'd') {
            int v = va_arg(values, int);
            put_text(&s, digits(end, v < 0 ? -(u32)v : (u32)v, 10, v < 0), width, fill, left);
        } else if (*format == 'u') {
            put_text(&s, digits(end, va_arg(values, u32), 10, false), width, fill, left);
        } else if (*format == 'x' || *format == 'p') {
            put_text(&s, digits(end, va_arg(values, u32), 16, false), width, fill, left);
        } else {
            put(&s, *format == 'c' ? (char)va_arg(values, int) : *format);
        }
    }
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
