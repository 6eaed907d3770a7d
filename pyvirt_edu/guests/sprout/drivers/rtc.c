/* The MC146818 clock, which runs on a battery: read once, for the date. */
#include "../include/kernel.h"

enum { INDEX = 0x70, DATA = 0x71 };
enum { SECONDS = 0, MINUTES = 2, HOURS = 4, DAY = 7, MONTH = 8, YEAR = 9, STATUS_A = 10, STATUS_B = 11 };
enum { UPDATING = 0x80, BINARY = 4, HOURS_24 = 2, AFTERNOON = 0x80 };

static u8 get(u8 index) {
    port_out8(INDEX, index);
    return port_in8(DATA);
}

static u32 number(u8 value) {
    return get(STATUS_B) & BINARY ? value : (value >> 4) * 10u + (value & 15);
}

/* Days from 1970 to the first of a month: a leap year ends with its February. */
static u32 days_before(u32 year, u32 month, u32 day) {
    year -= month <= 2;
    month = month <= 2 ? month + 9 : month - 3;
    return year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719468;
}

u32 rtc_read(void) {
    for (u32 i = 0; i < 100000 && get(STATUS_A) & UPDATING; i++)
        ;
    u8 hour = get(HOURS);
    u32 hours = number(hour & (u8)~AFTERNOON);
    if (!(get(STATUS_B) & HOURS_24))
        hours = hours % 12 + (hour & AFTERNOON ? 12 : 0);
    u32 days = days_before(2000 + number(get(YEAR)), number(get(MONTH)), number(get(DAY)));
    return ((days * 24 + hours) * 60 + number(get(MINUTES))) * 60 + number(get(SECONDS));
}
