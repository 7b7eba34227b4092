/* sseload.c - a load generator for OpenAI-style answers, JSON and SSE, that looks at every byte of them.
 *
 *   cc -O2 -o sseload sseload.c
 *   ./sseload -p port [-a 127.0.0.1] [-c connections] [-d seconds | -n requests] [-w warm_up_s] [-r ramp_ms] [-s]
 *             [-k api_key] [-P path] [-m model] [-b body_file] [-H "Name: value"]... [-e expected_events]
 *             [-t timeout_s] [-u] [-j]
 *
 *   -s  streamed answers      -r  spread the connections' starts over that time
 *   -j  the result as JSON    -d, -w  count for so long, after so long
 *   -b  the request's body, instead of a short question (then -m says nothing, and -s only what to expect)
 *   -u  no two bodies alike: each request's number stands in the place of the body's first 00000000
 *
 * One thread, epoll, HTTP/1.1 with keep-alive. A closed loop: each connection sends its next request when its answer is
 * complete. Only answers that end inside the window are counted. An answer is "ok" when its status is 200, its framing
 * is whole and, with -s, it had [DONE] (and -e events, when given). Everything else is an error, by kind. The exit code
 * is 1 when there was one, or a status other than 200.
 *
 * lag: from the "ts=" stamp that mock.c puts into each event to its receipt. gap: between two events of one stream. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_READY = 512,      /* readiness events taken from the kernel at once */
    MAX_STATUS = 600,
    MAX_HEAD = 16384,     /* bytes of an answer's head */
    MAX_LINE = 2048,      /* bytes kept of an SSE line that came in pieces */
    MAX_SIZE_LINE = 32,   /* bytes kept of a chunk's size line */
    READ_BYTES = 262144,
    STAMP_DIGITS = 17,
    SERIAL_DIGITS = 8,
};

#define NS_PER_S 1000000000ull
#define NS_PER_S_F 1e9
#define NS_PER_MS 1e6
#define TICK_NS 100000000ull /* how often time-outs and failed connections are looked at */

enum state { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, TO_THE_END };

struct connection {
    int fd;
    enum state state;
    int busy, connected, keep, status;
    int events, done;        /* of this answer: SSE events, and whether [DONE] came */
    size_t written;          /* bytes of the request */
    size_t left;             /* bytes of the body or of its chunk */
    uint64_t sent_at, head_at, first_event_at, last_event_at; /* ns; 0: not yet */
    char head[MAX_HEAD];
    char line[MAX_LINE];
    char size_line[MAX_SIZE_LINE];
    size_t head_length, line_length, size_line_length;
};

struct samples {
    const char *name;
    float *ms;
    size_t length, capacity;
};

static struct {
    int port, connections, stream, expected_events, unique, json;
    uint64_t requests; /* 0: as many as the time allows */
    double seconds, warm_up_s, ramp_ms, timeout_s;
    const char *host, *path, *key, *model, *body_file;
    char headers[8192];
} option = {
    .port = 9000,
    .connections = 32,
    .seconds = 5,
    .timeout_s = 30,
    .host = "127.0.0.1",
    .path = "/v1/chat/completions",
    .model = "mock-model",
};

static struct {
    uint64_t started, ok, events, bytes, connections;
    uint64_t by_status[MAX_STATUS];
} count;

enum failure { CONNECT, END_OF_FILE, IO, TIMEOUT, NO_DONE, EVENT_COUNT, PARSE, FAILURES };
static const char *const failure_json[FAILURES] = {"connect", "eof",         "io",   "timeout",
                                                   "no_done", "event_count", "parse"};
static const char *const failure_text[FAILURES] = {"connect",   "eof",         "io",   "timeout",
                                                   "no [DONE]", "event count", "parse"};
static uint64_t failed[FAILURES];

enum kind { HEADERS, FIRST_EVENT, TOTAL, GAP, LAG, KINDS };
static struct samples taken[KINDS] = {
    {.name = "headers"}, {.name = "first_event"}, {.name = "total"}, {.name = "gap"}, {.name = "lag"}};

static int epoll_fd;
static struct sockaddr_in address;
static char *request;
static size_t request_length;
static char *serial;             /* where the request's number stands; NULL: nowhere */
static uint64_t began, window_begins, window_ends; /* ns */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static int in_window(uint64_t time) {
    return time >= window_begins && time < window_ends;
}

