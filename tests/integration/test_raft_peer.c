/* A Raft node with the smallest state machine that can show a loss: a set of numbers, a count and a hash over the order. Run by test_raft_cluster,
 * one process per node; commands come on stdin, answers go to stdout, one line each.
 *   bootstrap DIR ID ADDRESS...          run DIR THRESHOLD TRAILING [CERTIFICATE KEY AUTHORITY]; 0: the default
 *   put N [BYTES] -> "put N STATUS INDEX COUNT"   burst FROM N [BYTES] -> "burst ACKED"   count -> "count N HASH"   missing FROM N -> "missing K"
 *   leader -> "leader ROLE TERM ID"       transfer ID -> "transfer STATUS"   counters -> "counters RESTORED DROPPED"
 *   reload -> "reload STATUS"   refused -> "refused CERTIFICATE HELLO"   log -> "log LAST_INDEX"   quit */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "raft/node_uv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBERS_MAX 65536
#define BURST_WINDOW 16

struct peer {
    uv_loop_t loop;
    uv_pipe_t input;
    uv_timer_t retry;
    char line[512];
    size_t line_used;
    struct node_uv *node;
    struct tls_context *tls;
    uint64_t count;
    uint32_t hash;
    uint8_t seen[NUMBERS_MAX / 8];
    uint32_t burst_next, burst_end, burst_acked, burst_open, burst_bytes;
    uint8_t burst_again[NUMBERS_MAX / 8]; /* answered without a yes: proposed again */
    bool bursting;
    uint64_t refused; /* by admit */
    bool closing;
};

static size_t on_apply(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length, uint8_t *outcome)
{
    struct peer *p = ctx;
    struct reader r;
    struct writer w;
    (void)index, (void)term;
    reader_init(&r, bytes, length);
    uint32_t number = reader_u32(&r);
    if (reader_ok(&r) && number < NUMBERS_MAX && !(p->seen[number / 8] & (1u << number % 8))) {
        p->seen[number / 8] = (uint8_t)(p->seen[number / 8] | (1u << number % 8));
        p->count++;
        p->hash = crc32c(p->hash, &number, sizeof number);
    }
    writer_init(&w, outcome, OUTCOME_MAX_BYTES);
    writer_u64(&w, p->count);
    return w.used;
}

static enum status on_snapshot(void *ctx, uint8_t *out, size_t capacity, size_t *used)
{
    struct peer *p = ctx;
    struct writer w;
    writer_init(&w, out, capacity);
    writer_u64(&w, p->count);
    writer_u32(&w, p->hash);
    writer_bytes(&w, p->seen, sizeof p->seen);
    *used = w.used;
    return writer_ok(&w) ? STATUS_OK : STATUS_FULL;
}

static enum status on_restore(void *ctx, uint64_t index, uint64_t term, const uint8_t *bytes, size_t length)
{
    struct peer *p = ctx;
    struct reader r;
    (void)index, (void)term;
    reader_init(&r, bytes, length);
    p->count = reader_u64(&r);
    p->hash = reader_u32(&r);
    reader_bytes(&r, p->seen, sizeof p->seen);
    return reader_done(&r) ? STATUS_OK : STATUS_CORRUPT;
}

static void on_fatal(void *ctx, const char *reason)
{
    (void)ctx;
    fprintf(stderr, "fatal: %s\n", reason);
    _exit(42);
}

static void on_leadership(void *ctx, const struct rnode_leadership *now)
{
    (void)ctx, (void)now;
}

/* Numbers from 60000 on are refused at the leader: what `admit` says must reach the submitter. */
static enum status on_admit(void *ctx, node_id from, uint8_t *bytes, size_t *length, size_t capacity)
{
    struct reader r;
    (void)ctx, (void)from, (void)capacity;
    reader_init(&r, bytes, *length);
    return reader_u32(&r) < 60000 ? STATUS_OK : STATUS_REFUSED;
}

static enum status submit(struct peer *p, uint32_t number, size_t length, forward_cb done, void *ctx)
{
    static uint8_t bytes[RNODE_PAYLOAD_MAX_BYTES]; /* the number, then what makes it long */
    struct writer w;
    writer_init(&w, bytes, sizeof bytes);
    writer_u32(&w, number);
    return forward_submit(node_uv_forward(p->node), bytes, length, 2000, done, ctx);
}

struct put {
    struct peer *peer;
    uint32_t number;
};

static void on_put(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    struct put *put = ctx;
    struct reader r;
    reader_init(&r, outcome, length);
    printf("put %u %s %" PRIu64 " %" PRIu64 "\n", put->number, status_word(status), index, reader_u64(&r));
    free(put);
}

