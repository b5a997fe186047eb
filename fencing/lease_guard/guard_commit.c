/* A commit passes two checks. Before anything is written an ERROR is harmless: the transaction aborts, the client reads why. After the
 * flush the write is durable and, with the deadline gone, the answer must not leave:
 *   - an ERROR at that point becomes a PANIC, and an error message would invite a retry of a write that is already there;
 *   - an exit of the backend at that point counts as a crash and restarts the whole server.
 * So the connection's socket is shut down at once, which makes every later byte fail, and the backend ends itself at its next regular
 * check for interrupts. The client sees a broken connection: the result is unknown, which is the truth.
 *
 * An open server pays one atomic read and one reading of the clock per check. The deadline is read first, the clock second: whoever
 * passes did so at the moment of the first read, when the guard was open. */
#include "guard_commit.h"

#include <sys/socket.h>

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "libpq/libpq-be.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "replication/logicalworker.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"

#include "guard_clock.h"
#include "guard_state.h"

bool guard_require_sync = false;
char *guard_canary_role = NULL;

static ProcessUtility_hook_type next_utility = NULL;
static object_access_hook_type next_object_access = NULL;

/* This transaction changed something that other sessions see, or will get a transaction id only after the check before commit: nextval()
 * within values already logged, NOTIFY, a WAL message. Kept until the transaction ends, also when a subtransaction rolls back. */
static bool wrote_without_xid = false;

static bool gate_passes(void)
{
    uint64 gate_us = pg_atomic_read_u64(&guard->gate_us);

    pg_read_barrier();
    return (uint64)guard_clock_late_us() < gate_us; /* closed is 0, bypass is the greatest number */
}

/* Nobody knows whom a worker of another extension answers: some carry out a client's SQL and hand the result back. */
static bool is_extension_worker(void)
{
    return MyBgworkerEntry != NULL && strcmp(MyBgworkerEntry->bgw_library_name, "postgres") != 0;
}

/* Who may be answered by a commit: a client (a walsender takes SQL too, so it is no exception), the publisher of a logical subscription,
 * whoever stands behind an extension's worker, and the person at a single-user server. Everything else, autovacuum and PostgreSQL's own
 * workers, acknowledges to nobody. All of it is set by the server when the process starts; no SQL changes it. */
static bool is_answered(void)
{
    return MyProcPort != NULL || IsLogicalWorker() || is_extension_worker() || !IsUnderPostmaster;
}

/* A logical worker always counts as writing: it commits a publisher's prepared transactions without a transaction id of its own. */
static bool writes(void)
{
    return TransactionIdIsValid(GetTopTransactionIdIfAny()) || wrote_without_xid || IsLogicalWorker();
}

static void report_why_closed(const struct guard_status *s, char *detail, size_t size)
{
    if (s->closed_epoch > 0 && s->epoch <= s->closed_epoch)
        snprintf(detail, size, "Epoch " UINT64_FORMAT " was closed.", s->closed_epoch);
    else if (s->epoch == 0)
        snprintf(detail, size, "No lease was granted since this server started (instance %016" INT64_MODIFIER "x).",
                 s->instance);
    else
        snprintf(detail, size, "The lease of epoch " UINT64_FORMAT " ended " INT64_FORMAT " ms ago.", s->epoch,
                 (s->now_us - s->deadline_us) / 1000);
}

static void refuse_while_closed(void)
{
    struct guard_status s;
    char detail[128];

    if (likely(gate_passes()))
        return;
    pg_atomic_fetch_add_u64(&guard->refused_before, 1);
    s = guard_status_read();
    report_why_closed(&s, detail, sizeof detail);
    ereport(
        ERROR,
        (errcode(ERRCODE_LEASE_GUARD_CLOSED), errmsg("lease_guard: this server may not commit writes now"),
         errdetail_internal("%s", detail),
         errhint(
             "The primary of this service is probably another server by now: connect anew through the service's name. "
             "\"coordctl status\" tells who holds the lease.")));
}

/* The one role that measures the primary itself, without waiting for the standby. The name is the one it logged in with: SET ROLE and
 * SET SESSION AUTHORIZATION do not change it. */
static bool is_canary(void)
{
    return MyProcPort != NULL && MyProcPort->user_name != NULL && guard_canary_role != NULL &&
           guard_canary_role[0] != '\0' && strcmp(MyProcPort->user_name, guard_canary_role) == 0 &&
           synchronous_commit == SYNCHRONOUS_COMMIT_LOCAL_FLUSH;
}

