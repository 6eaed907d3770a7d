/* Remainders, rounding, integers, decimal digits, denormals, exceptions: the corners of the unit. */
#include "runtime.h"

static wide remainder_by(wide x, wide y, int nearest)
{
    unsigned short status;
    do {
        if (nearest)
            __asm__ volatile("fprem1\n\tfnstsw %1" : "+t"(x), "=a"(status) : "u"(y));
        else
            __asm__ volatile("fprem\n\tfnstsw %1" : "+t"(x), "=a"(status) : "u"(y));
    } while (status & 0x400);
    put_hex(status & 0x4700, 4); /* the quotient's low bits */
    return x;
}

static void remainders(void)
{
    static const wide pairs[][2] = {{17.5L, 5}, {-17.5L, 5}, {1e300L, 7.25L}, {3, 1e-30L}, {-1e18L, 1e9L / 3}, {2.5L, 1}};
    for (unsigned i = 0; i < 6; i++)
        for (int nearest = 0; nearest < 2; nearest++)
            put_line(nearest ? " fprem1 " : " fprem ", remainder_by(pairs[i][0], pairs[i][1], nearest));
}

static void roundings(void)
{
    static volatile wide values[] = {2.5L, -2.5L, 1e15L + 0.7L, -0.1L, 8388607.5L, 1.0L / 3};
    unsigned short usual = x87_control();
    for (unsigned mode = 0; mode < 4; mode++)
        for (unsigned precision = 0; precision < 4; precision++) {
            if (precision == 1)
                continue; /* reserved */
            x87_set_control((unsigned short)((usual & 0xf0ff) | mode << 10 | precision << 8));
            put_hex(x87_control(), 4);
            put_character('\n');
            for (unsigned i = 0; i < 6; i++) {
                wide whole = x87_round(values[i]), third = values[i] / 3, root = x87_root(values[i] * values[i]);
                float narrow = (float)values[i];
                double middle = (double)third;
                x87_set_control(usual);
                put_line("  whole ", whole);
                put_line("  third ", third);
                put_line("  root  ", root);
                put_line("  float ", narrow);
                put_line("  double ", middle);
                x87_set_control((unsigned short)((usual & 0xf0ff) | mode << 10 | precision << 8));
            }
            x87_set_control(usual);
        }
}

static void integers(void)
{
    static volatile long long longs[] = {0x7fffffffffffffffLL, -0x7fffffffffffffffLL - 1, 0x123456789abcdefLL, -1};
    for (int i = 0; i < 4; i++) {
        wide x = longs[i];
        put_line("long ", x);
        long long back = (long long)(x / 3);
        put_hex((unsigned)(back >> 32), 8);
        put_hex((unsigned)back, 8);
        int small = (int)(x / 8589934592.0L);
        short smaller = (short)(x / 563019743232245.5L);
        put_character(' ');
        put_integer(small);
        put_character(' ');
        put_integer(smaller);
        put_character('\n');
    }
    static volatile wide outside[] = {1e19L, -1e30L, 3e9L};
    for (int i = 0; i < 3; i++) { /* the integer indefinite */
        long long big = (long long)outside[i];
        put_hex((unsigned)(big >> 32), 8);
        put_hex((unsigned)big, 8);
        put_character(' ');
        put_integer((int)outside[i]);
        put_character('\n');
    }
}

static void decimals(void)
{
    static volatile wide values[] = {123456789012345678.0L, -42.5L, 0.5L, 999999999999999999.0L, 1e18L};
    for (int i = 0; i < 5; i++) {
        unsigned char digits[10];
        wide x = values[i], back;
        __asm__ volatile("fbstp %0" : "=m"(digits) : "t"(x) : "st");
        for (int k = 9; k >= 0; k--)
            put_hex(digits[k], 2);
        if (i < 4) {
            __asm__ volatile("fbld %1" : "=t"(back) : "m"(digits));
            put_line(" ", back);
        }
    }
    put_character('\n');
}

static void extremes(void)
{
    volatile float f = 1e-38f;
    volatile double d = 1e-307;
    volatile wide w = 1e-4931L;
    for (int i = 0; i < 30; i++) { /* down through the denormals to nothing */
        put_line("float ", f);
        put_line("double ", d);
        put_line("wide ", w);
        f /= 3;
        d /= 5;
        w /= 7;
    }
    f = 1e38f, d = 1e308, w = 1e4932L;
    for (int i = 0; i < 3; i++) {
        f *= 3, d *= 3, w *= 3;
        put_line("float ", f);
        put_line("double ", d);
        put_line("wide ", w);
    }
}

static void exceptions(void)
{
    static volatile wide zero, one = 1, negative = -1, huge = 1e4932L, tiny = 1e-4932L;
    wide results[7];
    for (int i = 0; i < 7; i++) {
        __asm__ volatile("fnclex");
        switch (i) {
        case 0: results[i] = one / zero; break;
        case 1: results[i] = zero / zero; break;
        case 2: results[i] = x87_root(negative); break;
        case 3: results[i] = huge * huge; break;
        case 4: results[i] = tiny * tiny; break;
        case 5: results[i] = one / 3; break;
        default: results[i] = one + negative; break;
        }
        put_hex(x87_status() & 0xff, 2);
        put_line(" ", results[i]);
    }
    wide nan = results[1];
    put_integer(nan == nan);
    put_integer(nan != nan);
    put_integer(nan < one);
    put_integer(nan >= one);
    put_integer(one > zero);
    put_integer(-zero == zero);
    put_integer(__builtin_isunordered(nan, one));
    put_integer(__builtin_isgreater(results[0], huge));
    put_character('\n');
}

static void parts(void)
{
    static volatile wide values[] = {1, -0.15625L, 1e-4940L, 6.02214076e23L, 1e4000L};
    for (int i = 0; i < 5; i++) {
        wide exponent, significand;
        __asm__("fxtract" : "=t"(significand), "=u"(exponent) : "0"(values[i]));
        unsigned short status;
        __asm__ volatile("fxam\n\tfnstsw %0" : "=a"(status) : "t"(values[i]));
        put_hex(status & 0x4700, 4);
        put_line(" significand ", significand);
        put_line(" exponent ", exponent);
        put_line(" scaled ", x87_scale(values[i], -3.9L));
    }
}

void program(void)
{
    remainders();
    roundings();
    integers();
    decimals();
    extremes();
    exceptions();
    parts();
}
