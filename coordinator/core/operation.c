#include "core/operation.h"

#include "base/check.h"

static const char *const kind_words[OPERATION_KIND_COUNT] = {
#define WORD(name, word) [name] = (word),
    OPERATION_KIND_LIST(WORD)
};
static const char *const state_words[OPERATION_STATE_COUNT] = { OPERATION_STATE_LIST(WORD) };
static const char *const event_words[OPERATION_EVENT_COUNT] = { OPERATION_EVENT_LIST(WORD) };
static const char *const step_words[STEP_COUNT] = { STEP_LIST(WORD) };
static const char *const run_state_words[RUN_STATE_COUNT] = { RUN_STATE_LIST(WORD) };
static const char *const run_event_words[RUN_EVENT_COUNT] = { RUN_EVENT_LIST(WORD) };
#undef WORD

const char *operation_kind_word(enum operation_kind kind)
{
    return (unsigned)kind < OPERATION_KIND_COUNT ? kind_words[kind] : "no_kind";
}

const char *operation_state_word(enum operation_state state)
{
    return (unsigned)state < OPERATION_STATE_COUNT ? state_words[state] : "no_state";
}

const char *operation_event_word(enum operation_event event)
{
    return (unsigned)event < OPERATION_EVENT_COUNT ? event_words[event] : "no_event";
}

const char *step_word(enum step step)
{
    return (unsigned)step < STEP_COUNT ? step_words[step] : "no_step";
}

const char *run_state_word(enum run_state state)
{
    return (unsigned)state < RUN_STATE_COUNT ? run_state_words[state] : "no_state";
}

const char *run_event_word(enum run_event event)
{
    return (unsigned)event < RUN_EVENT_COUNT ? run_event_words[event] : "no_event";
}

#define AN_ACTIVE_ONE "an operation of this service is active"
#define NOT_STARTED "no operation was started"
#define ENDED "the operation has ended"

static const struct rule operation_rules[OPERATION_STATE_COUNT][OPERATION_EVENT_COUNT] = {
    [OPERATION_NONE] = {
        [OPERATION_EV_PROPOSE] = { MOVE, OPERATION_PROPOSED, "waits for approval" },
        [OPERATION_EV_START] = { MOVE, OPERATION_RUNNING, "started" },
        [OPERATION_EV_PROMOTE] = { REFUSE, OPERATION_NONE, NOT_STARTED },
        [OPERATION_EV_ABORT] = { REFUSE, OPERATION_NONE, NOT_STARTED },
        [OPERATION_EV_UNDONE] = { REFUSE, OPERATION_NONE, NOT_STARTED },
        [OPERATION_EV_FINISHED] = { REFUSE, OPERATION_NONE, NOT_STARTED },
    },
    [OPERATION_PROPOSED] = {
        [OPERATION_EV_PROPOSE] = { REFUSE, OPERATION_PROPOSED, AN_ACTIVE_ONE },
        [OPERATION_EV_START] = { MOVE, OPERATION_RUNNING, "approved" },
        [OPERATION_EV_PROMOTE] = { REFUSE, OPERATION_PROPOSED, "it is not approved" },
        [OPERATION_EV_ABORT] = { MOVE, OPERATION_ABORTED, "withdrawn: nothing was touched" },
        [OPERATION_EV_UNDONE] = { REFUSE, OPERATION_PROPOSED, "nothing was touched" },
        [OPERATION_EV_FINISHED] = { REFUSE, OPERATION_PROPOSED, "it is not approved" },
    },
    [OPERATION_RUNNING] = {
        [OPERATION_EV_PROPOSE] = { REFUSE, OPERATION_RUNNING, AN_ACTIVE_ONE },
        [OPERATION_EV_START] = { REFUSE, OPERATION_RUNNING, AN_ACTIVE_ONE },
        [OPERATION_EV_PROMOTE] = { MOVE, OPERATION_PROMOTED, "the point of no return" },
        [OPERATION_EV_ABORT] = { MOVE, OPERATION_UNDOING, "what was severed is reconnected" },
        [OPERATION_EV_UNDONE] = { REFUSE, OPERATION_RUNNING, "it was not aborted" },
        [OPERATION_EV_FINISHED] = { REFUSE, OPERATION_RUNNING, "nothing was promoted" },
    },
    [OPERATION_PROMOTED] = {
        [OPERATION_EV_PROPOSE] = { REFUSE, OPERATION_PROMOTED, AN_ACTIVE_ONE },
        [OPERATION_EV_START] = { REFUSE, OPERATION_PROMOTED, AN_ACTIVE_ONE },
        [OPERATION_EV_PROMOTE] = { STAY, OPERATION_PROMOTED, "it is promoted" },
        [OPERATION_EV_ABORT] = { REFUSE, OPERATION_PROMOTED, "it is past the point of no return: it can only be finished; "
                                                             "to go back, promote the other site" },
        [OPERATION_EV_UNDONE] = { REFUSE, OPERATION_PROMOTED, "it was not aborted" },
        [OPERATION_EV_FINISHED] = { MOVE, OPERATION_DONE, "every step ended well" },
    },
    [OPERATION_UNDOING] = {
        [OPERATION_EV_PROPOSE] = { REFUSE, OPERATION_UNDOING, AN_ACTIVE_ONE },
        [OPERATION_EV_START] = { REFUSE, OPERATION_UNDOING, AN_ACTIVE_ONE },
        [OPERATION_EV_PROMOTE] = { REFUSE, OPERATION_UNDOING, "it was aborted" },
        [OPERATION_EV_ABORT] = { STAY, OPERATION_UNDOING, "it is being undone" },
        [OPERATION_EV_UNDONE] = { MOVE, OPERATION_ABORTED, "all is as before, but for the epoch" },
        [OPERATION_EV_FINISHED] = { REFUSE, OPERATION_UNDOING, "it was aborted" },
    },
    [OPERATION_DONE] = {
        [OPERATION_EV_PROPOSE] = { MOVE, OPERATION_PROPOSED, "waits for approval" },
        [OPERATION_EV_START] = { MOVE, OPERATION_RUNNING, "started" },
        [OPERATION_EV_PROMOTE] = { REFUSE, OPERATION_DONE, ENDED },
        [OPERATION_EV_ABORT] = { REFUSE, OPERATION_DONE, ENDED },
        [OPERATION_EV_UNDONE] = { REFUSE, OPERATION_DONE, ENDED },
        [OPERATION_EV_FINISHED] = { STAY, OPERATION_DONE, ENDED },
    },
    [OPERATION_ABORTED] = {
        [OPERATION_EV_PROPOSE] = { MOVE, OPERATION_PROPOSED, "waits for approval" },
        [OPERATION_EV_START] = { MOVE, OPERATION_RUNNING, "started" },
        [OPERATION_EV_PROMOTE] = { REFUSE, OPERATION_ABORTED, ENDED },
        [OPERATION_EV_ABORT] = { STAY, OPERATION_ABORTED, ENDED },
        [OPERATION_EV_UNDONE] = { STAY, OPERATION_ABORTED, ENDED },
        [OPERATION_EV_FINISHED] = { REFUSE, OPERATION_ABORTED, ENDED },
    },
};

