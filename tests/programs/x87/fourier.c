/* A fast Fourier transform there and back, its roots of unity from FSIN and FCOS. */
#include "runtime.h"
#define SIZE 128

static double re[SIZE], im[SIZE];

static void transform(double direction)
{
    for (int i = 0, j = 0; i < SIZE; i++) {
        if (i < j) {
            double t = re[i];
            re[i] = re[j], re[j] = t;
            t = im[i];
            im[i] = im[j], im[j] = t;
        }
        int bit = SIZE / 2;
        while (bit && j & bit)
            j ^= bit, bit /= 2;
        j |= bit;
    }
    for (int half = 1; half < SIZE; half *= 2)
        for (int k = 0; k < half; k++) {
            wide angle = direction * 3.14159265358979323846L * k / half;
            double c = x87_cosine(angle), s = x87_sine(angle);
            for (int i = k; i < SIZE; i += 2 * half) {
                double r = re[i + half] * c - im[i + half] * s;
                double m = re[i + half] * s + im[i + half] * c;
                re[i + half] = re[i] - r, im[i + half] = im[i] - m;
                re[i] += r, im[i] += m;
            }
        }
}

void program(void)
{
    for (int i = 0; i < SIZE; i++)
        re[i] = i * (i + 3) % 17 + 0.1 * (i % 5), im[i] = i % 7;
    transform(-1);
    for (int i = 0; i < SIZE; i++) {
        put_number(re[i], 11);
        put_number(im[i], 11);
        put_character('\n');
    }
    transform(1);
    for (int i = 0; i < SIZE; i += 9) {
        put_number(re[i] / SIZE, 13);
        put_number(im[i] / SIZE + 1, 13);
        put_character('\n');
    }
}
