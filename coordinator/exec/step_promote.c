/* pg_promote at the target, behind its own guard: the promoted server must refuse commits until its first renewal has opened it.
 * Order: the guard says that it is enforcing -> the applied state still gives this site the right, looked at in the same turn of the loop
 * -> the promotion begins. */
#include <inttypes.h>
#include <stdlib.h>

#include "exec/steps.h"
#include "fencing/guard_client.h"
#include "postgres/promote.h"

#define GUARD_TIMEOUT_MS 2000

struct promote_step {
    struct step_attempt *a;
    struct guard_client *guard;
    struct promote *promote; /* NULL: not under way */
    bool cancelled;
    bool ending;
};

static void on_guard_gone(void *ctx)
{
    struct promote_step *p = ctx;
    struct step_attempt *a = p->a;

    free(p);
    step_end(a);
}

static void end(struct promote_step *p)
{
    p->ending = true;
    guard_client_destroy(p->guard, on_guard_gone, p);
}

static void on_promoted(void *ctx, const struct promote_result *result, const struct error *err)
{
    struct promote_step *p = ctx;
    const struct wal_position *at;

    p->promote = NULL;
    if (err != NULL) {
        step_failed(p->a, "%s", err->text);
        end(p);
        return;
    }
    at = &result->state.position;
    if (result->already_primary)
        step_ok(p->a, "already primary on timeline %" PRIu32 " at %" PRIX32 "/%" PRIX32, at->timeline,
                (uint32_t)(at->lsn >> 32), (uint32_t)at->lsn);
    else
        step_ok(p->a, "promoted in %" PRId64 " ms: timeline %" PRIu32 " at %" PRIX32 "/%" PRIX32,
                result->duration_us / 1000, at->timeline, (uint32_t)(at->lsn >> 32), (uint32_t)at->lsn);
    end(p);
}

/* NULL, or why a promotion could let writes through that no lease covers. */
static const char *guard_objection(const struct step_attempt *a, const struct guard_status *status)
{
    if (!a->enforced)
        return NULL; /* disarmed, paused or shadow: its guard is open by design, and the state says so */
    if (status->state == GUARD_BYPASS)
        return "bypassed";
    return status->enforcing ? NULL : "not enforcing";
}

static void on_guard(void *ctx, const struct guard_answer *answer, const struct error *err)
{
    struct promote_step *p = ctx;
    struct step_attempt *a = p->a;
    struct promote_request request = { .conninfo = a->local->conninfo, .synchronous_standby_names = "" };
    const char *objection = err == NULL ? guard_objection(a, &answer->status) : NULL;
    const char *right = a->env->promotion_objection(a->env->exec, a);

    if (err != NULL)
        step_failed(a, "lease_guard of %s does not say that it is enforcing: %s", a->site_name, err->text);
    else if (objection != NULL)
        step_failed(a, "lease_guard is %s at site %s: promotion would accept writes without a lease", objection,
                    a->site_name);
    else if (p->cancelled)
        step_failed(a, "canceled");
    else if (right != NULL)
        step_failed(a, "not promoted at %s in epoch %" PRIu64 ": %s", a->site_name, a->epoch, right);
    else
        request.timeout_ms = step_left_ms(a);
    if (request.timeout_ms == 0) {
        end(p);
        return;
    }
    step_waits(a, "pg_promote at %s to end recovery", a->site_name);
    p->promote = promote_begin(a->env->loop, &request, on_promoted, p);
}

static void begin(struct step_attempt *a)
{
    struct promote_step *p;

    if (!step_has_local(a))
        return;
    if (a->local->guard_socket[0] == '\0') {
        step_end_failed(a,
                        "site %s has no lease_guard (guard_socket of node %s): promotion would accept writes without "
                        "a lease",
                        a->site_name, a->node_name);
        return;
    }
    p = step_memory(sizeof *p);
    p->a = a;
    p->guard = guard_client_create(a->env->loop, a->local->guard_socket);
    if (p->guard == NULL) {
        free(p);
        step_end_failed(a, "%s is no path for a socket", a->local->guard_socket);
        return;
    }
    a->self = p;
    step_waits(a, "lease_guard of %s to answer", a->site_name);
    guard_status_begin(p->guard, GUARD_TIMEOUT_MS, on_guard, p);
}

static void cancel(struct step_attempt *a)
{
    struct promote_step *p = a->self;

    p->cancelled = true;
    if (p->promote != NULL)
        promote_cancel(p->promote);
    else if (!p->ending)
        guard_client_cancel(p->guard);
}

const struct step_method step_promote = { .begin = begin, .cancel = cancel };
