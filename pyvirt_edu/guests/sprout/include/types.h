/* The integer types and small helpers that every file uses. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ALIGN_DOWN(x, a) ((x) & ~((u32)(a) - 1))
#define ALIGN_UP(x, a) ALIGN_DOWN((x) + (a) - 1, a)

#define PAGE 4096u
#define PAGE_DOWN(x) ALIGN_DOWN(x, PAGE)
#define PAGE_UP(x) ALIGN_UP(x, PAGE)

/*
 * OWNED(inode) struct inode *i = NULL; gives the reference in i back when its block ends, however it
 * ends: owned_inode(&i) is called then. So a function may return as soon as something went wrong.
 */
#define OWNED(kind) __attribute__((cleanup(owned_##kind)))
