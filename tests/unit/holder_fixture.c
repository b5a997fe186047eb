#include "holder_fixture.h"

struct holder holder;
struct effect effects[EFFECTS_MAX];
unsigned effect_count;
int64_t now_us;
struct holder_guard guard;

static struct effect *add(enum effect_kind kind)
{
    assert_true(effect_count < EFFECTS_MAX);
    effects[effect_count] = (struct effect){ .kind = kind };
    return &effects[effect_count++];
}

static void on_status(void *ctx, service_id service, uint64_t token)
{
    (void)ctx;
    assert_int_equal(service, APP);
    add(ASKED)->token = token;
}

static void on_open(void *ctx, service_id service, instance_id instance, epoch_t epoch, int64_t t0_us, uint32_t hold_ms)
{
    struct effect *e = add(OPENED);

    (void)ctx;
    (void)service;
    e->instance = instance;
    e->epoch = epoch;
    e->t0_us = t0_us;
    e->hold_ms = hold_ms;
}

static void on_bypass(void *ctx, service_id service, bool on, instance_id instance, epoch_t epoch)
{
    struct effect *e = add(BYPASSED);

    (void)ctx;
    (void)service;
    e->on = on;
    e->instance = instance;
    e->epoch = epoch;
}

static void on_submit(void *ctx, service_id service, uint64_t token, const struct command *command)
{
    struct effect *e = add(SUBMITTED);

    (void)ctx;
    (void)service;
    e->token = token;
    e->command = command->kind;
    if (command->kind == COMMAND_RENEW)
        e->renew = command->renew;
    else
        e->grant = command->grant;
}

static void on_ask(void *ctx, node_id to, const struct promise_ask *ask)
{
    struct effect *e = add(PROMISE);

    (void)ctx;
    e->to = to;
    e->ask = *ask;
}

void holder_begin(node_id self)
{
    struct holder_ops ops = {
        .guard_status = on_status, .guard_open = on_open, .guard_bypass = on_bypass, .submit = on_submit, .ask = on_ask
    };

    holder_init(&holder, self, FIRST_TOKEN, &ops);
    holder_set_local(&holder, APP, true);
    holder_act_from(&holder, 1);
    effect_count = 0;
}

int holder_setup(void **state)
{
    (void)core_setup(state);
    now_us = 5000000;
    guard = (struct holder_guard){ .instance = INSTANCE, .now_us = 900, .enforcing = true };
    holder_begin(NODE_A);
    return 0;
}

struct effect *holder_last(enum effect_kind kind)
{
    for (unsigned i = effect_count; i > 0; i--)
        if (effects[i - 1].kind == kind)
            return &effects[i - 1];
    return NULL;
}

unsigned holder_count(enum effect_kind kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < effect_count; i++)
        n += effects[i].kind == kind;
    return n;
}

uint64_t holder_transmit(struct core *k)
{
    now_us += 10 * INT64_C(1000000);
    (void)holder_tick(&holder, &k->state, now_us);
    assert_non_null(holder_last(ASKED));
    holder_on_guard(&holder, &k->state, APP, holder_last(ASKED)->token, &guard);
    return holder_last(ASKED)->token;
}

epoch_t holder_epoch(struct core *k)
{
    return core_app(k)->lease.epoch;
}
