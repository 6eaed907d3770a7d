/* What a multiboot loader tells (Multiboot Specification 0.6.96, section 3.3). */
#pragma once
#include "types.h"

#define MULTIBOOT_LOADED 0x2badb002
enum { MULTIBOOT_USABLE = 1 };
enum { INFO_MEMORY = 1, INFO_COMMAND_LINE = 4, INFO_MODULES = 8, INFO_MAP = 0x40 };

struct multiboot_info {
    u32 flags, mem_lower, mem_upper, boot_device, command_line, module_count, modules;
    u32 symbols[4];
    u32 map_size, map;
};

struct multiboot_module {
    u32 start, end, text, reserved;
};

struct multiboot_range {
    u32 size; /* of what follows */
    u64 start, length;
    u32 type;
} __attribute__((packed));
