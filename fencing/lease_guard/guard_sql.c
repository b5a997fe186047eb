/* The guard's functions for SQL: the same decisions as over the socket, for remote agents and for people. A refusal is an error. */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "guard_commit.h"
#include "guard_state.h"

PG_FUNCTION_INFO_V1(lease_guard_status);
PG_FUNCTION_INFO_V1(lease_guard_now);
PG_FUNCTION_INFO_V1(lease_guard_open);
PG_FUNCTION_INFO_V1(lease_guard_close);
PG_FUNCTION_INFO_V1(lease_guard_bypass_on);
PG_FUNCTION_INFO_V1(lease_guard_bypass_off);

/* SQL has no unsigned 64-bit type; no counter gets that far, but close() may be told the greatest epoch of all. */
static Datum unsigned_datum(uint64 value)
{
    return Int64GetDatum(value > PG_INT64_MAX ? PG_INT64_MAX : (int64)value);
}

static Datum instance_datum(uint64 instance)
{
    return CStringGetTextDatum(psprintf("%016" INT64_MODIFIER "x", instance));
}

static uint64 instance_argument(FunctionCallInfo fcinfo)
{
    char *digits = text_to_cstring(PG_GETARG_TEXT_PP(0));

    if (strlen(digits) != 16 || strspn(digits, "0123456789abcdefABCDEF") != 16)
        ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION), errmsg("not an instance: \"%s\"", digits),
                        errdetail("An instance has 16 hexadecimal digits.")));
    return strtoull(digits, NULL, 16);
}

static uint64 epoch_argument(FunctionCallInfo fcinfo, int position)
{
    int64 epoch = PG_GETARG_INT64(position);

    if (epoch < 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("an epoch is not negative")));
    return (uint64)epoch;
}

static void refuse_unless_ok(const char *what, enum guard_verdict verdict)
{
    if (verdict != GUARD_OK)
        ereport(ERROR, (errcode(ERRCODE_LEASE_GUARD_OPEN_REFUSED),
                        errmsg("lease_guard: %s refused: %s", what, guard_verdict_word(verdict))));
}

static Datum row_datum(FunctionCallInfo fcinfo, Datum *values, int count)
{
    bool nulls[16] = { false };
    TupleDesc row;

    if (get_call_result_type(fcinfo, NULL, &row) != TYPEFUNC_COMPOSITE || row->natts != count)
        elog(ERROR, "lease_guard: the SQL declaration and the library do not belong together");
    return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row), values, nulls));
}

Datum lease_guard_status(PG_FUNCTION_ARGS)
{
    struct guard_status s = guard_status_read();
    Datum values[] = {
        instance_datum(s.instance),       CStringGetTextDatum(s.bypass ? "bypass" : s.open ? "open" : "closed"),
        unsigned_datum(s.epoch),          Int64GetDatum(s.deadline_us),
        Int64GetDatum(s.now_us),          unsigned_datum(s.closed_epoch),
        unsigned_datum(s.refused_before), unsigned_datum(s.refused_after),
        BoolGetDatum(s.in_recovery),      BoolGetDatum(!s.bypass),
        BoolGetDatum(s.break_glass),
    };

    PG_RETURN_DATUM(row_datum(fcinfo, values, (int)lengthof(values)));
}

Datum lease_guard_now(PG_FUNCTION_ARGS)
{
    Datum values[] = { instance_datum(guard->instance), Int64GetDatum(guard_now()) };

    PG_RETURN_DATUM(row_datum(fcinfo, values, (int)lengthof(values)));
}

Datum lease_guard_open(PG_FUNCTION_ARGS)
{
    int64 hold_ms = PG_GETARG_INT32(3);
    int64 deadline_us = 0;

    refuse_unless_ok("open", hold_ms < 0 ? GUARD_INVALID
                                         : guard_open(instance_argument(fcinfo), epoch_argument(fcinfo, 1),
                                                      PG_GETARG_INT64(2), (uint32)hold_ms, &deadline_us));
    PG_RETURN_INT64(deadline_us);
}

Datum lease_guard_close(PG_FUNCTION_ARGS)
{
    refuse_unless_ok("close", guard_close(epoch_argument(fcinfo, 0)));
    PG_RETURN_VOID();
}

Datum lease_guard_bypass_on(PG_FUNCTION_ARGS)
{
    refuse_unless_ok("bypass", guard_bypass_on(instance_argument(fcinfo), epoch_argument(fcinfo, 1)));
    PG_RETURN_VOID();
}

Datum lease_guard_bypass_off(PG_FUNCTION_ARGS)
{
    (void)fcinfo;
    refuse_unless_ok("bypass", guard_bypass_off());
    PG_RETURN_VOID();
}