static void put(struct peer *p, uint32_t number, size_t length)
{
    struct put *put = malloc(sizeof *put);
    *put = (struct put){ .peer = p, .number = number };
    enum status status = submit(p, number, length, on_put, put);
    if (status != STATUS_OK) {
        printf("put %u %s 0 0\n", number, status_word(status));
        free(put);
    }
}

static void burst_go(struct peer *p);

static void on_retry(uv_timer_t *timer)
{
    burst_go(timer->data);
}

static void on_burst(void *ctx, enum status status, uint64_t index, const uint8_t *outcome, size_t length)
{
    struct put *put = ctx;
    struct peer *p = put->peer;
    (void)index, (void)outcome, (void)length;
    p->burst_open--;
    if (status == STATUS_OK)
        p->burst_acked++;
    else
        p->burst_again[put->number / 8] = (uint8_t)(p->burst_again[put->number / 8] | (1u << put->number % 8));
    free(put);
    if (!p->closing)
        burst_go(p);
}

static bool burst_one(struct peer *p, uint32_t number)
{
    struct put *put = malloc(sizeof *put);
    *put = (struct put){ .peer = p, .number = number };
    if (submit(p, number, p->burst_bytes, on_burst, put) != STATUS_OK) {
        free(put);
        uv_timer_start(&p->retry, on_retry, 20, 0);
        return false;
    }
    p->burst_open++;
    return true;
}

static void burst_go(struct peer *p)
{
    for (uint32_t n = 0; n < p->burst_next && p->burst_open < BURST_WINDOW; n++)
        if (p->burst_again[n / 8] & (1u << n % 8)) {
            if (!burst_one(p, n))
                return;
            p->burst_again[n / 8] = (uint8_t)(p->burst_again[n / 8] & ~(1u << n % 8));
        }
    while (p->burst_next < p->burst_end && p->burst_open < BURST_WINDOW) {
        if (!burst_one(p, p->burst_next))
            return;
        p->burst_next++;
    }
    if (p->bursting && p->burst_open == 0 && p->burst_next == p->burst_end) {
        p->bursting = false;
        printf("burst %u\n", p->burst_acked);
    }
}

static void on_input_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void on_node_closed(void *ctx)
{
    struct peer *p = ctx;
    node_uv_destroy(p->node);
    p->node = NULL;
}

static void quit(struct peer *p)
{
    if (p->closing)
        return;
    p->closing = true;
    uv_close((uv_handle_t *)&p->input, on_input_closed);
    uv_close((uv_handle_t *)&p->retry, on_input_closed);
    node_uv_close(p->node, on_node_closed, p);
}

static void command(struct peer *p, const char *line)
{
    unsigned a = 0, b = 0, bytes = 4;
    struct rnode *rnode = node_uv_rnode(p->node);
    if (sscanf(line, "put %u %u", &a, &bytes) >= 1) {
        put(p, a, bytes);
    } else if (sscanf(line, "burst %u %u %u", &a, &b, &bytes) >= 2) {
        p->burst_bytes = bytes;
        p->burst_next = a;
        p->burst_end = a + b;
        p->burst_acked = 0;
        p->bursting = true;
        burst_go(p);
    } else if (strcmp(line, "count") == 0) {
        printf("count %" PRIu64 " %08x\n", p->count, p->hash);
    } else if (sscanf(line, "missing %u %u", &a, &b) == 2) {
        unsigned missing = 0;
        for (unsigned n = a; n < a + b; n++)
            missing += !(p->seen[n / 8] & (1u << n % 8));
        printf("missing %u\n", missing);
    } else if (strcmp(line, "leader") == 0) {
        struct rnode_leadership now = rnode_leadership(rnode);
        printf("leader %s %" PRIu64 " %" PRIu64 "\n", rnode_role_word(now.role), now.term, now.leader);
    } else if (strcmp(line, "log") == 0) {
        printf("log %" PRIu64 "\n", rnode_last_index(rnode));
    } else if (sscanf(line, "transfer %u", &a) == 1) {
        printf("transfer %s\n", status_word(rnode_transfer(rnode, a, NULL)));
    } else if (strcmp(line, "counters") == 0) {
        struct rnode_counters c = rnode_counters(rnode);
        printf("counters %" PRIu64 " %" PRIu64 "\n", c.snapshots_restored, c.install_snapshots_dropped);
    } else if (strcmp(line, "reload") == 0) {
        struct error err = ERROR_NONE;
        printf("reload %s\n", status_word(tls_context_reload(p->tls, &err)));
    } else if (strcmp(line, "refused") == 0) {
        struct transport_counters c = node_uv_counters(p->node);
        printf("refused %" PRIu64 " %" PRIu64 "\n", c.refused_certificate, c.refused_hello);
    } else if (strcmp(line, "quit") == 0) {
        quit(p);
    } else {
        printf("what? %s\n", line);
    }
}

