/* mock.c - a model server that does no work, so that what is measured is the gateway in front of it.
 *
 *   cc -O2 -o mock mock.c
 *   ./mock [-p port] [-n events] [-d ms_between_events] [-f ms_before_the_answer] [-b events_per_write] [-m model]
 *          [-e embedding_model]
 *
 * One thread, epoll, HTTP/1.1 with keep-alive, on 127.0.0.1 (port 9000 unless told otherwise).
 *
 *   POST /v1/chat/completions, /v1/completions   JSON of about 750 bytes, or SSE when the body has "stream": true.
 *                                                Usage events come as stream_options ask for them.
 *   POST /v1/embeddings                          256 vectors of 384 numbers: about 1 MB, whatever was asked.
 *   GET  /health, /v1/models, /metrics           enough for a gateway to find it well.
 *   GET  /_stats                                 counters, as JSON.
 *   GET  /_set?n=&d=&f=&b=                       changes the flags while it runs; answers like /_stats.
 *
 * Every event carries "ts=" and CLOCK_MONOTONIC in ns (17 digits), so that a client on the same host can tell how long
 * it was under way. A peer that closes before its answer is complete is counted as aborted, with the time. */
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
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_READY = 512,       /* readiness events taken from the kernel at once */
    MAX_HEAD = 65536,      /* bytes of a request's head before it counts as bad */
    MAX_CHUNK = 1 << 28,   /* bytes of one chunk of a request's body before it counts as bad */
    MAX_MODEL = 128,       /* characters of a model's name: the fixed buffers below have room for it */
    FIRST_INPUT = 4096,    /* bytes of a new connection's input buffer; it doubles as needed */
    VECTORS = 256,         /* of an embeddings answer */
    DIMENSIONS = 384,
    NUMBER_LENGTH = 11,    /* bytes of one number of a vector, its comma included */
};

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000.0
#define ANSWER_ID "chatcmpl-4f1d0c9be2a84b0c9be2a84b0c9be2a8"

enum state { IDLE, WAIT_JSON, WAIT_STREAM, STREAM };
enum usage { USAGE_NONE, USAGE_LAST, USAGE_EVERY }; /* no usage event, one at the end, one on every event besides */

struct text {
    char *data;
    size_t length;
};

struct connection {
    int fd;
    enum state state;
    const struct text *whole; /* the answer, when it is no stream */
    enum usage usage;
    int events;           /* of this answer */
    int left;             /* events of it that are still to be sent */
    uint64_t delay;       /* ns between two of them */
    uint64_t due;         /* when the next step is to be taken, while it is in the heap */
    int heap_index;       /* -1: not in the heap */
    int wants_out;        /* the socket was full: epoll tells when it is not */
    int last_request;     /* the client said "Connection: close" */
    int dead;             /* closed, and to be freed after this round */
    char *in;
    size_t in_length, in_capacity;
    char *out;
    size_t out_length, out_sent, out_capacity;
};

struct request {
    const char *method, *path, *body;
    size_t method_length, path_length, body_length;
    size_t total; /* bytes of the whole request */
};

static struct {
    int events;       /* -n */
    uint64_t delay;   /* -d, in ns */
    uint64_t first;   /* -f, in ns */
    int burst;        /* -b */
    const char *model;
    const char *embedder; /* the model's name in /v1/embeddings, listed beside the other one */
} option = {.events = 64, .burst = 1, .model = "mock-model", .embedder = "mock-embedder"};

static struct {
    uint64_t requests, streams, started, done, aborted, last_abort_ns, accepted, bad, events;
    int last_abort_left, connections;
} count;

static int epoll_fd, timer_fd;
static struct connection **heap;
static int heap_length, heap_capacity;
static struct connection **grave; /* closed in this round: an event of the same round may still point to them */
static int grave_length, grave_capacity;
static struct text chat_answer, embeddings_answer; /* heads included */

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void *grown(void *block, size_t bytes) {
    void *larger = realloc(block, bytes);
    if (!larger) {
        perror("mock: realloc");
        exit(1);
    }
    return larger;
}

/* ---- The heap: connections by the time of their next step, the earliest first. */

static void heap_put(int index, struct connection *c) {
    heap[index] = c;
    c->heap_index = index;
}

