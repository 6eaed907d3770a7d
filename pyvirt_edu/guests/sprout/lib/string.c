/* Memory and strings: what a C library would have. */
#include "../include/text.h"

void *memcpy(void *to, const void *from, size_t n) {
    void *d = to;
    size_t words = n / 4;
    asm volatile("rep movsl" : "+D"(d), "+S"(from), "+c"(words) : : "memory");
    n %= 4;
    asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    if (to <= from || (u32)to >= (u32)from + n)
        return memcpy(to, from, n);
    u8 *d = (u8 *)to + n - 1;
    const u8 *s = (const u8 *)from + n - 1;
    asm volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    return to;
}

void *memset(void *to, int value, size_t n) {
    void *d = to;
    u32 word = (u8)value * 0x01010101u;
    size_t words = n / 4;
    asm volatile("rep stosl" : "+D"(d), "+c"(words) : "a"(word) : "memory");
    n %= 4;
    asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(word) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const u8 *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *s) {
    const char *end = s;
    while (*end)
        end++;
    return (size_t)(end - s);
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n) {
    for (; n; n--, a++, b++)
        if (*a != *b || !*a)
            return (u8)*a - (u8)*b;
    return 0;
}

char *strchr(const char *s, int c) {
    for (; *s != (char)c; s++)
        if (!*s)
            return NULL;
    return (char *)s;
}

void copy_string(char *to, const char *from, u32 size) {
    u32 n = MIN((u32)strlen(from), size - 1);
    memcpy(to, from, n);
    to[n] = 0;
}

u32 parse_number(const char *s) {
    u32 value = 0;
    for (; *s >= '0' && *s <= '9'; s++)
        value = value * 10 + (u32)(*s - '0');
    return value;
}
