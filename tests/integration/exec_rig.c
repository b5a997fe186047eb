#include "tests/integration/exec_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "base/bytes.h"
#include "fencing/guard_client.h"
#include "io/log.h"

#define HOLD_MS 60000

uv_loop_t loop;
struct pg_server primary, standby;
struct dns_server knot;
struct exec *node_a, *node_b, *node_b_hasty;
struct state state_now;
struct exec_local local_b;
char guard_b[200], key_reference[220];
uint64_t primary_lsn;
struct command_step_result last;
bool submitted;

static struct resolver *resolver;
static struct http_client *http;
static struct step_table hasty;
static struct exec_local local_a;
static char guard_a[200], key_path[200];

static const struct state *applied(void *ctx)
{
    (void)ctx;
    return &state_now;
}

static void submit(void *ctx, const struct command *command, exec_submitted_cb done, void *done_ctx)
{
    static const struct outcome accepted = { .status = STATUS_OK };
    struct operation *op = &state_now.services[0].operation;

    (void)ctx;
    last = command->step_result;
    op->runs[last.run].state = last.result.ok ? RUN_DONE : RUN_PENDING;
    submitted = true;
    done(done_ctx, STATUS_OK, &accepted);
}

static uint64_t last_primary_lsn(void *ctx, service_id service)
{
    (void)ctx;
    assert_int_equal(service, 0);
    return primary_lsn;
}

struct operation *operation(void)
{
    return &state_now.services[0].operation;
}