static const struct rule run_rules[RUN_STATE_COUNT][RUN_EVENT_COUNT] = {
    [RUN_PENDING] = {
        [RUN_EV_ASSIGN] = { MOVE, RUN_ASSIGNED, "a node runs it" },
        [RUN_EV_OK] = { REFUSE, RUN_PENDING, "no attempt of it is open" },
        [RUN_EV_FAILED] = { REFUSE, RUN_PENDING, "no attempt of it is open" },
        [RUN_EV_SKIP] = { MOVE, RUN_SKIPPED, "skipped" },
    },
    [RUN_ASSIGNED] = {
        [RUN_EV_ASSIGN] = { REFUSE, RUN_ASSIGNED, "an attempt of it is open" },
        [RUN_EV_OK] = { MOVE, RUN_DONE, "done" },
        [RUN_EV_FAILED] = { MOVE, RUN_PENDING, "will be tried again" },
        [RUN_EV_SKIP] = { MOVE, RUN_SKIPPED, "skipped; its node stops the attempt" },
    },
    [RUN_DONE] = {
        [RUN_EV_ASSIGN] = { REFUSE, RUN_DONE, "it is done" },
        [RUN_EV_OK] = { STAY, RUN_DONE, "it is done" },
        [RUN_EV_FAILED] = { REFUSE, RUN_DONE, "it is done" },
        [RUN_EV_SKIP] = { REFUSE, RUN_DONE, "it is done" },
    },
    [RUN_SKIPPED] = {
        [RUN_EV_ASSIGN] = { REFUSE, RUN_SKIPPED, "it was skipped" },
        [RUN_EV_OK] = { REFUSE, RUN_SKIPPED, "it was skipped" },
        [RUN_EV_FAILED] = { REFUSE, RUN_SKIPPED, "it was skipped" },
        [RUN_EV_SKIP] = { STAY, RUN_SKIPPED, "it was skipped" },
    },
};

struct rule operation_rule(enum operation_state state, enum operation_event event)
{
    ASSERT((unsigned)state < OPERATION_STATE_COUNT);
    ASSERT((unsigned)event < OPERATION_EVENT_COUNT);
    return operation_rules[state][event];
}

struct rule run_rule(enum run_state state, enum run_event event)
{
    ASSERT((unsigned)state < RUN_STATE_COUNT);
    ASSERT((unsigned)event < RUN_EVENT_COUNT);
    return run_rules[state][event];
}

const char *operation_move(struct operation *op, enum operation_event event)
{
    struct rule rule = operation_rule(op->state, event);

    if (rule.verb == REFUSE)
        return rule.why;
    op->state = (enum operation_state)rule.next;
    return (const char *)0;
}

const char *run_move(struct step_run *run, enum run_event event)
{
    struct rule rule = run_rule(run->state, event);

    if (rule.verb == REFUSE)
        return rule.why;
    run->state = (enum run_state)rule.next;
    return (const char *)0;
}

const struct step_run *operation_run(const struct operation *op, enum step step, site_id site)
{
    for (unsigned i = 0; i < op->run_count; i++)
        if (op->runs[i].step == step && (site == SITE_NONE || op->runs[i].site == site))
            return &op->runs[i];
    return (const struct step_run *)0;
}

bool operation_add_run(struct operation *op, enum step step, site_id site)
{
    if (op->run_count == RUNS_MAX)
        return false;
    op->runs[op->run_count++] = (struct step_run){ .step = step, .site = site };
    return true;
}

bool operation_binds_executor(const struct operation *op, site_id site)
{
    bool early = op->state == OPERATION_RUNNING || op->state == OPERATION_UNDOING;

    for (unsigned i = 0; operation_active(op) && i < op->run_count; i++)
        if (op->runs[i].site == site && (op->runs[i].state == RUN_ASSIGNED || (early && op->runs[i].attempt > 0)))
            return true;
    return false;
}
