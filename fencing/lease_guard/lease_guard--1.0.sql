\echo Use "CREATE EXTENSION lease_guard" to load this file. \quit

-- Every name carries its schema: without it, now() would be PostgreSQL's own.

CREATE FUNCTION lease_guard.status(OUT instance text, OUT state text, OUT epoch bigint, OUT deadline_us bigint, OUT now_us bigint,
                                   OUT closed_epoch bigint, OUT refused_before_flush bigint, OUT refused_after_flush bigint,
                                   OUT in_recovery boolean, OUT enforcing boolean, OUT break_glass boolean)
    AS 'MODULE_PATHNAME', 'lease_guard_status' LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION lease_guard.status() IS 'state of the guard: open, closed or bypass, and until when on the clock of now()';

CREATE FUNCTION lease_guard.now(OUT instance text, OUT now_us bigint)
    AS 'MODULE_PATHNAME', 'lease_guard_now' LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION lease_guard.now() IS 'this life of the server, and its clock: a sample for open()';

CREATE FUNCTION lease_guard.open(instance text, epoch bigint, t0_us bigint, hold_ms integer) RETURNS bigint
    AS 'MODULE_PATHNAME', 'lease_guard_open' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION lease_guard.open(text, bigint, bigint, integer)
    IS 'commits pass until t0_us + hold_ms; returns the deadline that now holds';

CREATE FUNCTION lease_guard.close(epoch bigint) RETURNS void
    AS 'MODULE_PATHNAME', 'lease_guard_close' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION lease_guard.close(bigint) IS 'refuses this epoch and all before it until the server is restarted';

CREATE FUNCTION lease_guard.bypass_on(instance text, epoch bigint) RETURNS void
    AS 'MODULE_PATHNAME', 'lease_guard_bypass_on' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION lease_guard.bypass_on(text, bigint)
    IS 'not enforcing: commits pass without a lease until bypass_off() or close()';

CREATE FUNCTION lease_guard.bypass_off() RETURNS void
    AS 'MODULE_PATHNAME', 'lease_guard_bypass_off' LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION lease_guard.bypass_off() IS 'enforcing again: a lease is needed from now on';

REVOKE ALL ON FUNCTION lease_guard.status(), lease_guard.now(), lease_guard.open(text, bigint, bigint, integer),
    lease_guard.close(bigint), lease_guard.bypass_on(text, bigint), lease_guard.bypass_off() FROM PUBLIC;
GRANT USAGE ON SCHEMA lease_guard TO pg_monitor;
GRANT EXECUTE ON FUNCTION lease_guard.status(), lease_guard.now() TO pg_monitor;
