/* Printing without a library. Every digit comes out of x87 arithmetic. */
#include "runtime.h"

void *memcpy(void *to, const void *from, __SIZE_TYPE__ n)
{
    char *t = to;
    const char *f = from;
    while (n--) {
        *t++ = *f++;
        __asm__ volatile("" : : : "memory"); /* or the compiler makes this a call of itself */
    }
    return to;
}

void *memset(void *to, int value, __SIZE_TYPE__ n)
{
    char *t = to;
    while (n--) {
        *t++ = (char)value;
        __asm__ volatile("" : : : "memory");
    }
    return to;
}

void put_text(const char *text)
{
    while (*text)
        put_character(*text++);
}

void put_integer(int n)
{
    unsigned rest = n < 0 ? -(unsigned)n : (unsigned)n;
    char digits[12];
    int count = 0;
    if (n < 0)
        put_character('-');
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    while (count)
        put_character(digits[--count]);
}

void put_hex(unsigned value, int digits)
{
    while (digits--)
        put_character("0123456789abcdef"[value >> 4 * digits & 15]);
}

static void split(wide x, unsigned *head, unsigned *high, unsigned *low)
{
    union {
        wide x;
        unsigned words[3];
    } image;
    image.words[2] = 0;
    image.x = x;
    *head = image.words[2] & 0xffff;
    *high = image.words[1];
    *low = image.words[0];
}

void put_bits(wide x)
{
    unsigned head, high, low;
    split(x, &head, &high, &low);
    put_hex(head, 4);
    put_character(':');
    put_hex(high, 8);
    put_hex(low, 8);
}

void put_number(wide x, int digits)
{
    static const wide powers[] = {1e1L, 1e2L, 1e4L, 1e8L, 1e16L, 1e32L, 1e64L, 1e128L, 1e256L, 1e512L, 1e1024L, 1e2048L, 1e4096L};
    unsigned head, high, low;
    int exponent = 0;
    split(x, &head, &high, &low);
    put_character(head & 0x8000 ? '-' : ' ');
    head &= 0x7fff;
    if (head == 0x7fff) {
        put_text(high == 0x80000000u && !low ? "inf" : "nan");
        return;
    }
    if (!(high | low)) {
        put_text("0");
        return;
    }
    if (x < 0)
        x = -x;
    for (int i = 12; i >= 0; i--)
        if (x >= powers[i]) {
            x /= powers[i];
            exponent += 1 << i;
        }
    for (int i = 12; i >= 0; i--)
        if (x * powers[i] < 10) {
            x *= powers[i];
            exponent -= 1 << i;
        }
    wide half = 5;
    for (int i = 0; i < digits; i++)
        half /= 10;
    x += half;
    if (x >= 10) {
        x /= 10;
        exponent++;
    }
    for (int i = 0; i < digits; i++) {
        int digit = (int)x;
        put_character((char)('0' + digit));
        if (i == 0)
            put_character('.');
        x = (x - digit) * 10;
    }
    put_character('e');
    put_integer(exponent);
}

void put_line(const char *name, wide x)
{
    put_text(name);
    put_number(x, 18);
    put_text("  ");
    put_bits(x);
    put_character('\n');
}
