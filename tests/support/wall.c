/* A process into which this is preloaded has a time of day as many seconds off as the file that WALL_CLOCK names says
   at that moment, a double; its monotonic clock goes on as it was. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const double *offset;

__attribute__((constructor)) static void open_wall(void) {
    const char *path = getenv("WALL_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED)
        offset = page;
    close(file);
}

static long long micros(void) {
    struct timespec real;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    return real.tv_sec * 1000000LL + real.tv_nsec / 1000 + (offset ? (long long)(*offset * 1e6) : 0);
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    long long at = micros();
    (void)zone;
    now->tv_sec = at / 1000000;
    now->tv_usec = at % 1000000;
    return 0;
}

time_t time(time_t *now) {
    time_t at = micros() / 1000000;
    if (now)
        *now = at;
    return at;
}
