/* calib.c - how fast is this core right now? Does a fixed amount of work and prints the milliseconds it took.
 *
 *   cc -O2 -o calib calib.c
 *   taskset -c 0 ./calib
 *
 * On a shared machine the figure moves with the neighbours: a window whose figure stands out was measured on a slower
 * machine than the others. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { STEPS = 20000000, CELLS = 4096 };

static double milliseconds(const struct timespec *from, const struct timespec *to) {
    return (double)(to->tv_sec - from->tv_sec) * 1e3 + (double)(to->tv_nsec - from->tv_nsec) / 1e6;
}

int main(void) {
    static uint32_t cells[CELLS];
    volatile uint32_t state = 1; /* volatile, or the compiler would see that nobody reads the result */
    struct timespec began, ended;

    clock_gettime(CLOCK_MONOTONIC, &began);
    for (int i = 0; i < STEPS; i++) {
        uint32_t next = state * 1664525u + 1013904223u;
        cells[next >> 20] += next;
        state = next ^ cells[(next >> 8) & (CELLS - 1)];
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%.1f\n", milliseconds(&began, &ended));
    return 0;
}
