/* First inputs of the binary formats, made by the encoders themselves: `fuzz_seeds DIRECTORY` writes DIRECTORY/TARGET/NAME. Run again when a
 * format has changed; tests/fuzz/run --keep then chooses what is worth keeping. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/text.h"
#include "core/fsm.h"
#include "core/leader.h"
#include "core/version.h"
#include "holder/promise.h"
#include "raft/hello.h"
#include "tests/fuzz/live.h"

#define LOG_MAX_BYTES (64 * 1024)
#define STEPS_MAX 40

/* A state and the log that made it. */
struct making {
    struct state state;
    struct writer log;
    int64_t now_ms;
};

static const char *root;
static uint8_t log_bytes[LOG_MAX_BYTES], bytes[SNAPSHOT_MAX_BYTES];

static void save(const char *target, const char *name, const void *data, size_t size)
{
    char path[400];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", root, target);
    ASSERT(mkdir(path, 0755) == 0 || errno == EEXIST);
    (void)snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
    file = fopen(path, "we");
    ASSERT(file != NULL);
    ASSERT(fwrite(data, 1, size, file) == size);
    ASSERT(fclose(file) == 0);
}

static void save_snapshot(const struct state *s, const char *name)
{
    size_t length = 0;

    ASSERT(snapshot_encode(s, bytes, sizeof bytes, &length) == STATUS_OK);
    save("snapshot", name, bytes + 16, length - 16); /* the head is made by the program */
}

/* Applies, and writes the command down: alone, and behind those before it. */
static void apply(void *ctx, struct command *c)
{
    struct making *m = ctx;
    struct outcome outcome;
    size_t length = 0;
    char name[60];

    c->at_ms = m->now_ms;
    fsm_apply(&m->state, m->state.applied_index + 1, c, &outcome);
    ASSERT(command_encode(c, program_version, bytes, sizeof bytes, &length) == STATUS_OK);
    (void)snprintf(name, sizeof name, "%s-%llu", command_word(c->kind), (unsigned long long)m->state.applied_index);
    save("command", name, bytes, length);
    writer_u16(&m->log, (uint16_t)length);
    writer_bytes(&m->log, bytes, length);
    ASSERT(writer_ok(&m->log));
}

/* What the nodes would answer: every step that is assigned is done. */
static void finish_steps(struct making *m)
{
    static struct command c;

    for (uint8_t i = 0; i < m->state.services[0].operation.run_count; i++) {
        const struct step_run *run = &m->state.services[0].operation.runs[i];

        if (run->state != RUN_ASSIGNED)
            continue;
        command_clear(&c, COMMAND_STEP_RESULT);
        text_set(c.who, sizeof c.who, "node b1");
        c.step_result.operation = m->state.services[0].operation.id;
        c.step_result.run = i;
        c.step_result.attempt = run->attempt;
        c.step_result.epoch = run->epoch;
        c.step_result.node = run->node;
        c.step_result.result.ok = true;
        text_set(c.step_result.result.detail, DETAIL_MAX_BYTES, "done");
        c.step_result.result.position = (struct position){ .known = true, .timeline = 1, .lsn = 0x3000060 };
        c.step_result.result.instance_count = m->state.services[0].lease.instance_count;
        memcpy(c.step_result.result.instances, m->state.services[0].lease.instances,
               sizeof c.step_result.result.instances);
        apply(m, &c);
    }
}

static void fail_site(struct making *m)
{
    static struct command c;

    for (node_id node = 1; node <= 3; node++) {
        command_clear(&c, COMMAND_OPINION);
        c.opinion.node = node;
        c.opinion.opinion =
            (struct opinion){ .word = OPINION_FAILED, .kinds_failed = 1u << KIND_DATABASE | 1u << KIND_PATH };
        apply(m, &c);
    }
    command_clear(&c, COMMAND_LEASE_EXPIRED);
    c.lease_expired.epoch = m->state.services[0].lease.epoch;
    c.lease_expired.renewed_index = m->state.services[0].lease.renewed_index;
    apply(m, &c);
}

/* The leader drives from here on, over its own clock. */
static void drive(struct making *m)
{
    static struct command c;
    static struct leader leader;
    int64_t now_us = 0;
    unsigned slot;

    leader_init(&leader, 3, 250, 10);
    leader_begin(&leader, 1, false, now_us);
    for (int turn = 0; turn < 400 && m->log.used < LOG_MAX_BYTES / 4; turn++) {
        now_us += 10000;
        m->now_ms += 10;
        leader_heard(&leader, &m->state, 2, false);
        leader_heard(&leader, &m->state, 3, false);
        leader_tick(&leader, &m->state, now_us);
        for (int i = 0; i < STEPS_MAX && leader_next(&leader, &m->state, m->now_ms, &c, &slot); i++) {
            apply(m, &c);
            leader_proposed_done(&leader, slot);
            leader_applied(&leader, &m->state);
        }
        finish_steps(m);
        leader_applied(&leader, &m->state);
    }
}

