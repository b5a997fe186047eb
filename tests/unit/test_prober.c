/* The prober over probes of our own: when looks are made, which ones, and what a change of the configuration or of the primary does to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/text.h"
#include "io/clock.h"
#include "io/log.h"
#include "probe/probe_postgres.h"
#include "probe/prober.h"

#define INTERVAL_MS 10u
#define PROBES_MAX 64
#define LOOKS_MAX 4096
#define PATIENCE_MS 10000

/* One fake probe and its looks; what a look finds is decided when it ends. */
struct fake {
    enum look look;
    char conninfo[256];
    char address[64];
    bool closed;
    epoch_t epoch;
    unsigned begun, open;
    uv_timer_t closer;
    void (*on_closed)(void *ctx);
    void *closed_ctx;
};

struct fake_look {
    struct fake *fake;
    probe_cb done; /* NULL: ended */
    void *ctx;
};

struct result {
    struct probe_result result; /* first */
    struct postgres_view view;
};

struct world {
    uv_loop_t loop;
    struct resolver *resolver;
    struct state state;
    struct prober *prober;
    struct fake fakes[PROBES_MAX];
    unsigned fake_count;
    struct fake_look looks[LOOKS_MAX];
    unsigned look_count;
    unsigned opinion_count, acknowledged_count;
    epoch_t acknowledged_epoch;
    uint64_t acknowledged_index;
    unsigned closed_count, resolver_closed;
    unsigned lines_troubled, lines_nothing;
};
static struct world *w;

/* --- fakes --- */

static struct probe_look *fake_begin(void *self, uint32_t timeout_ms, probe_cb done, void *ctx)
{
    struct fake *f = self;

    (void)timeout_ms;
    assert_false(f->closed);
    assert_true(w->look_count < LOOKS_MAX);
    f->begun++;
    f->open++;
    w->looks[w->look_count] = (struct fake_look){ f, done, ctx };
    return (struct probe_look *)(void *)&w->looks[w->look_count++];
}

static void look_end(struct fake_look *look, const struct probe_result *result)
{
    static const struct error canceled = { .status = STATUS_CANCELED, .text = "canceled" };
    probe_cb done = look->done;

    look->done = NULL;
    look->fake->open--;
    done(look->ctx, result, result != NULL ? NULL : &canceled);
}

static void on_fake_closed(uv_handle_t *handle)
{
    struct fake *f = handle->data;

    for (unsigned i = 0; i < w->look_count; i++)
        if (w->looks[i].fake == f && w->looks[i].done != NULL)
            look_end(&w->looks[i], NULL);
    f->on_closed(f->closed_ctx);
}

static void fake_close(void *self, void (*closed)(void *ctx), void *ctx)
{
    struct fake *f = self;

    assert_false(f->closed);
    f->closed = true;
    f->on_closed = closed;
    f->closed_ctx = ctx;
    uv_close((uv_handle_t *)&f->closer, on_fake_closed);
}

static const struct probe_method fake_method = { .name = "fake", .begin = fake_begin, .close = fake_close };

static struct probe fake_create(const struct prober_config *config, enum look look, const struct prober_place *place)
{
    struct fake *f = &w->fakes[w->fake_count++];

    assert_true(w->fake_count <= PROBES_MAX);
    f->look = look;
    (void)text_copy(f->conninfo, sizeof f->conninfo, place->conninfo);
    (void)text_copy(f->address, sizeof f->address, place->address);
    assert_int_equal(uv_timer_init(config->loop, &f->closer), 0);
    f->closer.data = f;
    return (struct probe){ &fake_method, f };
}

static void fake_set_epoch(struct probe canary, epoch_t epoch)
{
    ((struct fake *)canary.self)->epoch = epoch;
}

static const struct postgres_view *fake_view(const struct probe_result *result)
{
    return &((const struct result *)(const void *)result)->view;
}

static const struct prober_methods fake_methods = { .create = fake_create,
                                                    .set_epoch = fake_set_epoch,
                                                    .view = fake_view };

