/* lease_guard: refuses commits once the lease of this server has run out.
 *
 * The tour: guard_state.h holds the deadline; guard_commit.c asks it at each commit; guard_worker.c and guard_protocol.c take the leases
 * over a local socket; guard_sql.c offers the same to SQL; break_glass.c is the operator's way past all of it. This file loads them. */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "break_glass.h"
#include "guard_commit.h"
#include "guard_state.h"
#include "guard_worker.h"

#if PG_VERSION_NUM < 150000
#error "lease_guard needs PostgreSQL 15 or later"
#endif

PG_MODULE_MAGIC;

static shmem_request_hook_type next_shmem_request = NULL;
static shmem_startup_hook_type next_shmem_startup = NULL;
static bool glass_broken =
    false; /* as read by the postmaster; its children inherit it, and it outlives a crash of a backend */

extern PGDLLEXPORT void _PG_init(void);

static void on_shmem_request(void)
{
    if (next_shmem_request)
        next_shmem_request();
    RequestAddinShmemSpace(guard_state_size());
    RequestNamedLWLockTranche("lease_guard", 1);
}

/* Runs at each creation of the shared memory: at the start, and again in the same postmaster after the crash of a backend. */
static void on_shmem_startup(void)
{
    bool found;

    if (next_shmem_startup)
        next_shmem_startup();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    guard = ShmemInitStruct("lease_guard", guard_state_size(), &found);
    if (!found)
        guard_state_init(guard, glass_broken);
    LWLockRelease(AddinShmemInitLock);
}

static void define_settings(void)
{
    DefineCustomStringVariable("lease_guard.socket", "Local socket on which leases are taken.",
                               "Relative paths start at the data directory.", &guard_socket_path,
                               "pg_stat_tmp/lease_guard.sock", PGC_POSTMASTER, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
    DefineCustomBoolVariable("lease_guard.require_sync",
                             "Refuses writing transactions whose synchronous_commit is below \"on\".", NULL,
                             &guard_require_sync, false, PGC_SIGHUP, 0, NULL, NULL, NULL);
    DefineCustomStringVariable(
        "lease_guard.canary_role",
        "Role that may write with synchronous_commit = local while lease_guard.require_sync is on.", NULL,
        &guard_canary_role, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
    MarkGUCPrefixReserved("lease_guard");
}

void _PG_init(void)
{
    if (!process_shared_preload_libraries_in_progress)
        ereport(
            ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("lease_guard must be loaded by \"shared_preload_libraries\""),
             errhint(
                 "Add it there and restart the server. If it is there already, this session has named another copy of "
                 "the library than the server's.")));
    define_settings();
    glass_broken = break_glass_read();
    next_shmem_request = shmem_request_hook;
    shmem_request_hook = on_shmem_request;
    next_shmem_startup = shmem_startup_hook;
    shmem_startup_hook = on_shmem_startup;
    guard_commit_install();
    guard_worker_register();
}
