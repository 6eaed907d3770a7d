/* What the programs here may use: text and numbers to print, and the x87's own functions. */
typedef long double wide;

void put_character(char c); /* start_machine.S: to the serial port; start_linux.S: to standard output */

void put_text(const char *text);
void put_integer(int n);
void put_hex(unsigned value, int digits);
void put_number(wide x, int digits); /* d.ddde+ddd, worked out on the x87 */
void put_bits(wide x);               /* sign and exponent, then the 64 bits of the significand */
void put_line(const char *name, wide x); /* a name, 18 digits and the bits */

static inline wide x87_root(wide x) { __asm__("fsqrt" : "+t"(x)); return x; }
static inline wide x87_sine(wide x) { __asm__("fsin" : "+t"(x)); return x; }
static inline wide x87_cosine(wide x) { __asm__("fcos" : "+t"(x)); return x; }
static inline wide x87_round(wide x) { __asm__ volatile("frndint" : "+t"(x)); return x; }
static inline wide x87_arctangent(wide y, wide x) { __asm__("fpatan" : "+t"(x) : "u"(y) : "st(1)"); return x; }
static inline wide x87_power_less_one(wide x) { __asm__("f2xm1" : "+t"(x)); return x; }
static inline wide x87_scale(wide x, wide by) { __asm__("fscale" : "+t"(x) : "u"(by)); return x; }
static inline wide x87_logarithm(wide x, wide factor) { __asm__("fyl2x" : "+t"(x) : "u"(factor) : "st(1)"); return x; }
static inline wide x87_logarithm_plus_one(wide x, wide factor)
{
    __asm__("fyl2xp1" : "+t"(x) : "u"(factor) : "st(1)");
    return x;
}

static inline wide x87_tangent(wide x)
{
    wide one;
    __asm__("fptan" : "=t"(one), "=u"(x) : "0"(x));
    return x / one;
}

static inline unsigned short x87_control(void)
{
    unsigned short word;
    __asm__ volatile("fnstcw %0" : "=m"(word));
    return word;
}

static inline void x87_set_control(unsigned short word) { __asm__ volatile("fldcw %0" : : "m"(word)); }

static inline unsigned short x87_status(void)
{
    unsigned short word;
    __asm__ volatile("fnstsw %0" : "=a"(word));
    return word;
}