static void by_hand(struct making *m)
{
    static struct command c;
    static const enum command_kind kinds[] = { COMMAND_OPERATION_APPROVE, COMMAND_OPERATOR_CERTIFICATE,
                                               COMMAND_OPERATION_ABORT };

    command_clear(&c, COMMAND_OPERATION_START);
    c.operation_start = (struct command_operation_start){
        .kind = OPERATION_PROMOTE, .from = 0, .to = 1, .epoch = m->state.services[0].lease.epoch, .reason = "a test"
    };
    apply(m, &c);
    command_clear(&c, COMMAND_STEP_SKIP);
    c.step_skip.operation = m->state.services[0].operation.id;
    c.step_skip.step = STEP_DNS;
    apply(m, &c);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        command_clear(&c, kinds[i]);
        c.operation_approve.operation = m->state.services[0].operation.id;
        apply(m, &c);
    }
    command_clear(&c, COMMAND_SIGHTING);
    c.sighting.epoch = m->state.services[0].lease.epoch;
    c.sighting.node = 2;
    c.sighting.looked_index = m->state.applied_index;
    apply(m, &c);
    command_clear(&c, COMMAND_GATES_NOTED);
    c.gates_noted.target = 1;
    c.gates_noted.gates = 3;
    apply(m, &c);
    command_clear(&c, COMMAND_EXECUTOR_SET);
    c.executor_set.site = 1;
    c.executor_set.node = 2;
    apply(m, &c);
}

static void logs(bool failover)
{
    struct making *m = calloc(1, sizeof *m);

    ASSERT(m != NULL);
    m->now_ms = 1000000;
    state_init(&m->state);
    writer_init(&m->log, log_bytes, sizeof log_bytes);
    live_begin(&m->state, apply, m);
    save("fsm", "begin", log_bytes, m->log.used);
    save_snapshot(&m->state, "begin");
    if (failover) {
        fail_site(m);
        save("fsm", "failed", log_bytes, m->log.used);
        drive(m);
    } else {
        by_hand(m);
    }
    save("fsm", failover ? "failover" : "by_hand", log_bytes, m->log.used);
    save_snapshot(&m->state, failover ? "failover" : "by_hand");
    free(m);
}

static void outcomes(void)
{
    struct outcome o = { .status = STATUS_REFUSED, .reason = "a lease is live", .value = 7 };
    size_t length = 0;

    ASSERT(outcome_encode(&o, bytes, sizeof bytes, &length) == STATUS_OK);
    save("outcome", "refused", bytes, length);
}

static void promises(void)
{
    struct promise_ask ask = { .token = 77, .config_version = 3, .renew = { 0, 1, 1, 2000, { true, 0xa1, 25 } } };
    struct promise_answer answer = { 0, 77, 1, PROMISE_GIVEN };
    size_t length = 0;

    ASSERT(promise_ask_encode(&ask, bytes, sizeof bytes, &length) == STATUS_OK);
    save("promise", "question", bytes, length);
    ASSERT(promise_answer_encode(&answer, bytes, sizeof bytes, &length) == STATUS_OK);
    save("promise", "answer", bytes, length);
}

static void hellos(void)
{
    struct hello h = { .kind = HELLO_MESSAGES,
                       .cluster = 42,
                       .from = 1,
                       .to = 2,
                       .from_address = "127.10.1.1:7400",
                       .to_address = "127.10.2.1:7400" };
    uint8_t out[HELLO_BYTES];

    hello_encode(&h, out);
    save("hello", "accepted", out, sizeof out);
    hello_answer_encode(HELLO_ACCEPTED, out);
    save("hello", "answer", out, HELLO_ANSWER_BYTES);
}

static void stream(const char *name, uint8_t type, uint8_t version, const uint64_t *words, size_t count, size_t payload)
{
    uint8_t out[1024];
    struct writer w;

    writer_init(&w, out, sizeof out);
    writer_u8(&w, 6); /* the size of the pieces */
    writer_u64(&w, (uint64_t)version << 16 | type);
    writer_u64(&w, count * 8);
    for (size_t i = 0; i < count; i++)
        writer_u64(&w, words[i]);
    for (size_t i = 0; i < payload; i++)
        writer_u8(&w, 'x');
    ASSERT(writer_ok(&w));
    save("wire_check", name, out, w.used);
}

static void streams(void)
{
    /* The words of a header; entries are (term, type | bytes << 32), a member is id, address, role. */
    stream("append", 1, 0, (const uint64_t[]){ 3, 3, 3, 3, 2, 3, 1 | UINT64_C(16) << 32, 3, 1 | UINT64_C(8) << 32, 0 },
           10, 24);
    stream("heartbeat", 1, 0, (const uint64_t[]){ 3, 3, 3, 3, 0 }, 5, 0);
    stream("result", 2, 1, (const uint64_t[]){ 3, 3, 3, 0 }, 4, 0);
    stream("vote", 3, 1, (const uint64_t[]){ 3, 3, 3, 3, 1 }, 5, 0);
    stream("vote_result", 4, 1, (const uint64_t[]){ 3, 1, 0 }, 3, 0);
    stream("timeout_now", 6, 0, (const uint64_t[]){ 3, 3, 3 }, 3, 0);
    stream("snapshot", 5, 0,
           (const uint64_t[]){ 3, 3, 3, 3, 24, 1 | UINT64_C(1) << 8, UINT64_C(7) << 8 | UINT64_C(0x61) << 16 << 48,
                               1 << 8, 64, 0 },
           10, 64);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    root = argv[1];
    ASSERT(mkdir(root, 0755) == 0 || errno == EEXIST);
    logs(false);
    logs(true);
    outcomes();
    promises();
    hellos();
    streams();
    return 0;
}