/* --- the prober's owner --- */

static const struct state *applied_state(void *ctx)
{
    (void)ctx;
    return &w->state;
}

static void on_opinion(void *ctx, service_id service, site_id site)
{
    struct opinion opinion;
    bool measured;

    (void)ctx;
    assert_true(prober_opinion(w->prober, service, site, &opinion, &measured)); /* may be asked at once */
    w->opinion_count++;
}

static void on_acknowledged(void *ctx, service_id service, site_id site, epoch_t epoch, uint64_t looked_index)
{
    (void)ctx;
    assert_int_equal(service, 0);
    assert_int_equal(site, 0);
    w->acknowledged_count++;
    w->acknowledged_epoch = epoch;
    w->acknowledged_index = looked_index;
}

static void on_closed(void *count)
{
    ++*(unsigned *)count;
}

static void on_line(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    w->lines_troubled += strstr(line, "event=site_not_looked_at") != NULL;
    w->lines_nothing += strstr(line, "event=look_tells_nothing") != NULL;
}

/* --- the world --- */

static struct site_config *site(unsigned number)
{
    return &w->state.services[0].config.sites[number];
}

/* One service at sites 0 and 1, primary at 0. */
static void service_add(void)
{
    struct service *svc = &w->state.services[0];

    svc->present = true;
    (void)text_copy(svc->config.name, sizeof svc->config.name, "app");
    svc->config.timing = timing_of(PROFILE_METRO);
    svc->config.timing.probe_interval_ms = INTERVAL_MS;
    svc->config.max_lag_ms = 10000;
    svc->config.site_count = 2;
    svc->primary = 0;
    svc->lease.epoch = 7;
    for (unsigned i = 0; i < 2; i++) {
        site(i)->site = (site_id)i;
        text_set(site(i)->host, sizeof site(i)->host, "192.0.2.%u", i + 1);
        site(i)->port = 5432;
        (void)text_copy(site(i)->user, sizeof site(i)->user, "coord");
        text_set(site(i)->health_url, sizeof site(i)->health_url, "http://192.0.2.%u/health", i + 1);
        text_set(w->state.sites[i].name, sizeof w->state.sites[i].name, "site-%u", i);
    }
}

static void apply_config(void)
{
    w->state.config_version++;
    w->state.applied_index++;
    prober_on_state(w->prober);
}

static int open_world(void **state)
{
    struct error err = ERROR_NONE;

    (void)state;
    w = calloc(1, sizeof *w);
    assert_non_null(w);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    log_set_sink(on_line, NULL);
    state_init(&w->state);
    w->state.applied_index = 100;
    w->resolver = resolver_create(&w->loop, "127.0.0.1:9", &err);
    assert_non_null(w->resolver);
    w->prober = prober_create(&(struct prober_config){ .loop = &w->loop,
                                                       .resolver = w->resolver,
                                                       .self = 1,
                                                       .methods = &fake_methods,
                                                       .state = applied_state,
                                                       .on_opinion = on_opinion,
                                                       .on_acknowledged = on_acknowledged });
    assert_non_null(w->prober);
    return 0;
}

/* Whatever is under way ends, every look's `done` has come, and nothing is left on the loop. */
static int close_world(void **state)
{
    (void)state;
    prober_close(w->prober, on_closed, &w->closed_count);
    for (int turn = 0; turn < 1000 && w->closed_count == 0; turn++)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(w->closed_count, 1);
    for (unsigned i = 0; i < w->look_count; i++)
        assert_null(w->looks[i].done);
    resolver_close(w->resolver, on_closed, &w->resolver_closed);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(w->resolver_closed, 1);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    log_set_sink(NULL, NULL);
    free(w);
    return 0;
}

