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
#include "raft/hello.h"
#include "tests/unit/core_rig.h"

#define LOG_MAX_BYTES (64 * 1024)
#define STEPS_MAX 40

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
static void apply(struct rig *r, struct writer *log, const struct command *c)
{
    size_t length = 0;
    char name[60];

    r->command = *c;
    r->command.at_ms = r->now_ms;
    (void)rig_apply(r);
    ASSERT(command_encode(&r->command, bytes, sizeof bytes, &length) == STATUS_OK);
    (void)snprintf(name, sizeof name, "%s-%llu", command_word(c->kind), (unsigned long long)r->state.applied_index);
    save("command", name, bytes, length);
    writer_u16(log, (uint16_t)length);
    writer_bytes(log, bytes, length);
    ASSERT(writer_ok(log));
}

/* What the nodes would answer: every step that is assigned is done. */
static void finish_steps(struct rig *r, struct writer *log)
{
    static struct command c;

    for (uint8_t i = 0; i < rig_service(r)->operation.run_count; i++) {
        const struct step_run *run = &rig_service(r)->operation.runs[i];

        if (run->state != RUN_ASSIGNED)
            continue;
        command_clear(&c, COMMAND_STEP_RESULT);
        text_set(c.who, sizeof c.who, "node b1");
        c.step_result.operation = rig_service(r)->operation.id;
        c.step_result.run = i;
        c.step_result.attempt = run->attempt;
        c.step_result.epoch = run->epoch;
        c.step_result.node = run->node;
        c.step_result.result.ok = true;
        text_set(c.step_result.result.detail, DETAIL_MAX_BYTES, "done");
        c.step_result.result.position = (struct position){ .known = true, .timeline = 1, .lsn = 0x3000060 };
        c.step_result.result.instance_count = rig_service(r)->lease.instance_count;
        memcpy(c.step_result.result.instances, rig_service(r)->lease.instances, sizeof c.step_result.result.instances);
        apply(r, log, &c);
    }
}

/* The commands that rig_create_live() applies, once more, written down. */
static void begin(struct rig *r, struct writer *log, const struct state *made)
{
    static struct command c;
    const struct service *svc = &made->services[0];

    command_clear(&c, COMMAND_CLUSTER_INIT);
    c.cluster_init.cluster_id = made->cluster_id;
    c.cluster_init.election_ms = made->election_ms;
    memcpy(c.cluster_init.members, made->members, sizeof c.cluster_init.members);
    memcpy(c.cluster_init.sites, made->sites, sizeof c.cluster_init.sites);
    apply(r, log, &c);
    for (node_id node = 1; node <= 3; node++) {
        command_clear(&c, COMMAND_NODE_HEARD);
        c.node_heard.node = node;
        c.node_heard.heard = true;
        apply(r, log, &c);
    }
    command_clear(&c, COMMAND_NODE_STARTED);
    c.node_started.node = 1;
    apply(r, log, &c);
    command_clear(&c, COMMAND_CONFIG_APPLY);
    c.config_apply.service_count = 1;
    c.config_apply.services[0] = svc->config;
    text_set(c.config_apply.services[0].dns.zone, DNS_NAME_MAX_BYTES, "example.test");
    apply(r, log, &c);
    command_clear(&c, COMMAND_SERVICE_SET);
    apply(r, log, &c);
    for (node_id node = 1; node <= 3; node++)
        for (site_id site = 0; site < 2; site++) {
            command_clear(&c, COMMAND_OPINION);
            c.opinion =
                (struct command_opinion){ .node = node, .site = site, .opinion = svc->views[site].opinions[node - 1] };
            apply(r, log, &c);
        }
    command_clear(&c, COMMAND_GRANT);
    c.grant.node = 1;
    c.grant.enforcement = (struct enforcement){ .enforcing = true,
                                                .instance = INSTANCE_A,
                                                .since_index = rig_service(r)->enforced_index };
    apply(r, log, &c);
    command_clear(&c, COMMAND_RENEW);
    c.renew = (struct command_renew){ .epoch = rig_service(r)->lease.epoch,
                                      .node = 1,
                                      .ttl_ms = 2000,
                                      .enforcement = rig_service(r)->lease.enforcement };
    apply(r, log, &c);
}