static void on_input_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct peer *p = handle->data;
    (void)suggested;
    *buf = uv_buf_init(p->line + p->line_used, (unsigned)(sizeof p->line - 1 - p->line_used));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct peer *p = stream->data;
    (void)buf;
    if (n < 0) {
        quit(p);
        return;
    }
    p->line_used += (size_t)n;
    p->line[p->line_used] = '\0';
    for (char *end; !p->closing && (end = strchr(p->line, '\n')) != NULL;) {
        *end = '\0';
        command(p, p->line);
        p->line_used -= (size_t)(end + 1 - p->line);
        memmove(p->line, end + 1, p->line_used + 1);
    }
}

static int bootstrap(int argc, char **argv)
{
    struct rnode_member members[NODES_MAX] = { 0 };
    struct error err;
    size_t count = 0;
    for (int i = 4; i < argc && count < NODES_MAX; i++, count++) {
        members[count].id = count + 1;
        members[count].voter = true;
        text_copy(members[count].address, sizeof members[count].address, argv[i]);
    }
    enum status status = storage_uv_bootstrap(argv[2], members, count, (node_id)atoi(argv[3]), &err);
    if (status != STATUS_OK)
        fprintf(stderr, "bootstrap: %s: %s\n", status_word(status), err.text);
    return (int)status;
}

static enum node_standing standing(void *ctx, node_id id)
{
    (void)ctx, (void)id;
    return NODE_REMOVED; /* whoever is not in Raft's list */
}

static void on_removed(void *ctx, node_id told_by)
{
    (void)ctx, (void)told_by;
    _exit(4);
}

static int run(int argc, char **argv)
{
    static struct peer p;
    struct error err;
    struct node_uv_config config = { .loop = &p.loop,
                                     .data_dir = argv[2],
                                     .timing = { .heartbeat_ms = 50, .election_ms = 400, .install_snapshot_ms = 2000 },
                                     .fsm = { .ctx = &p,
                                              .apply = on_apply,
                                              .snapshot = on_snapshot,
                                              .restore = on_restore,
                                              .snapshot_bytes_max = sizeof p.seen + 64 },
                                     .ctx = &p,
                                     .on_leadership = on_leadership,
                                     .fatal = on_fatal,
                                     .standing = standing,
                                     .on_removed = on_removed,
                                     .admit = on_admit };
    if (argc > 7) {
        p.tls = tls_context_create(&(struct tls_files){ .certificate = argv[5], .key = argv[6], .authority = argv[7] },
                                   &err);
        if (p.tls == NULL) {
            fprintf(stderr, "run: %s\n", err.text);
            _exit(1);
        }
        config.tls = p.tls;
    }
    if (argc > 4) {
        config.timing.snapshot_threshold = (unsigned)atoi(argv[3]);
        config.timing.snapshot_trailing = (unsigned)atoi(argv[4]);
    }
    node_uv_prepare_process();
    setvbuf(stdout, NULL, _IOLBF, 0);
    uv_loop_init(&p.loop);
    p.node = node_uv_create(&config, &err);
    if (p.node == NULL || node_uv_start(p.node, &err) != STATUS_OK) {
        fprintf(stderr, "run: %s: %s\n", status_word(err.status), err.text);
        _exit(1);
    }
    uv_pipe_init(&p.loop, &p.input, 0);
    p.input.data = &p;
    uv_timer_init(&p.loop, &p.retry);
    p.retry.data = &p;
    if (uv_pipe_open(&p.input, STDIN_FILENO) != 0 ||
        uv_read_start((uv_stream_t *)&p.input, on_input_alloc, on_input) != 0)
        return 1;
    printf("running %" PRIu64 "\n", node_uv_id(p.node));
    uv_run(&p.loop, UV_RUN_DEFAULT);
    tls_context_destroy(p.tls);
    return uv_loop_close(&p.loop) == 0 && p.node == NULL ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc >= 5 && strcmp(argv[1], "bootstrap") == 0)
        return bootstrap(argc, argv);
    if (argc >= 3 && strcmp(argv[1], "run") == 0)
        return run(argc, argv);
    fprintf(stderr, "usage: see the top of test_raft_peer.c\n");
    return 2;
}
