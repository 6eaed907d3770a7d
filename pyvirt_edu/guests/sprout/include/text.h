/* Memory, strings and numbers as text: lib/, for the kernel and for its programs. */
#pragma once
#include "types.h"

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
void copy_string(char *to, const char *from, u32 size); /* cuts, and always ends in a zero */
u32 parse_number(const char *s);

/* %s %c %d %u %x %p %%, each with a width, `-` for left and 0 for leading zeros. How long it would be. */
int format_text(char *to, u32 size, const char *format, ...) __attribute__((format(printf, 3, 4)));
int format_list(char *to, u32 size, const char *format, va_list values);
