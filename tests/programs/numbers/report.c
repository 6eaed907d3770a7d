/* A program of the C library: what it prints of numbers, its mathematics, rounding, reading, sorting. */
#include <complex.h>
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void functions(void)
{
    static const double points[] = {1e-9, 0.1, 0.5, 1, 1.75, 3, 12.5, 100, 1e5};
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++) {
        volatile double x = points[i];
        printf("%.15g sin %.15g cos %.15g tan %.15g exp %.15g log %.15g\n", x, sin(x), cos(x), tan(x), exp(-x), log(x));
        printf("  pow %.15g cbrt %.15g atan %.15g asin %.15g acosh %.15g\n", pow(x, 0.3), cbrt(x), atan(x), asin(1 / (1 + x)), acosh(1 + x));
        printf("  erf %.15g gamma %.14g j0 %.13g hypot %.15g\n", erf(x), lgamma(x), j0(x), hypot(x, 3));
        long double w = x;
        printf("  wide sqrt %.21Lg exp %.17Lg log %.17Lg pow %.16Lg atan %.17Lg sin %.17Lg\n", sqrtl(w), expl(w / 7), logl(w), powl(w, 1.5L), atanl(w), sinl(w));
        printf("  fmod %.20Lg remainder %.20Lg rint %.20Lg next %.21Lg bits %La\n", fmodl(1e10L, w), remainderl(1e10L, w), rintl(w * 7), nexttowardl(w, 1e9L), w / 3);
        double complex z = csqrt(x + 2 * I) * cexp(I * x);
        printf("  complex %.14g %.14g\n", creal(z), cimag(z));
    }
}

static void roundings(void)
{
    static const int ways[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    for (int i = 0; i < 4; i++) {
        fesetround(ways[i]);
        volatile long double third = 1, minus = -2.5L;
        third /= 3;
        printf("%.21Lg %.0Lf %ld %.25Lf %.3f\n", third, minus, lrintl(minus), third, 0.0625);
    }
    fesetround(FE_TONEAREST);
    feclearexcept(FE_ALL_EXCEPT);
    volatile double zero = 0, one = 1;
    volatile double result = one / zero;
    printf("%g raised %x\n", result, (unsigned)fetestexcept(FE_ALL_EXCEPT));
    feclearexcept(FE_ALL_EXCEPT);
    result = sqrt(-one);
    printf("%g raised %x\n", fabs(result), (unsigned)fetestexcept(FE_ALL_EXCEPT));
}

static void texts(void)
{
    static const char *const given[] = {"0.1", "1e4932", "-3.64519953188247460253e-4951", "0x1.8p-3", "123456789012345678901234567890", "1e5000"};
    for (int i = 0; i < 6; i++) {
        char *end;
        long double wide = strtold(given[i], &end);
        double middle = strtod(given[i], NULL);
        float narrow = strtof(given[i], NULL);
        printf("%s: %.21Lg %La %.17g %a %.9g %d\n", given[i], wide, wide, middle, middle, (double)narrow, *end);
    }
    long long whole = llrintl(9007199254740993.0L);
    unsigned long long high = (unsigned long long)1.8446744073709551e19L;
    printf("%lld %llu %.20Lg %.3Le %lld\n", whole, high, (long double)high, (long double)-whole, high / 1000003 % 97);
}

int main(void)
{
    functions();
    roundings();
    texts();
    double list[500];
    srand(7);
    for (int i = 0; i < 500; i++)
        list[i] = rand() / (i + 0.5) * (i % 3 - 1.25);
    qsort(list, 500, sizeof *list, compare);
    for (int i = 0; i < 500; i += 25)
        printf("%.17g ", list[i]);
    puts("");
    return 0;
}