/* ---- Samples. */

static void sample(enum kind kind, double ns) {
    struct samples *s = &taken[kind];
    if (s->length == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 65536;
        s->ms = realloc(s->ms, s->capacity * sizeof *s->ms);
        if (!s->ms) {
            perror("sseload: realloc");
            exit(1);
        }
    }
    s->ms[s->length++] = (float)(ns / NS_PER_MS);
}

static int by_size(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

/* Of sorted samples; -1 when there is none. */
static double quantile(const struct samples *s, double share) {
    if (!s->length) {
        return -1;
    }
    size_t index = (size_t)(share * (double)s->length);
    return (double)s->ms[index < s->length ? index : s->length - 1];
}

/* ---- A connection's life. */

static void watch(int operation, struct connection *c, uint32_t events) {
    struct epoll_event event = {events, {.ptr = c}};
    epoll_ctl(epoll_fd, operation, c->fd, &event);
}

static void drop(struct connection *c) {
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
    c->connected = 0;
    c->busy = 0;
}

static void fail(struct connection *c, enum failure why) {
    failed[why]++;
    drop(c);
}

static void write_request(struct connection *c) {
    if (serial && c->written == 0) {
        static unsigned number;
        char digits[SERIAL_DIGITS + 1];
        snprintf(digits, sizeof digits, "%08u", number++ % 100000000u);
        memcpy(serial, digits, SERIAL_DIGITS);
    }
    while (c->written < request_length) {
        ssize_t written = send(c->fd, request + c->written, request_length - c->written, MSG_NOSIGNAL);
        if (written >= 0) {
            c->written += (size_t)written;
        } else if (errno == EAGAIN) {
            watch(EPOLL_CTL_MOD, c, EPOLLIN | EPOLLOUT);
            return;
        } else {
            fail(c, IO);
            return;
        }
    }
}

static void open_connection(struct connection *c) {
    static const int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(EPOLL_CTL_ADD, c, EPOLLIN | EPOLLOUT);
    count.connections++;
    if (connect(c->fd, (const struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        fail(c, CONNECT);
    }
}

static void start(struct connection *c) {
    if (option.requests && count.started >= option.requests) {
        return;
    }
    count.started++;
    c->state = HEAD;
    c->head_length = c->line_length = c->size_line_length = c->written = 0;
    c->status = c->events = c->done = 0;
    c->head_at = c->first_event_at = c->last_event_at = 0;
    c->keep = c->busy = 1;
    c->sent_at = now_ns();
    if (c->fd < 0) {
        open_connection(c);
    } else {
        write_request(c);
    }
}

static void count_answer(const struct connection *c, uint64_t now) {
    count.by_status[c->status]++;
    if (c->status != 200) {
        return;
    }
    if (option.stream && !c->done) {
        failed[NO_DONE]++;
        return;
    }
    if (option.stream && option.expected_events && c->events != option.expected_events) {
        failed[EVENT_COUNT]++;
        return;
    }
    count.ok++;
    sample(HEADERS, (double)(c->head_at - c->sent_at));
    if (c->first_event_at) {
        sample(FIRST_EVENT, (double)(c->first_event_at - c->sent_at));
    }
    sample(TOTAL, (double)(now - c->sent_at));
}

static void finish(struct connection *c, uint64_t now) {
    c->busy = 0;
    if (in_window(now)) {
        count_answer(c, now);
    }
    if (!c->keep) {
        drop(c);
    }
}

/* ---- SSE: lines, and what they say. */

static void sample_lag(const char *line, size_t length, uint64_t now) {
    const char *stamp = memmem(line, length, "ts=", 3);
    if (!stamp || stamp + 3 + STAMP_DIGITS > line + length) {
        return;
    }
    uint64_t sent = 0;
    for (int i = 0; i < STAMP_DIGITS; i++) {
        sent = sent * 10 + (uint64_t)(stamp[3 + i] - '0');
    }
    sample(LAG, (double)now - (double)sent);
}

static void take_line(struct connection *c, const char *line, size_t length, uint64_t now) {
    if (length < 5 || memcmp(line, "data:", 5)) {
        return;
    }
    if (memmem(line, length < 32 ? length : 32, "[DONE]", 6)) {
        c->done = 1;
        return;
    }
    c->events++;
    if (!c->first_event_at) {
        c->first_event_at = now;
    }
    if (in_window(now)) {
        count.events++;
        if (c->last_event_at) {
            sample(GAP, (double)(now - c->last_event_at));
        }
        sample_lag(line, length, now);
    }
    c->last_event_at = now;
}

/* Keeps the beginning of a line whose end has not come. */
static void keep_piece(struct connection *c, const char *data, size_t length) {
    size_t room = sizeof c->line - c->line_length;
    size_t kept = length < room ? length : room;
    memcpy(c->line + c->line_length, data, kept);
    c->line_length += kept;
}

static void take_payload(struct connection *c, const char *data, size_t length, uint64_t now) {
    while (option.stream && length) {
        const char *line_end = memchr(data, '\n', length);
        if (!line_end) {
            keep_piece(c, data, length);
            return;
        }
        size_t line_length = (size_t)(line_end - data);
        if (c->line_length) {
            keep_piece(c, data, line_length);
            take_line(c, c->line, c->line_length, now);
            c->line_length = 0;
        } else {
            take_line(c, data, line_length, now);
        }
        data += line_length + 1;
        length -= line_length + 1;
    }
}

/* ---- HTTP: each function takes what is its own from the front of the data and returns how many bytes that was. */

static int says_close(const char *line, const char *end) {
    const char *line_end = strstr(line, "\r\n");
    const char *word = strcasestr(line, "close");
    return word && word < (line_end ? line_end : end);
}

/* Begins the body that the head in `c->head` announces; `end` is its terminating zero. */
static void begin_body(struct connection *c, const char *end, uint64_t now) {
    long length = -1;
    int chunked = 0;
    for (const char *line = strstr(c->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) {
            length = atol(line + 15);
        } else if (!strncasecmp(line, "transfer-encoding:", 18)) {
            chunked = 1;
        } else if (!strncasecmp(line, "connection:", 11) && says_close(line, end)) {
            c->keep = 0;
        }
    }
    if (chunked) {
        c->state = CHUNK_SIZE;
    } else if (length > 0) {
        c->state = LENGTH;
        c->left = (size_t)length;
    } else if (length == 0) {
        finish(c, now);
    } else {
        c->state = TO_THE_END;
        c->keep = 0;
    }
}

static size_t take_head(struct connection *c, const char *data, size_t length, uint64_t now) {
    size_t before = c->head_length, room = sizeof c->head - before;
    size_t copied = length < room ? length : room;
    memcpy(c->head + before, data, copied);
    c->head_length += copied;
    char *end = memmem(c->head, c->head_length, "\r\n\r\n", 4);
    if (!end) {
        if (c->head_length == sizeof c->head) {
            fail(c, PARSE);
        }
        return length;
    }
    size_t used = (size_t)(end + 4 - c->head) - before;
    *end = 0;
    c->head_at = now;
    c->status = end - c->head > 9 ? atoi(c->head + 9) : 0;
    if (c->status < 100 || c->status >= MAX_STATUS) {
        fail(c, PARSE);
        return length;
    }
    if (c->status == 100) {
        c->head_length = 0;
        return used;
    }
    begin_body(c, end, now);
    return used;
}

/* Of a body or a chunk whose length is known. */
static size_t take_counted(struct connection *c, const char *data, size_t length, uint64_t now) {
    size_t used = length < c->left ? length : c->left;
    take_payload(c, data, used, now);
    c->left -= used;
    if (!c->left && c->state == LENGTH) {
        finish(c, now);
    } else if (!c->left) {
        c->state = CHUNK_END;
    }
    return used;
}

static size_t take_size(struct connection *c, char byte) {
    if (byte == '\n') {
        c->size_line[c->size_line_length] = 0;
        c->left = strtoul(c->size_line, NULL, 16);
        c->size_line_length = 0;
        c->state = c->left ? CHUNK_DATA : TRAILER;
    } else if (c->size_line_length < sizeof c->size_line - 1) {
        c->size_line[c->size_line_length++] = byte;
    }
    return 1;
}

/* Lines behind the last chunk; an empty one is the answer's end. */
static size_t take_trailer(struct connection *c, char byte, uint64_t now) {
    if (byte == '\n' && !c->size_line_length) {
        finish(c, now);
    } else if (byte == '\n') {
        c->size_line_length = 0;
    } else if (byte != '\r') {
        c->size_line_length = 1;
    }
    return 1;
}

static size_t take_some(struct connection *c, const char *data, size_t length, uint64_t now) {
    switch (c->state) {
    case HEAD:
        return take_head(c, data, length, now);
    case LENGTH:
    case CHUNK_DATA:
        return take_counted(c, data, length, now);
    case CHUNK_SIZE:
        return take_size(c, *data);
    case CHUNK_END:
        if (*data == '\n') {
            c->state = CHUNK_SIZE;
        }
        return 1;
    case TRAILER:
        return take_trailer(c, *data, now);
    case TO_THE_END:
        break;
    }
    take_payload(c, data, length, now);
    return length;
}

static void take(struct connection *c, const char *data, size_t length, uint64_t now) {
    while (length && c->busy) {
        size_t used = take_some(c, data, length, now);
        data += used;
        length -= used;
    }
    if (length) {
        failed[PARSE]++; /* bytes behind an answer's end */
    }
}

/* ---- The loop. */

static void react(struct connection *c, uint32_t events) {
    static char data[READ_BYTES];
    if (c->fd < 0) {
        return;
    }
    if (!c->connected) {
        int error = 0;
        socklen_t length = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
        if (error) {
            fail(c, CONNECT);
            return;
        }
        if (!(events & EPOLLOUT)) {
            return;
        }
        c->connected = 1;
    }
    if (events & EPOLLOUT) {
        write_request(c);
        if (c->fd < 0) {
            return;
        }
        if (c->written == request_length) {
            watch(EPOLL_CTL_MOD, c, EPOLLIN);
        }
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        return;
    }
    ssize_t got = recv(c->fd, data, sizeof data, 0);
    uint64_t now = now_ns();
    if (got > 0) {
        count.bytes += in_window(now) ? (uint64_t)got : 0;
        take(c, data, (size_t)got, now);
        if (!c->busy) {
            start(c);
        }
    } else if (got == 0 && c->busy && c->state == TO_THE_END) {
        finish(c, now);
        start(c);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        if (c->busy) {
            failed[got == 0 ? END_OF_FILE : IO]++;
        }
        drop(c);
    }
}

/* Ends what takes too long, starts anew what has failed; returns how many connections have a request under way. */
static int look_after(struct connection *all, int opened, uint64_t now) {
    int busy = 0;
    for (int i = 0; i < opened; i++) {
        struct connection *c = &all[i];
        if (c->busy && (double)(int64_t)(now - c->sent_at) > option.timeout_s * NS_PER_S_F) {
            fail(c, TIMEOUT);
        }
        if (!c->busy) {
            start(c);
        }
        busy += c->busy;
    }
    return busy;
}

/* Returns when the window or the requests are at their end; the time. */
static uint64_t run(struct connection *all) {
    struct epoll_event events[MAX_READY];
    int opened = 0;
    uint64_t ticked = 0;
    for (;;) {
        uint64_t now = now_ns();
        if (now >= window_ends) {
            return now;
        }
        while (opened < option.connections &&
               (double)(now - began) >= option.ramp_ms * NS_PER_MS * opened / option.connections) {
            start(&all[opened++]);
        }
        if (now - ticked > TICK_NS) {
            ticked = now;
            int busy = look_after(all, opened, now);
            if (option.requests && opened == option.connections && !busy) {
                return now_ns();
            }
        }
        int ready = epoll_wait(epoll_fd, events, MAX_READY, opened < option.connections ? 1 : 50);
        for (int i = 0; i < ready; i++) {
            react(events[i].data.ptr, events[i].events);
        }
    }
}

/* ---- Reports. */

struct totals {
    double seconds;
    uint64_t errors, non200, in_flight;
};

static struct totals sum_up(const struct connection *all, uint64_t ended) {
    struct totals totals = {.seconds = (double)((ended < window_ends ? ended : window_ends) - window_begins) / 1e9};
    for (int i = 0; i < option.connections; i++) {
        totals.in_flight += (uint64_t)all[i].busy;
    }
    for (int i = 0; i < FAILURES; i++) {
        totals.errors += failed[i];
    }
    for (int status = 0; status < MAX_STATUS; status++) {
        totals.non200 += status == 200 ? 0 : count.by_status[status];
    }
    for (int i = 0; i < KINDS; i++) {
        if (taken[i].length) {
            qsort(taken[i].ms, taken[i].length, sizeof *taken[i].ms, by_size);
        }
    }
    return totals;
}

static void print_json(const struct totals *totals) {
    double seconds = totals->seconds;
    printf("{\"seconds\":%.3f,\"ok\":%llu,\"rps\":%.1f,\"events_per_s\":%.1f,\"mb_per_s\":%.3f,\"errors\":%llu,"
           "\"non200\":%llu,\"connections\":%llu,\"in_flight_at_end\":%llu,\"err\":{",
           seconds, (unsigned long long)count.ok, (double)count.ok / seconds, (double)count.events / seconds,
           (double)count.bytes / seconds / 1e6, (unsigned long long)totals->errors,
           (unsigned long long)totals->non200, (unsigned long long)count.connections,
           (unsigned long long)totals->in_flight);
    for (int i = 0; i < FAILURES; i++) {
        printf("%s\"%s\":%llu", i ? "," : "", failure_json[i], (unsigned long long)failed[i]);
    }
    printf("},\"status\":{");
    for (int status = 0, shown = 0; status < MAX_STATUS; status++) {
        if (count.by_status[status]) {
            printf("%s\"%d\":%llu", shown++ ? "," : "", status, (unsigned long long)count.by_status[status]);
        }
    }
    printf("}");
    for (int i = 0; i < KINDS; i++) {
        const struct samples *s = &taken[i];
        printf(",\"%s_ms\":{\"p50\":%.4f,\"p95\":%.4f,\"p99\":%.4f,\"max\":%.4f}", s->name, quantile(s, .5),
               quantile(s, .95), quantile(s, .99), quantile(s, 1));
    }
    printf("}\n");
}

static void print_text(const struct totals *totals) {
    double seconds = totals->seconds;
    printf("%.2f s: %llu ok, %.1f req/s, %.1f events/s, %.2f MB/s, connections %llu, in flight at end %llu\n", seconds,
           (unsigned long long)count.ok, (double)count.ok / seconds, (double)count.events / seconds,
           (double)count.bytes / seconds / 1e6, (unsigned long long)count.connections,
           (unsigned long long)totals->in_flight);
    printf("errors %llu (", (unsigned long long)totals->errors);
    for (int i = 0; i < FAILURES; i++) {
        printf("%s%s %llu", i ? ", " : "", failure_text[i], (unsigned long long)failed[i]);
    }
    printf("); status");
    for (int status = 0; status < MAX_STATUS; status++) {
        if (count.by_status[status]) {
            printf(" %d:%llu", status, (unsigned long long)count.by_status[status]);
        }
    }
    printf("\n");
    for (int i = 0; i < KINDS; i++) {
        const struct samples *s = &taken[i];
        if (s->length) {
            printf("%-12s ms p50 %8.3f  p95 %8.3f  p99 %8.3f  max %8.3f\n", s->name, quantile(s, .5),
                   quantile(s, .95), quantile(s, .99), quantile(s, 1));
        }
    }
}

/* ---- The command line. */

static void add_header(const char *header) {
    size_t used = strlen(option.headers);
    if (used + strlen(header) + 3 > sizeof option.headers) {
        fprintf(stderr, "sseload: too many headers\n");
        exit(2);
    }
    snprintf(option.headers + used, sizeof option.headers - used, "%s\r\n", header);
}

static void read_option(int letter) {
    switch (letter) {
    case 'p':
        option.port = atoi(optarg);
        break;
    case 'a':
        option.host = optarg;
        break;
    case 'c':
        option.connections = atoi(optarg);
        break;
    case 'd':
        option.seconds = atof(optarg);
        break;
    case 'n':
        option.requests = strtoull(optarg, NULL, 10);
        break;
    case 'w':
        option.warm_up_s = atof(optarg);
        break;
    case 'r':
        option.ramp_ms = atof(optarg);
        break;
    case 's':
        option.stream = 1;
        break;
    case 'k':
        option.key = optarg;
        break;
    case 'P':
        option.path = optarg;
        break;
    case 'm':
        option.model = optarg;
        break;
    case 'b':
        option.body_file = optarg;
        break;
    case 'H':
        add_header(optarg);
        break;
    case 'e':
        option.expected_events = atoi(optarg);
        break;
    case 't':
        option.timeout_s = atof(optarg);
        break;
    case 'u':
        option.unique = 1;
        break;
    case 'j':
        option.json = 1;
        break;
    default:
        fprintf(stderr, "usage: see the head of sseload.c\n");
        exit(2);
    }
}

struct body {
    char *data;
    size_t length;
};

static struct body short_question(void) {
    static char data[2048];
    int length = snprintf(
        data, sizeof data,
        "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},"
        "{\"role\":\"user\",\"content\":\"Tell me in one or two sentences what a reverse proxy does, and why one would "
        "put it in front of a model server.\"}],\"max_tokens\":64,\"temperature\":0.7%s}",
        option.model, option.stream ? ",\"stream\":true" : "");
    if ((size_t)length >= sizeof data) {
        fprintf(stderr, "sseload: the model's name is too long\n");
        exit(2);
    }
    return (struct body){data, (size_t)length};
}

static struct body read_body(const char *name) {
    FILE *file = fopen(name, "rb");
    struct body body = {NULL, 0};
    size_t capacity = 0;
    do {
        capacity = capacity ? capacity * 2 : 65536;
        body.data = realloc(body.data, capacity);
        if (!file || !body.data) {
            perror("sseload: -b");
            exit(2);
        }
        body.length += fread(body.data + body.length, 1, capacity - body.length, file);
    } while (body.length == capacity);
    fclose(file);
    return body;
}

static void make_request(void) {
    struct body body = option.body_file ? read_body(option.body_file) : short_question();
    size_t capacity = body.length + sizeof option.headers + 2048;
    request = malloc(capacity);
    if (!request) {
        perror("sseload: malloc");
        exit(1);
    }
    int head_length = snprintf(request, capacity,
                               "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n%s%s%s%s"
                               "Content-Length: %zu\r\n\r\n",
                               option.path, option.host, option.port, option.key ? "Authorization: Bearer " : "",
                               option.key ? option.key : "", option.key ? "\r\n" : "", option.headers, body.length);
    if ((size_t)head_length + body.length > capacity) {
        fprintf(stderr, "sseload: the request would be too long\n");
        exit(2);
    }
    memcpy(request + head_length, body.data, body.length);
    request_length = (size_t)head_length + body.length;
    if (option.unique && !(serial = memmem(request + head_length, body.length, "00000000", SERIAL_DIGITS))) {
        fprintf(stderr, "sseload: the body has no 00000000\n");
        exit(2);
    }
}

static void set_address(void) {
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)option.port);
    if (inet_pton(AF_INET, option.host, &address.sin_addr) != 1) {
        fprintf(stderr, "sseload: -a takes an IPv4 address\n");
        exit(2);
    }
}

int main(int argc, char **argv) {
    for (int letter; (letter = getopt(argc, argv, "p:a:c:d:n:w:r:sk:P:m:b:H:e:t:uj")) != -1;) {
        read_option(letter);
    }
    set_address();
    make_request();
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(0);
    struct connection *all = calloc((size_t)option.connections, sizeof *all);
    if (!all) {
        perror("sseload: calloc");
        return 1;
    }
    for (int i = 0; i < option.connections; i++) {
        all[i].fd = -1;
    }
    began = now_ns();
    window_begins = began + (uint64_t)(option.warm_up_s * NS_PER_S_F);
    window_ends = option.requests ? UINT64_MAX : window_begins + (uint64_t)(option.seconds * NS_PER_S_F);

    uint64_t ended = run(all);
    struct totals totals = sum_up(all, ended);
    if (option.json) {
        print_json(&totals);
    } else {
        print_text(&totals);
    }
    for (int i = 0; i < KINDS; i++) {
        free(taken[i].ms);
    }
    free(all);
    return totals.errors || totals.non200 ? 1 : 0;
}
