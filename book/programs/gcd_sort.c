/* Two small routines for chapter 02: the greatest common divisor, and an insertion sort.
   Freestanding: no library, no operating system, only the processor. */

int result;
int list[] = {42, 7, 1998, -3, 16, 0, 65536, 5};

__attribute__((noinline)) static int gcd(int a, int b)
{
    while (b != 0) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

__attribute__((noinline)) static void sort(int *v, int n)
{
    for (int i = 1; i < n; i++) {
        int x = v[i], j = i;
        while (j > 0 && v[j - 1] > x) {
            v[j] = v[j - 1];
            j--;
        }
        v[j] = x;
    }
}

/* Placed first: the machine starts at the first byte of the image. */
__attribute__((section(".text.start"))) void start(void)
{
    result = gcd(1071, 462);
    sort(list, 8);
    __asm__ volatile("hlt");
}