static void fail_site(struct rig *r, struct writer *log)
{
    static struct command c;

    for (node_id node = 1; node <= 3; node++) {
        command_clear(&c, COMMAND_OPINION);
        c.opinion.node = node;
        c.opinion.opinion =
            (struct opinion){ .word = OPINION_FAILED, .kinds_failed = 1u << KIND_DATABASE | 1u << KIND_PATH };
        apply(r, log, &c);
    }
    command_clear(&c, COMMAND_LEASE_EXPIRED);
    c.lease_expired.epoch = rig_service(r)->lease.epoch;
    c.lease_expired.renewed_index = rig_service(r)->lease.renewed_index;
    apply(r, log, &c);
}

/* The leader drives from here on, over its own clock. */
static void drive(struct rig *r, struct writer *log)
{
    static struct command c;
    static struct leader leader;
    int64_t now_us = 0;
    unsigned slot;

    leader_init(&leader, 3, 250, 10);
    leader_begin(&leader, 1, false, now_us);
    for (int turn = 0; turn < 400 && log->used < LOG_MAX_BYTES / 4; turn++) {
        now_us += 10000;
        r->now_ms += 10;
        leader_heard(&leader, &r->state, 2);
        leader_heard(&leader, &r->state, 3);
        leader_tick(&leader, &r->state, now_us);
        for (int i = 0; i < STEPS_MAX && leader_next(&leader, &r->state, r->now_ms, &c, &slot); i++) {
            apply(r, log, &c);
            leader_proposed_done(&leader, slot);
            leader_applied(&leader, &r->state);
        }
        finish_steps(r, log);
        leader_applied(&leader, &r->state);
    }
}

static void by_hand(struct rig *r, struct writer *log)
{
    static struct command c;
    static const enum command_kind kinds[] = { COMMAND_OPERATION_APPROVE, COMMAND_OPERATOR_CERTIFICATE,
                                               COMMAND_OPERATION_ABORT };

    command_clear(&c, COMMAND_OPERATION_START);
    c.operation_start = (struct command_operation_start){
        .kind = OPERATION_PROMOTE, .from = 0, .to = 1, .epoch = rig_service(r)->lease.epoch, .reason = "a test"
    };
    apply(r, log, &c);
    command_clear(&c, COMMAND_STEP_SKIP);
    c.step_skip.operation = rig_service(r)->operation.id;
    c.step_skip.step = STEP_DNS;
    apply(r, log, &c);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        command_clear(&c, kinds[i]);
        c.operation_approve.operation = rig_service(r)->operation.id;
        apply(r, log, &c);
    }
    command_clear(&c, COMMAND_SIGHTING);
    c.sighting.epoch = rig_service(r)->lease.epoch;
    c.sighting.node = 2;
    c.sighting.looked_index = r->state.applied_index;
    apply(r, log, &c);
    command_clear(&c, COMMAND_GATES_NOTED);
    c.gates_noted.target = 1;
    c.gates_noted.gates = 3;
    apply(r, log, &c);
    command_clear(&c, COMMAND_EXECUTOR_SET);
    c.executor_set.site = 1;
    c.executor_set.node = 2;
    apply(r, log, &c);
}

static void logs(bool failover)
{
    struct rig *made = rig_create_live(), *r = calloc(1, sizeof *r);
    struct writer log;

    ASSERT(r != NULL);
    r->now_ms = 1000000;
    state_init(&r->state);
    writer_init(&log, log_bytes, sizeof log_bytes);
    begin(r, &log, &made->state);
    save("fsm", "begin", log_bytes, log.used);
    save_snapshot(&r->state, "begin");
    if (failover) {
        fail_site(r, &log);
        save("fsm", "failed", log_bytes, log.used);
        drive(r, &log);
        save("fsm", "failover", log_bytes, log.used);
        save_snapshot(&r->state, "failover");
    } else {
        by_hand(r, &log);
        save("fsm", "by_hand", log_bytes, log.used);
        save_snapshot(&r->state, "by_hand");
    }
    rig_destroy(made);
    rig_destroy(r);
}

static void outcomes(void)
{
    struct outcome o = { .status = STATUS_REFUSED, .reason = "a lease is live", .value = 7 };
    size_t length = 0;

    ASSERT(outcome_encode(&o, bytes, sizeof bytes, &length) == STATUS_OK);
    save("outcome", "refused", bytes, length);
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
    hellos();
    streams();
    return 0;
}