static void run_until(bool (*holds)(void), const char *what)
{
    uint64_t until_ms = uv_now(&w->loop) + PATIENCE_MS;

    while (!holds()) {
        if (uv_now(&w->loop) > until_ms)
            fail_msg("not seen: %s", what);
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
}

/* The probe that is in use for this look at this site's address, or NULL. */
static struct fake *probe_of(unsigned site_number, enum look look)
{
    char address[64];

    text_set(address, sizeof address, "192.0.2.%u", site_number + 1);
    for (unsigned i = 0; i < w->fake_count; i++)
        if (!w->fakes[i].closed && w->fakes[i].look == look && text_equal(w->fakes[i].address, address))
            return &w->fakes[i];
    return NULL;
}

static bool everything_is_looked_at(void)
{
    for (unsigned i = 0; i < 2; i++)
        for (unsigned look = 0; look < LOOK_COUNT; look++) {
            const struct fake *f = probe_of(i, (enum look)look);
            bool only_at_primary = look == LOOK_CANARY || look == LOOK_HTTP;

            if (f == NULL || (f->begun == 0 && (i == 0 || !only_at_primary)))
                return false;
        }
    return true;
}

/* Ends every open look of the probe, the oldest first. */
static void answer(struct fake *f, enum probe_outcome outcome, const struct postgres_view *view)
{
    struct result r = { .result = { .outcome = outcome, .detail = "as the test says" } };

    if (view != NULL)
        r.view = *view;
    for (unsigned i = 0; i < w->look_count; i++)
        if (w->looks[i].fake == f && w->looks[i].done != NULL)
            look_end(&w->looks[i], &r.result);
}

static struct opinion opinion_of(unsigned site_number)
{
    struct opinion opinion;
    bool measured;

    assert_true(prober_opinion(w->prober, 0, (site_id)site_number, &opinion, &measured));
    return opinion;
}

static bool primary_is_up(void)
{
    const struct postgres_view primary = { .in_recovery = 0, .current_lsn = 5000 };

    answer(probe_of(0, LOOK_READ_FRESH), PROBE_OK, &primary);
    answer(probe_of(0, LOOK_READ_PERSISTENT), PROBE_OK, &primary);
    return opinion_of(0).word == OPINION_UP;
}

static void begin(void)
{
    service_add();
    apply_config();
    run_until(everything_is_looked_at, "a look of each kind");
}

/* --- tests --- */

static void what_holds_for_a_primary_only_is_looked_at_there_only(void **state)
{
    (void)state;
    begin();
    assert_int_equal(w->fake_count, 2 * LOOK_COUNT);
    assert_int_equal(probe_of(1, LOOK_CANARY)->begun, 0);
    assert_int_equal(probe_of(1, LOOK_HTTP)->begun, 0);
    assert_string_equal(probe_of(0, LOOK_READ_FRESH)->conninfo, "host='192.0.2.1' port='5432' user='coord'");
}

static bool five_hang(void)
{
    return probe_of(0, LOOK_READ_FRESH)->open >= 5;
}

static void a_hanging_look_delays_nothing(void **state)
{
    (void)state;
    begin();
    run_until(five_hang, "five looks of one probe under way");
}

static void an_acknowledged_canary_tells_where_its_look_began(void **state)
{
    struct fake *canary;

    (void)state;
    begin();
    canary = probe_of(0, LOOK_CANARY);
    assert_int_equal(canary->epoch, 7);
    w->state.applied_index = 900; /* meanwhile */
    w->state.services[0].lease.epoch = 8;
    answer(canary, PROBE_OK, NULL);
    assert_true(w->acknowledged_count >= 1);
    assert_int_equal(w->acknowledged_index, 101);
    assert_int_equal(w->acknowledged_epoch, 7);
    answer(canary, PROBE_FAILED, NULL);
    assert_int_equal(w->acknowledged_index, 101);
}

static void a_change_elsewhere_leaves_evidence_and_looks_alone(void **state)
{
    unsigned open;

    (void)state;
    begin();
    run_until(primary_is_up, "an opinion");
    open = probe_of(0, LOOK_TCP)->open;
    w->state.services[0].config.max_lag_ms = 20000;
    site(1)->deploy.count = 1;
    w->state.services[0].config.timing.probe_interval_ms = 2 * INTERVAL_MS;
    apply_config();
    assert_int_equal(w->fake_count, 2 * LOOK_COUNT);
    assert_int_equal(probe_of(0, LOOK_TCP)->open, open);
    assert_int_equal(opinion_of(0).word, OPINION_UP);
}

static bool new_place_is_looked_at(void)
{
    return w->fake_count == 3 * LOOK_COUNT && probe_of(2, LOOK_READ_FRESH)->begun > 0;
}

static void another_place_is_looked_at_anew_while_old_looks_are_under_way(void **state)
{
    struct fake *old;

    (void)state;
    begin();
    old = probe_of(1, LOOK_READ_FRESH);
    assert_true(old->open > 0);
    text_set(site(1)->host, sizeof site(1)->host, "192.0.2.3");
    apply_config();
    assert_true(old->closed);
    assert_int_equal(opinion_of(1).word, OPINION_UNKNOWN);
    run_until(new_place_is_looked_at, "looks at the new place");
    assert_int_equal(old->open, 0);
}

static void a_removed_service_is_not_looked_at_and_its_successor_inherits_nothing(void **state)
{
    struct opinion opinion;
    bool measured;

    (void)state;
    begin();
    run_until(primary_is_up, "an opinion");
    assert_int_equal(prober_primary_lsn(w->prober, 0), 5000);
    w->state.services[0].present = false;
    apply_config();
    assert_false(prober_opinion(w->prober, 0, 0, &opinion, &measured));
    assert_int_equal(prober_primary_lsn(w->prober, 0), 0);
    service_add();
    (void)text_copy(w->state.services[0].config.name, NAME_MAX_BYTES, "other");
    apply_config();
    assert_int_equal(opinion_of(0).word, OPINION_UNKNOWN);
    run_until(everything_is_looked_at, "a look of each kind");
}

static void a_service_of_another_name_in_the_same_place_is_another_service(void **state)
{
    (void)state;
    begin();
    run_until(primary_is_up, "an opinion");
    (void)text_copy(w->state.services[0].config.name, NAME_MAX_BYTES, "other"); /* one snapshot: removed and added */
    apply_config();
    assert_int_equal(opinion_of(0).word, OPINION_UNKNOWN);
}

/* A write that hangs at the old primary fails after the move, and no later one corrects it: once a standby, it would be gray for ever. */
static void another_primary_forgets_what_the_old_one_acknowledged_or_hung_in(void **state)
{
    (void)state;
    begin();
    run_until(primary_is_up, "an opinion");
    answer(probe_of(0, LOOK_CANARY), PROBE_OK, NULL);
    run_until(five_hang, "five looks of each kind under way");
    w->state.services[0].primary = 1;
    prober_on_state(w->prober);
    assert_int_equal(prober_primary_lsn(w->prober, 0), 0);
    answer(probe_of(0, LOOK_CANARY), PROBE_FAILED, NULL);
    answer(probe_of(0, LOOK_HTTP), PROBE_FAILED, NULL);
    assert_int_equal(opinion_of(0).kinds_failed, 0);
    assert_true(primary_is_up());
    run_until(five_hang, "some turns");
    assert_true(probe_of(1, LOOK_CANARY)->begun > 0);
}

static bool standby_is_ready(void)
{
    struct postgres_view standby = { .in_recovery = 1, .received_lsn = 4000, .receiver_streaming = true };

    answer(probe_of(0, LOOK_CANARY), PROBE_OK, NULL);
    standby.canary_own_written_ms = clock_wall_ms(); /* no lag */
    answer(probe_of(1, LOOK_READ_FRESH), PROBE_OK, &standby);
    return opinion_of(1).ready;
}

static void a_standby_that_has_our_canary_is_ready(void **state)
{
    (void)state;
    begin();
    run_until(standby_is_ready, "a ready standby");
    assert_true(opinion_of(1).streaming);
}

static void a_look_that_tells_nothing_is_logged_once(void **state)
{
    struct fake *f;

    (void)state;
    begin();
    f = probe_of(0, LOOK_READ_FRESH);
    run_until(five_hang, "five looks");
    answer(f, PROBE_NEUTRAL, NULL);
    assert_int_equal(w->lines_nothing, 1);
    run_until(five_hang, "five more");
    answer(f, PROBE_OK, &(struct postgres_view){ .in_recovery = 0 });
    run_until(five_hang, "five more");
    answer(f, PROBE_NEUTRAL, NULL);
    assert_int_equal(w->lines_nothing, 2);
}

static bool troubled(void)
{
    return w->lines_troubled > 0;
}

static void a_name_without_an_address_is_logged_once_and_nothing_is_learned(void **state)
{
    unsigned turns = 0;

    (void)state;
    service_add();
    text_set(site(1)->host, sizeof site(1)->host, "nowhere.invalid");
    apply_config();
    run_until(troubled, "the log line");
    while (turns++ < 300)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(w->lines_troubled, 1);
    assert_int_equal(w->fake_count, LOOK_COUNT); /* the other site's */
    assert_int_equal(opinion_of(1).word, OPINION_UNKNOWN);
}

static void a_close_while_a_name_is_resolved_waits_for_it(void **state)
{
    (void)state;
    service_add();
    text_set(site(0)->host, sizeof site(0)->host, "nowhere.invalid");
    text_set(site(1)->host, sizeof site(1)->host, "nowhere.invalid");
    apply_config();
    (void)uv_run(&w->loop, UV_RUN_ONCE); /* close_world() does the rest */
}

static char secret_path[] = "/tmp/test-prober-XXXXXX";

static void secret_write(const char *text)
{
    FILE *file = fopen(secret_path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static bool password_is_new(void)
{
    struct fake *f = probe_of(0, LOOK_READ_FRESH);

    if (f != NULL)
        answer(f, PROBE_NEUTRAL, NULL); /* "password authentication failed" */
    return f != NULL && strstr(f->conninfo, "second") != NULL;
}

static bool password_is_first(void)
{
    const struct fake *f = probe_of(0, LOOK_READ_FRESH);

    return f != NULL && strstr(f->conninfo, "first") != NULL;
}

static void a_password_is_waited_for_and_read_again_when_it_is_refused(void **state)
{
    int fd = mkstemp(secret_path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    service_add();
    text_set(site(0)->password, sizeof site(0)->password, "file:%s", secret_path);
    apply_config();
    run_until(troubled, "the log line"); /* it is empty */
    assert_null(probe_of(0, LOOK_READ_FRESH));
    secret_write("first\n");
    run_until(password_is_first, "probes with the password");
    assert_int_equal(w->lines_troubled, 1);
    secret_write("second\n");
    run_until(password_is_new, "probes with the new password");
    assert_int_equal(unlink(secret_path), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_holds_for_a_primary_only_is_looked_at_there_only),
        TEST(a_hanging_look_delays_nothing),
        TEST(an_acknowledged_canary_tells_where_its_look_began),
        TEST(a_change_elsewhere_leaves_evidence_and_looks_alone),
        TEST(another_place_is_looked_at_anew_while_old_looks_are_under_way),
        TEST(a_removed_service_is_not_looked_at_and_its_successor_inherits_nothing),
        TEST(a_service_of_another_name_in_the_same_place_is_another_service),
        TEST(another_primary_forgets_what_the_old_one_acknowledged_or_hung_in),
        TEST(a_standby_that_has_our_canary_is_ready),
        TEST(a_look_that_tells_nothing_is_logged_once),
        TEST(a_name_without_an_address_is_logged_once_and_nothing_is_learned),
        TEST(a_close_while_a_name_is_resolved_waits_for_it),
        TEST(a_password_is_waited_for_and_read_again_when_it_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
