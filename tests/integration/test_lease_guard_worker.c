/* An extension that carries out SQL in a background worker, as several popular ones do: run_in_worker(text) returns at once, the worker
 * runs the text in a transaction of its own and ends. */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(run_in_worker);

extern PGDLLEXPORT void worker_main(Datum database);

void worker_main(Datum database)
{
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
    StartTransactionCommand();
    SPI_connect();
    PushActiveSnapshot(GetTransactionSnapshot());
    SPI_execute(MyBgworkerEntry->bgw_extra, false, 0);
    SPI_finish();
    PopActiveSnapshot();
    CommitTransactionCommand();
    ereport(LOG, (errmsg("test worker has committed")));
}

/* Arguments: the path of this library, the SQL. */
Datum run_in_worker(PG_FUNCTION_ARGS)
{
    BackgroundWorker worker = {
        .bgw_name = "test worker",
        .bgw_type = "test worker",
        .bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
        .bgw_start_time = BgWorkerStart_RecoveryFinished,
        .bgw_restart_time = BGW_NEVER_RESTART,
        .bgw_function_name = "worker_main",
        .bgw_main_arg = ObjectIdGetDatum(MyDatabaseId),
    };
    BackgroundWorkerHandle *handle;

    strlcpy(worker.bgw_library_name, text_to_cstring(PG_GETARG_TEXT_PP(0)), sizeof worker.bgw_library_name);
    strlcpy(worker.bgw_extra, text_to_cstring(PG_GETARG_TEXT_PP(1)), sizeof worker.bgw_extra);
    if (!RegisterDynamicBackgroundWorker(&worker, &handle))
        ereport(ERROR, (errmsg("no worker is free")));
    PG_RETURN_VOID();
}