static void refuse_without_sync(void)
{
    if (likely(!guard_require_sync || synchronous_commit >= SYNCHRONOUS_COMMIT_ON || is_canary()))
        return;
    pg_atomic_fetch_add_u64(&guard->refused_before, 1);
    ereport(
        ERROR,
        (errcode(ERRCODE_LEASE_GUARD_NOT_SYNCHRONOUS),
         errmsg("lease_guard: this service commits synchronously, and this transaction would not"),
         errdetail(
             "\"synchronous_commit\" is \"%s\" here; \"lease_guard.require_sync\" needs \"on\" or \"remote_apply\".",
             GetConfigOption("synchronous_commit", false, false)),
         errhint("Remove the setting from the session, the role or the database.")));
}

static void check_before(void)
{
    refuse_while_closed();
    refuse_without_sync();
}

/* Nothing here may fail or wait: the transaction is committed, but its locks and its memory are still held. */
static void end_without_answer(void)
{
    pg_atomic_fetch_add_u64(&guard->refused_after, 1);
    if (MyProcPort != NULL) {
        /* Not connected any more: nobody can read an answer. Anything else is impossible, and a crash answers nobody either. */
        if (shutdown(MyProcPort->sock, SHUT_RDWR) != 0 && errno != ENOTCONN)
            elog(PANIC, "lease_guard: the client's socket cannot be shut down: %m");
        ClientConnectionLost = true;
    } else {
        ProcDiePending =
            true; /* a logical worker checks for interrupts before it confirms anything; others, as soon as they do */
    }
    InterruptPending = true;
    ereport(LOG_SERVER_ONLY,
            (errcode(ERRCODE_LEASE_GUARD_CLOSED),
             errmsg("lease_guard: the lease ended while a transaction was committing; its connection is ended without "
                    "an answer"),
             errdetail("The transaction is committed here; whether the service's primary holds it is unknown.")));
}

static void check_after(void)
{
    if (unlikely(!gate_passes()))
        end_without_answer();
}

static void on_xact(XactEvent event, void *arg)
{
    (void)arg;
    switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
        if (writes() && is_answered())
            check_before();
        return;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PREPARE: /* a promise to commit is an acknowledgement too */
        if (writes() && is_answered())
            check_after();
        wrote_without_xid = false;
        return;
    case XACT_EVENT_ABORT:
        wrote_without_xid = false;
        return;
    case XACT_EVENT_PARALLEL_PRE_COMMIT: /* the leader commits for its workers */
    case XACT_EVENT_PARALLEL_COMMIT:
    case XACT_EVENT_PARALLEL_ABORT:
        return;
    }
}

/* Changes files before its commit, where a refusal could not take it back; on a standby too, by WAL that needs no commit. */
static bool acts_before_commit(const Node *statement)
{
    return IsA(statement, CreatedbStmt) || IsA(statement, DropdbStmt) || IsA(statement, AlterDatabaseStmt) ||
           IsA(statement, CreateTableSpaceStmt) || IsA(statement, DropTableSpaceStmt);
}

static bool is_commit_prepared(const Node *statement)
{
    return IsA(statement, TransactionStmt) && ((const TransactionStmt *)statement)->kind == TRANS_STMT_COMMIT_PREPARED;
}

static void on_utility(PlannedStmt *planned, const char *query, bool read_only_tree, ProcessUtilityContext context,
                       ParamListInfo params, QueryEnvironment *environment, DestReceiver *dest,
                       QueryCompletion *completion)
{
    const Node *statement = planned->utilityStmt;
    bool commits_prepared = is_commit_prepared(statement) && is_answered();

    if (commits_prepared || (acts_before_commit(statement) && is_answered()))
        check_before();
    if (IsA(statement, NotifyStmt))
        wrote_without_xid = true;
    (next_utility ? next_utility : standard_ProcessUtility)(planned, query, read_only_tree, context, params,
                                                            environment, dest, completion);
    if (commits_prepared)
        check_after();
}

static void on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
    if (access == OAT_FUNCTION_EXECUTE &&
        (object_id == F_NEXTVAL || object_id == F_PG_NOTIFY || object_id == F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_TEXT ||
         object_id == F_PG_LOGICAL_EMIT_MESSAGE_BOOL_TEXT_BYTEA))
        wrote_without_xid = true;
    if (next_object_access)
        next_object_access(access, class_id, object_id, sub_id, arg);
}

void guard_commit_install(void)
{
    RegisterXactCallback(on_xact, NULL);
    next_utility = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
    next_object_access = object_access_hook;
    object_access_hook = on_object_access;
}