static void heap_up(int index) {
    struct connection *c = heap[index];
    while (index && heap[(index - 1) / 2]->due > c->due) {
        heap_put(index, heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    heap_put(index, c);
}

static void heap_down(int index) {
    struct connection *c = heap[index];
    for (int child; (child = 2 * index + 1) < heap_length; index = child) {
        if (child + 1 < heap_length && heap[child + 1]->due < heap[child]->due) {
            child++;
        }
        if (heap[child]->due >= c->due) {
            break;
        }
        heap_put(index, heap[child]);
    }
    heap_put(index, c);
}

static void heap_add(struct connection *c) {
    if (heap_length == heap_capacity) {
        heap_capacity = heap_capacity ? heap_capacity * 2 : 1024;
        heap = grown(heap, (size_t)heap_capacity * sizeof *heap);
    }
    heap[heap_length] = c;
    c->heap_index = heap_length++;
    heap_up(c->heap_index);
}

static void heap_remove(struct connection *c) {
    int index = c->heap_index;
    if (index < 0) {
        return;
    }
    c->heap_index = -1;
    struct connection *last = heap[--heap_length];
    if (last == c) {
        return;
    }
    heap_put(index, last);
    heap_up(index);
    heap_down(last->heap_index);
}

/* Sets the timer to the earliest step; 0 turns it off. */
static void arm_timer(void) {
    static uint64_t armed;
    uint64_t due = heap_length ? heap[0]->due : 0;
    if (due == armed) {
        return;
    }
    armed = due;
    struct itimerspec at = {.it_value = {(time_t)(due / NS_PER_S), (long)(due % NS_PER_S)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* ---- Output. */

static void watch(int operation, int fd, uint32_t events, void *whose) {
    struct epoll_event event = {events, {.ptr = whose}};
    epoll_ctl(epoll_fd, operation, fd, &event);
}

static void put(struct connection *c, const char *data, size_t length) {
    if (c->out_sent && c->out_sent == c->out_length) {
        c->out_sent = c->out_length = 0;
    }
    if (c->out_length + length > c->out_capacity) {
        c->out_capacity = (c->out_length + length) * 2;
        c->out = grown(c->out, c->out_capacity);
    }
    memcpy(c->out + c->out_length, data, length);
    c->out_length += length;
}

static void put_chunk(struct connection *c, const char *data, size_t length) {
    char size[24];
    int digits = snprintf(size, sizeof size, "%zx\r\n", length);
    put(c, size, (size_t)digits);
    put(c, data, length);
    put(c, "\r\n", 2);
}

static void close_connection(struct connection *c) {
    if (c->dead) {
        return;
    }
    if (c->state != IDLE) {
        count.aborted++;
        count.last_abort_ns = now_ns();
        count.last_abort_left = c->left;
    }
    heap_remove(c);
    close(c->fd);
    c->dead = 1;
    count.connections--;
    if (grave_length == grave_capacity) {
        grave_capacity = grave_capacity ? grave_capacity * 2 : 64;
        grave = grown(grave, (size_t)grave_capacity * sizeof *grave);
    }
    grave[grave_length++] = c;
}

enum flushed { CLOSED = -1, ALL_WRITTEN = 0, SOCKET_FULL = 1 };

static enum flushed flush(struct connection *c) {
    while (c->out_sent < c->out_length) {
        ssize_t written = send(c->fd, c->out + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL);
        if (written >= 0) {
            c->out_sent += (size_t)written;
        } else if (errno == EAGAIN) {
            if (!c->wants_out) {
                watch(EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLRDHUP | EPOLLOUT, c);
                c->wants_out = 1;
            }
            return SOCKET_FULL;
        } else if (errno != EINTR) {
            close_connection(c);
            return CLOSED;
        }
    }
    c->out_sent = c->out_length = 0;
    if (c->wants_out) {
        watch(EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLRDHUP, c);
        c->wants_out = 0;
    }
    return ALL_WRITTEN;
}

static const char *usage_text(int tokens) {
    static char text[96];
    snprintf(text, sizeof text, ",\"usage\":{\"prompt_tokens\":30,\"total_tokens\":%d,\"completion_tokens\":%d}",
             30 + tokens, tokens);
    return text;
}

#define EVENT_HEAD \
    "data: {\"id\":\"" ANSWER_ID "\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"%s\","

static void put_event(struct connection *c) {
    char event[768];
    int index = c->events - c->left;
    int length = snprintf(event, sizeof event,
                          EVENT_HEAD "\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\" ts=%017llu\"},"
                                     "\"logprobs\":null,\"finish_reason\":%s}]%s}\n\n",
                          option.model, index ? "" : "\"role\":\"assistant\",", (unsigned long long)now_ns(),
                          c->left == 1 ? "\"stop\"" : "null", c->usage == USAGE_EVERY ? usage_text(index + 1) : "");
    put_chunk(c, event, (size_t)length);
    c->left--;
    count.events++;
}

static void put_usage_event(struct connection *c) {
    char event[512];
    int length = snprintf(event, sizeof event, EVENT_HEAD "\"choices\":[]%s}\n\n", option.model, usage_text(c->events));
    put_chunk(c, event, (size_t)length);
}

static void put_end(struct connection *c) {
    static const char end[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    if (c->usage) {
        put_usage_event(c);
    }
    put(c, end, sizeof end - 1);
    c->state = IDLE;
    count.done++;
}

/* Sends what is due now: the JSON answer, or the stream's head and its next events. */
static enum flushed step(struct connection *c) {
    static const char head[] = "HTTP/1.1 200 OK\r\nserver: mock\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                               "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";
    if (c->state == WAIT_JSON) {
        put(c, c->whole->data, c->whole->length);
        c->state = IDLE;
        count.done++;
        if (c->last_request) {
            shutdown(c->fd, SHUT_RD); /* the end of input that follows closes the connection, after the answer */
        }
        return flush(c);
    }
    if (c->state == WAIT_STREAM) {
        put(c, head, sizeof head - 1);
        c->state = STREAM;
    }
    while (c->state == STREAM) {
        for (int n = c->delay ? 1 : option.burst; n > 0 && c->left > 0; n--) {
            put_event(c);
        }
        if (c->left == 0) {
            put_end(c);
        }
        enum flushed result = flush(c);
        if (result == CLOSED) {
            return CLOSED;
        }
        if (c->state == STREAM && c->delay) {
            c->due += c->delay;
            heap_add(c);
            return result;
        }
        if (result == SOCKET_FULL) {
            return SOCKET_FULL;
        }
    }
    return ALL_WRITTEN;
}

/* ---- Requests and their answers. */

static void answer(struct connection *c, const char *body) {
    char head[160];
    size_t length = strlen(body);
    int head_length = snprintf(head, sizeof head,
                               "HTTP/1.1 200 OK\r\nserver: mock\r\ncontent-type: application/json\r\n"
                               "content-length: %zu\r\n\r\n",
                               length);
    put(c, head, (size_t)head_length);
    put(c, body, length);
    flush(c);
}

static int begins(const char *text, size_t length, const char *with) {
    size_t needed = strlen(with);
    return length >= needed && !memcmp(text, with, needed);
}

static int contains(const char *text, size_t length, const char *what) {
    return memmem(text, length, what, strlen(what)) != NULL;
}

/* 1 when the body has the key (its quotes included) with the value true. */
static int is_true(const struct request *r, const char *key) {
    const char *end = r->body + r->body_length;
    const char *at = memmem(r->body, r->body_length, key, strlen(key));
    if (!at) {
        return 0;
    }
    for (at += strlen(key); at < end && (*at == ' ' || *at == ':');) {
        at++;
    }
    return begins(at, (size_t)(end - at), "true");
}

static enum usage usage_wanted(const struct request *r) {
    if (!is_true(r, "\"include_usage\"")) {
        return USAGE_NONE;
    }
    return is_true(r, "\"continuous_usage_stats\"") ? USAGE_EVERY : USAGE_LAST;
}

static void complete(struct connection *c, const struct request *r, const struct text *whole) {
    int stream = whole == &chat_answer && is_true(r, "\"stream\"");
    c->whole = whole;
    c->usage = stream ? usage_wanted(r) : USAGE_NONE;
    c->events = c->left = stream ? option.events : 0;
    c->delay = option.delay;
    c->state = stream ? WAIT_STREAM : WAIT_JSON;
    c->due = now_ns();
    count.streams += (uint64_t)stream;
    count.started++;
    if (option.first) {
        c->due += option.first;
        heap_add(c);
    } else {
        step(c);
    }
}

static void set_option(char name, double value) {
    switch (name) {
    case 'n':
        option.events = (int)value;
        break;
    case 'd':
        option.delay = (uint64_t)(value * NS_PER_MS);
        break;
    case 'f':
        option.first = (uint64_t)(value * NS_PER_MS);
        break;
    case 'b':
        option.burst = value < 1 ? 1 : (int)value;
        break;
    default:
        break;
    }
}

static void set_options(const char *query, size_t length) {
    char copy[200], *rest;
    snprintf(copy, sizeof copy, "%.*s", (int)length, query);
    for (char *pair = strtok_r(copy, "&", &rest); pair; pair = strtok_r(NULL, "&", &rest)) {
        set_option(pair[0], pair[0] && pair[1] ? atof(pair + 2) : 0);
    }
}

static void answer_stats(struct connection *c) {
    char body[1024];
    snprintf(body, sizeof body,
             "{\"requests\":%llu,\"streams\":%llu,\"done\":%llu,\"aborted\":%llu,\"last_abort_ns\":%llu,"
             "\"last_abort_left\":%d,\"accepted\":%llu,\"conns\":%d,\"active\":%llu,\"bad\":%llu,\"events\":%llu,"
             "\"n\":%d,\"delay_ns\":%llu,\"first_ns\":%llu,\"burst\":%d,\"now_ns\":%llu}",
             (unsigned long long)count.requests, (unsigned long long)count.streams, (unsigned long long)count.done,
             (unsigned long long)count.aborted, (unsigned long long)count.last_abort_ns, count.last_abort_left,
             (unsigned long long)count.accepted, count.connections,
             (unsigned long long)(count.started - count.done - count.aborted), (unsigned long long)count.bad,
             (unsigned long long)count.events, option.events, (unsigned long long)option.delay,
             (unsigned long long)option.first, option.burst, (unsigned long long)now_ns());
    answer(c, body);
}

#define LISTED_MODEL                                                                                                   \
    "{\"id\":\"%s\",\"object\":\"model\",\"created\":1790000000,"                                                        \
    "\"owned_by\":\"vllm\",\"root\":\"%s\",\"parent\":null,\"max_model_len\":8192}"

/* What gateways ask before they trust a server. */
static void answer_probe(struct connection *c, const struct request *r) {
    char body[1024];
    const char *model = option.model;
    if (contains(r->path, r->path_length, "/models")) {
        snprintf(body, sizeof body, "{\"object\":\"list\",\"data\":[" LISTED_MODEL "," LISTED_MODEL "]}", model, model,
                 option.embedder, option.embedder);
    } else if (contains(r->path, r->path_length, "info")) {
        snprintf(body, sizeof body,
                 "{\"model_path\":\"%s\",\"served_model_name\":\"%s\",\"tokenizer_path\":\"%s\","
                 "\"is_generation\":true,\"dp_size\":1,\"tp_size\":1,\"version\":\"0.0.0\"}",
                 model, model, model);
    } else if (r->path_length == 8 && begins(r->path, r->path_length, "/metrics")) {
        snprintf(body, sizeof body, "# no metrics\n");
    } else {
        snprintf(body, sizeof body, "{\"status\":\"ok\"}");
    }
    answer(c, body);
}

static void handle(struct connection *c, const struct request *r) {
    count.requests++;
    if (r->method_length == 4 && begins(r->method, r->method_length, "POST")) {
        if (contains(r->path, r->path_length, "completions")) {
            complete(c, r, &chat_answer);
        } else if (contains(r->path, r->path_length, "embeddings")) {
            complete(c, r, &embeddings_answer);
        } else {
            answer(c, "{}");
        }
        return;
    }
    if (begins(r->path, r->path_length, "/_set?")) {
        set_options(r->path + 6, r->path_length - 6);
    }
    if (begins(r->path, r->path_length, "/_")) {
        answer_stats(c);
    } else {
        answer_probe(c, r);
    }
}

/* ---- Input. */

enum parsed { BAD = -1, INCOMPLETE = 0, WHOLE = 1 };

/* Walks over a chunked body that begins at `at`. With `joined` its chunks are moved together there.
 * Sets `r->total`, and `r->body_length` to the sum of the chunks. */
static enum parsed walk_chunks(struct connection *c, size_t at, char *joined, struct request *r) {
    r->body_length = 0;
    for (;;) {
        char *line_end = memmem(c->in + at, c->in_length - at, "\r\n", 2);
        if (!line_end) {
            return INCOMPLETE;
        }
        size_t size = strtoul(c->in + at, NULL, 16);
        size_t data = (size_t)(line_end + 2 - c->in);
        if (size > MAX_CHUNK) {
            return BAD;
        }
        if (c->in_length < data + size + 2) {
            return INCOMPLETE;
        }
        if (joined) {
            memmove(joined + r->body_length, c->in + data, size);
        }
        r->body_length += size;
        at = data + size + 2;
        if (!size) {
            r->total = at;
            return WHOLE;
        }
    }
}

struct framing {
    size_t content_length;
    int chunked;
};

/* Reads the header lines that decide; `end` is the empty line behind them. */
static struct framing read_headers(struct connection *c, const char *end, size_t head_length) {
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct framing framing = {0, 0};
    c->last_request = 0;
    const char *line = memmem(c->in, head_length, "\r\n", 2);
    while (line && line < end) {
        line += 2;
        if (!strncasecmp(line, "content-length:", 15)) {
            framing.content_length = strtoul(line + 15, NULL, 10);
        } else if (!strncasecmp(line, "transfer-encoding:", 18)) {
            framing.chunked = 1;
        } else if (!strncasecmp(line, "connection: close", 17)) {
            c->last_request = 1;
        } else if (!strncasecmp(line, "expect:", 7) && c->in_length == head_length) {
            put(c, go_on, sizeof go_on - 1);
        }
        line = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
    }
    return framing;
}

static enum parsed read_request(struct connection *c, struct request *r) {
    char *end = memmem(c->in, c->in_length, "\r\n\r\n", 4);
    if (!end) {
        return c->in_length > MAX_HEAD ? BAD : INCOMPLETE;
    }
    size_t head_length = (size_t)(end + 4 - c->in);
    char *blank = memchr(c->in, ' ', head_length);
    char *second_blank = blank ? memchr(blank + 1, ' ', (size_t)(end + 4 - (blank + 1))) : NULL;
    if (!second_blank) {
        return BAD;
    }
    struct framing framing = read_headers(c, end, head_length);
    *r = (struct request){
        .method = c->in,
        .method_length = (size_t)(blank - c->in),
        .path = blank + 1,
        .path_length = (size_t)(second_blank - (blank + 1)),
        .body = c->in + head_length,
        .body_length = framing.content_length,
        .total = head_length + framing.content_length,
    };
    if (!framing.chunked) {
        return c->in_length < r->total ? INCOMPLETE : WHOLE;
    }
    enum parsed result = walk_chunks(c, head_length, NULL, r); /* is it whole? Only then may it be moved */
    return result == WHOLE ? walk_chunks(c, head_length, c->in + head_length, r) : result;
}

/* Answers as many whole requests as have come, one after the other. */
static void serve(struct connection *c) {
    while (!c->dead && c->state == IDLE && c->out_sent == c->out_length && c->in_length) {
        struct request request;
        enum parsed result = read_request(c, &request);
        if (result == BAD) {
            count.bad++;
            close_connection(c);
            return;
        }
        if (result == INCOMPLETE) {
            flush(c); /* of a 100 Continue */
            return;
        }
        handle(c, &request);
        if (!c->dead) {
            memmove(c->in, c->in + request.total, c->in_length - request.total);
            c->in_length -= request.total;
        }
    }
}

static void receive(struct connection *c) {
    if (c->in_length == c->in_capacity) {
        c->in = grown(c->in, c->in_capacity *= 2);
    }
    ssize_t got = recv(c->fd, c->in + c->in_length, c->in_capacity - c->in_length, 0);
    if (got > 0) {
        c->in_length += (size_t)got;
        serve(c);
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_connection(c);
    }
}

/* ---- The loop. */

static void accept_all(int listener) {
    static const int one = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = grown(NULL, sizeof *c);
        *c = (struct connection){.fd = fd, .heap_index = -1, .in_capacity = FIRST_INPUT};
        c->in = grown(NULL, FIRST_INPUT);
        count.accepted++;
        count.connections++;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP, c);
    }
}

static void take_due_steps(void) {
    uint64_t expirations;
    if (read(timer_fd, &expirations, sizeof expirations) < 0) {
        return; /* armed anew since it fired: it will fire again */
    }
    uint64_t now = now_ns();
    while (heap_length && heap[0]->due <= now) {
        struct connection *c = heap[0];
        heap_remove(c);
        if (step(c) == ALL_WRITTEN && c->state == IDLE) {
            serve(c);
        }
    }
}

static void react(struct connection *c, uint32_t events) {
    if (c->dead) {
        return;
    }
    if (events & (EPOLLERR | EPOLLHUP)) {
        close_connection(c);
        return;
    }
    if (events & EPOLLOUT && flush(c) == ALL_WRITTEN) {
        if (c->state == STREAM && c->heap_index < 0) {
            step(c);
        }
        if (!c->dead && c->state == IDLE) {
            serve(c);
        }
    }
    if (c->dead) {
        return;
    }
    if (events & EPOLLIN) {
        receive(c);
    } else if (events & EPOLLRDHUP) {
        close_connection(c);
    }
}

static void bury(void) {
    while (grave_length) {
        struct connection *c = grave[--grave_length];
        free(c->in);
        free(c->out);
        free(c);
    }
}

static int listen_on(int port) {
    static const int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (const struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("mock: bind");
        exit(1);
    }
    return listener;
}

/* An answer of 200 with a JSON body, as it goes over the wire. */
static struct text whole_answer(const char *body, size_t length) {
    struct text text = {grown(NULL, length + 200), 0};
    int head_length = sprintf(text.data,
                              "HTTP/1.1 200 OK\r\nserver: mock\r\ncontent-type: application/json\r\n"
                              "content-length: %zu\r\n\r\n",
                              length);
    memcpy(text.data + head_length, body, length);
    text.length = (size_t)head_length + length;
    return text;
}

static void make_chat_answer(void) {
    char body[1200];
    int length = snprintf(
        body, sizeof body,
        "{\"id\":\"" ANSWER_ID "\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"%s\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"The quick brown fox jumps over "
        "the lazy dog while the gateway counts every byte that passes by, so that the numbers on the wire are the "
        "same for each of the peers that we compare.\",\"refusal\":null,\"reasoning_content\":null,"
        "\"tool_calls\":[]},\"logprobs\":null,\"finish_reason\":\"stop\",\"stop_reason\":null}],"
        "\"service_tier\":null,\"system_fingerprint\":null,\"usage\":{\"prompt_tokens\":12,\"total_tokens\":52,"
        "\"completion_tokens\":40,\"prompt_tokens_details\":null},\"prompt_logprobs\":null}",
        option.model);
    chat_answer = whole_answer(body, (size_t)length);
}

static void make_embeddings_answer(void) {
    char *body = grown(NULL, VECTORS * (DIMENSIONS * NUMBER_LENGTH + 100) + MAX_MODEL + 200);
    char *at = body;
    at += sprintf(at, "{\"id\":\"embd-1\",\"object\":\"list\",\"created\":1790000000,\"model\":\"%s\",", option.embedder);
    at += sprintf(at, "\"data\":[");
    for (int vector = 0; vector < VECTORS; vector++) {
        at += sprintf(at, "%s{\"index\":%d,\"object\":\"embedding\",\"embedding\":[", vector ? "," : "", vector);
        for (int i = 0; i < DIMENSIONS; i++) {
            at += sprintf(at, "%s0.%08d", i ? "," : "", 10000000 + (vector * DIMENSIONS + i) * 7919 % 90000000);
        }
        at += sprintf(at, "]}");
    }
    at += sprintf(at, "],\"usage\":{\"prompt_tokens\":2560,\"total_tokens\":2560,\"completion_tokens\":0}}");
    embeddings_answer = whole_answer(body, (size_t)(at - body));
    free(body);
}

/* Returns the port; ends the process when the command line makes no sense. */
static int read_command_line(int argc, char **argv) {
    int port = 9000;
    for (int letter; (letter = getopt(argc, argv, "p:n:d:f:b:m:e:")) != -1;) {
        switch (letter) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'm':
            option.model = optarg;
            break;
        case 'e':
            option.embedder = optarg;
            break;
        case '?':
            fprintf(stderr, "usage: mock [-p port] [-n events] [-d ms_between_events] [-f ms_before_the_answer] "
                            "[-b events_per_write] [-m model] [-e embedding_model]\n");
            exit(2);
        default:
            set_option((char)letter, atof(optarg));
        }
    }
    if (strlen(option.model) > MAX_MODEL || strlen(option.embedder) > MAX_MODEL) {
        fprintf(stderr, "mock: a model's name has at most %d characters\n", MAX_MODEL);
        exit(2);
    }
    return port;
}

int main(int argc, char **argv) {
    int port = read_command_line(argc, argv);
    make_chat_answer();
    make_embeddings_answer();
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on(port);
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    watch(EPOLL_CTL_ADD, timer_fd, EPOLLIN, &timer_fd);
    for (;;) {
        struct epoll_event events[MAX_READY];
        arm_timer();
        int ready = epoll_wait(epoll_fd, events, MAX_READY, -1);
        for (int i = 0; i < ready; i++) {
            void *whose = events[i].data.ptr;
            if (whose == &listener) {
                accept_all(listener);
            } else if (whose == &timer_fd) {
                take_due_steps();
            } else {
                react(whose, events[i].events);
            }
        }
        bury();
    }
}