/* Assigns a new run, lets the nodes see it, and brings the result. */
static const struct step_result *run_on(struct exec *e, enum step step, site_id site)
{
    static uint32_t attempt;
    struct operation *op = operation();

    op->run_count = 1;
    op->runs[0] = (struct step_run){ .step = step,
                                     .site = site,
                                     .state = RUN_ASSIGNED,
                                     .attempt = ++attempt,
                                     .node = site == SITE_A ? NODE_A : NODE_B,
                                     .epoch = state_now.services[0].lease.epoch };
    submitted = false;
    exec_on_state(e);
    assert_false(submitted);
    loop_until(&loop, &submitted);
    exec_on_state(e);
    while (exec_busy(e) > 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(last.attempt, attempt);
    assert_int_equal(last.epoch, op->runs[0].epoch);
    return &last.result;
}

const struct step_result *must_succeed(struct exec *e, enum step step, site_id site)
{
    const struct step_result *r = run_on(e, step, site);

    if (!r->ok)
        print_error("%s: %s\n", step_word(step), r->detail);
    assert_true(r->ok);
    print_message("%s: %s\n", step_word(step), r->detail);
    return r;
}

void assert_says(const struct step_result *r, const char *part)
{
    if (strstr(r->detail, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", r->detail, part);
}

void must_fail(struct exec *e, enum step step, site_id site, const char *part)
{
    const struct step_result *r = run_on(e, step, site);

    assert_false(r->ok);
    assert_says(r, part);
}

struct guard_wait {
    bool ended;
    struct guard_answer answer;
    enum status status;
};

static void on_guard(void *ctx, const struct guard_answer *answer, const struct error *err)
{
    struct guard_wait *g = ctx;

    g->answer = *answer;
    g->status = err != NULL ? err->status : STATUS_OK;
    g->ended = true;
}

static void on_gone(void *ctx)
{
    *(bool *)ctx = true;
}

/* What the holder's renewal does. */
instance_id open_guard(const char *path, epoch_t epoch)
{
    struct guard_client *g = guard_client_create(&loop, path);
    struct guard_wait now = { .ended = false }, open = { .ended = false };
    bool gone = false;

    guard_now_begin(g, 5000, on_guard, &now);
    loop_until(&loop, &now.ended);
    assert_int_equal(now.status, STATUS_OK);
    guard_open_begin(g, now.answer.status.instance, epoch, now.answer.status.now_us, HOLD_MS, 5000, on_guard, &open);
    loop_until(&loop, &open.ended);
    assert_int_equal(open.status, STATUS_OK);
    guard_client_destroy(g, on_gone, &gone);
    loop_until(&loop, &gone);
    return now.answer.status.instance;
}

void bypass_guard(const char *path, bool on, epoch_t epoch)
{
    struct guard_client *g = guard_client_create(&loop, path);
    struct guard_wait now = { .ended = false }, bypass = { .ended = false };
    bool gone = false;

    guard_now_begin(g, 5000, on_guard, &now);
    loop_until(&loop, &now.ended);
    guard_bypass_begin(g, on, now.answer.status.instance, epoch, 5000, on_guard, &bypass);
    loop_until(&loop, &bypass.ended);
    assert_int_equal(bypass.status, STATUS_OK);
    guard_client_destroy(g, on_gone, &gone);
    loop_until(&loop, &gone);
}

bool write_is_acknowledged(const struct pg_server *s, const char *sql)
{
    char port[8];
    const char *argv[] = { "psql", "-qXh", s->socket_dir, "-p", port, "-U", "postgres", "-c", sql, NULL };

    (void)snprintf(port, sizeof port, "%u", (unsigned)s->port);
    return pg_fixture_run(argv) == 0;
}

/* --- the world ------------------------------------------------------------------------------------------------------------------- */

static void make_servers(void)
{
    char settings[600];
    FILE *file;

    pg_server_create(&primary, "a", "");
    pg_server_signal_wait(&primary, SIGINT);
    (void)snprintf(settings, sizeof settings, "%s/postgresql.conf", primary.data_dir);
    file = fopen(settings, "a");
    assert_non_null(file);
    (void)fprintf(file, "shared_preload_libraries = '%s'\n", LEASE_GUARD_PATH);
    assert_int_equal(fclose(file), 0);
    pg_server_start(&primary, true);
    pg_server_create_standby(&standby, "b", &primary);
    (void)snprintf(guard_a, sizeof guard_a, "%s/pg_stat_tmp/lease_guard.sock", primary.data_dir);
    (void)snprintf(guard_b, sizeof guard_b, "%s/pg_stat_tmp/lease_guard.sock", standby.data_dir);
    local_a = (struct exec_local){ .service = "app",
                                   .data_dir = primary.data_dir,
                                   .bin_dir = PG_BIN_DIR,
                                   .conninfo = primary.socket_conninfo,
                                   .guard_socket = guard_a };
    local_b = (struct exec_local){ .service = "app",
                                   .data_dir = standby.data_dir,
                                   .bin_dir = PG_BIN_DIR,
                                   .conninfo = standby.socket_conninfo,
                                   .guard_socket = guard_b };
}

static void make_key(void)
{
    FILE *file;

    (void)snprintf(key_path, sizeof key_path, "%s/tsig.key", pg_fixture_dir());
    (void)snprintf(key_reference, sizeof key_reference, "file:%s", key_path);
    file = fopen(key_path, "w");
    assert_non_null(file);
    (void)fprintf(file, "hmac-sha256:%s:%s\n", DNS_KEY_NAME, DNS_KEY_SECRET);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(key_path, 0600), 0);
}

void text(char *out, size_t capacity_bytes, const char *value)
{
    assert_true(text_copy(out, capacity_bytes, value));
}

static void make_state(instance_id instance)
{
    static const char *const names[] = { "site-a", "site-b" };
    struct service *svc = &state_now.services[0];

    state_init(&state_now);
    for (unsigned i = 0; i < 2; i++) {
        text(state_now.sites[i].name, NAME_MAX_BYTES, names[i]);
        state_now.members[i] = (struct member){ .id = i + 1, .site = (site_id)i, .heard = true };
        text(state_now.members[i].name, NAME_MAX_BYTES, i == 0 ? "a1" : "b1");
        svc->config.sites[i].site = (site_id)i;
    }
    svc->present = true;
    svc->armed = true;
    text(svc->config.name, NAME_MAX_BYTES, "app");
    svc->config.site_count = 2;
    text(svc->config.sites[SITE_B].publish_address, ADDRESS_MAX_BYTES, "127.10.2.1");
    svc->primary = SITE_A;
    svc->lease = (struct lease){ .state = LEASE_REVOKED,
                                 .site = SITE_A,
                                 .holder = NODE_A,
                                 .epoch = OLD_EPOCH,
                                 .instance_count = 1,
                                 .instances = { instance } };
    svc->operation = (struct operation){
        .id = 70, .state = OPERATION_RUNNING, .from = SITE_A, .to = SITE_B, .old_epoch = OLD_EPOCH
    };
}

/* The point of no return. */
void promote_in_state(void)
{
    struct service *svc = &state_now.services[0];

    svc->primary = SITE_B;
    svc->lease = (struct lease){ .state = LEASE_LIVE, .site = SITE_B, .holder = NODE_B, .epoch = NEW_EPOCH };
    svc->operation.state = OPERATION_PROMOTED;
    svc->operation.new_epoch = NEW_EPOCH;
}

struct exec *make_node(node_id self, const struct exec_local *local, const struct step_table *steps)
{
    struct error err;
    struct exec_config config = { .loop = &loop,
                                  .resolver = resolver,
                                  .http = http,
                                  .child = { .supervise_path = SUPERVISE_PATH, .grace_ms = 100 },
                                  .self = self,
                                  .state_dir = pg_fixture_dir(),
                                  .locals = local,
                                  .local_count = 1,
                                  .steps = steps,
                                  .state = applied,
                                  .submit = submit,
                                  .last_primary_lsn = last_primary_lsn };
    struct exec *e = exec_create(&config, &err);

    assert_non_null(e);
    return e;
}

int exec_rig_open(void **state)
{
    struct error err;

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_LEVEL_ERROR);
    assert_int_equal(uv_loop_init(&loop), 0);
    resolver = resolver_create(&loop, NULL, &err);
    assert_non_null(resolver);
    http = http_client_create(&loop, resolver, &err);
    assert_non_null(http);
    make_servers();
    make_key();
    dns_server_start(&knot, DNS_SERVER_KNOT);
    make_state(open_guard(guard_a, OLD_EPOCH));
    hasty = step_table_real;
    hasty.deadline_ms = 300;
    node_a = make_node(NODE_A, &local_a, NULL);
    node_b = make_node(NODE_B, &local_b, NULL);
    node_b_hasty = make_node(NODE_B, &local_b, &hasty);
    return 0;
}

void close_node(struct exec *e)
{
    bool gone = false;

    exec_close(e, on_gone, &gone);
    loop_until(&loop, &gone);
}

int exec_rig_close(void **state)
{
    bool gone = false;

    (void)state;
    close_node(node_a);
    close_node(node_b);
    close_node(node_b_hasty);
    http_client_close(http, on_gone, &gone);
    loop_until(&loop, &gone);
    gone = false;
    resolver_close(resolver, on_gone, &gone);
    loop_until(&loop, &gone);
    dns_server_stop(&knot);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}
