"""The check before a commit: who is refused, when, and with what answer."""
import threading
import unittest

import psycopg2

from test_lease_guard_support import CLOSED, NOT_SYNCHRONOUS, Server, execute, fields, wait_until


class CommitTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.must_open()
        cls.server.sql("CREATE TABLE t (i int)")
        cls.server.sql("CREATE SEQUENCE s")
        cls.server.sql("CREATE PROCEDURE two_rows() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (1); COMMIT; "
                       "INSERT INTO t VALUES (2); COMMIT; END $$")

    def setUp(self):
        """A new instance, so that no test inherits another's lease."""
        self.server.restart()

    def rows(self):
        return self.server.sql("SELECT count(*) FROM t")[0][0]

    def refused(self, statement, code=CLOSED, **connect):
        connection = self.server.connect(**connect)
        try:
            with self.assertRaises(psycopg2.Error) as caught:
                execute(connection, statement)
            self.assertEqual(caught.exception.pgcode, code, caught.exception)
            return caught.exception
        finally:
            connection.close()

    def test_a_server_starts_closed_and_says_why(self):
        self.assertEqual(self.server.status()["state"], "closed")
        error = self.refused("INSERT INTO t VALUES (1)")
        self.assertIn("No lease was granted since this server started", error.diag.message_detail)
        self.assertIn("connect anew", error.diag.message_hint)

    def test_commits_pass_until_the_deadline_and_not_after_it(self):
        before = self.rows()
        self.server.must_open()
        self.server.sql("INSERT INTO t VALUES (1)")
        self.assertEqual(self.server.status()["state"], "open")
        self.server.let_lease_end()
        error = self.refused("INSERT INTO t VALUES (2)")
        self.assertIn("The lease of epoch 1 ended", error.diag.message_detail)
        self.assertEqual(self.rows(), before + 1)
        self.server.must_open()
        self.server.sql("INSERT INTO t VALUES (3)")
        self.assertEqual(self.rows(), before + 2)

    def test_a_lease_ends_by_itself(self):
        deadline = self.server.must_open(hold_ms=300)
        wait_until(lambda: int(self.server.status()["now_us"]) >= deadline, "the deadline passes")
        self.assertEqual(self.server.status()["state"], "closed")
        self.refused("INSERT INTO t VALUES (2)")

    def test_the_superuser_is_refused_like_everybody_and_so_is_ddl(self):
        for statement in ("CREATE TABLE u (i int)", "DROP TABLE t", "ALTER TABLE t ADD j int", "TRUNCATE t", "CREATE ROLE r",
                          "COMMENT ON TABLE t IS 'x'", "CREATE TEMP TABLE v (i int)", "CREATE INDEX CONCURRENTLY ON t (i)",
                          "UPDATE t SET i = 1", "DELETE FROM t", "SELECT txid_current()", "SELECT lo_create(0)"):
            with self.subTest(statement):
                if statement.startswith(("UPDATE", "DELETE")):
                    self.server.must_open()
                    self.server.sql("INSERT INTO t VALUES (1)")
                    self.server.ask("close epoch=1")
                self.refused(statement)
                self.server.restart()

    def test_databases_and_tablespaces_are_refused_before_their_files_change(self):
        self.server.must_open()
        self.server.sql("CREATE DATABASE d")
        self.server.ask("close epoch=1")
        self.refused("DROP DATABASE d")
        self.assertEqual(self.server.sql("SELECT datconnlimit FROM pg_database WHERE datname = 'd'"), [(-1,)])
        self.server.connect(dbname="d").close()
        self.refused("CREATE DATABASE e")
        self.refused("ALTER DATABASE d CONNECTION LIMIT 3")
        self.server.must_open(epoch=2)
        self.server.sql("DROP DATABASE d")

    def test_what_reads_only_passes(self):
        connection = self.server.connect()
        for statement in ("SELECT count(*) FROM t", "SHOW work_mem", "SELECT pg_sleep(0)", "EXPLAIN SELECT 1",
                          "SET work_mem = '1MB'", "LISTEN c", "DISCARD ALL", "CHECKPOINT", "DO $$ BEGIN PERFORM 1; END $$",
                          "VACUUM (TRUNCATE off) t"):
            with self.subTest(statement):
                execute(connection, statement)
        execute(connection, "BEGIN")
        execute(connection, "INSERT INTO t VALUES (1)")
        execute(connection, "ROLLBACK")
        connection.close()

    def test_nextval_counts_as_a_write_even_within_logged_values(self):
        self.server.must_open()
        self.server.sql("SELECT nextval('s')")  # logs 32 values ahead: the next one needs no transaction id
        self.server.let_lease_end()
        self.refused("SELECT nextval('s')")
        self.refused("SELECT nextval('s')")

    def test_notify_is_refused_with_an_error(self):
        self.refused("NOTIFY c, 'x'")
        self.refused("SELECT pg_notify('c', 'x')")
        self.refused("SELECT pg_logical_emit_message(false, 'a', 'b')")
        connection = self.server.connect()
        execute(connection, "SELECT 1")  # the mark of a write does not outlive its transaction
        with self.assertRaises(psycopg2.Error):
            execute(connection, "NOTIFY c")
        execute(connection, "SELECT 1")
        connection.close()

    def test_a_transaction_block_is_refused_at_its_commit_and_rolled_back(self):
        before = self.rows()
        connection = self.server.connect()
        execute(connection, "BEGIN")
        execute(connection, "INSERT INTO t VALUES (1)")
        execute(connection, "SAVEPOINT p")
        execute(connection, "INSERT INTO t VALUES (2)")
        execute(connection, "RELEASE p")
        with self.assertRaises(psycopg2.Error) as caught:
            execute(connection, "COMMIT")
        self.assertEqual(caught.exception.pgcode, CLOSED)
        self.assertEqual(execute(connection, "SELECT count(*) FROM t"), [(before,)])
        connection.close()

    def test_many_statements_in_one_query_are_one_commit(self):
        before = self.rows()
        self.refused("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
        self.assertEqual(self.rows(), before)

    def test_copy_is_refused(self):
        before = self.rows()
        self.refused("COPY t FROM PROGRAM 'echo 7'")
        self.assertEqual(self.rows(), before)

    def test_a_procedure_is_refused_at_its_first_commit(self):
        before = self.rows()
        self.refused("CALL two_rows()")
        self.assertEqual(self.rows(), before)
        self.server.must_open()
        self.server.sql("CALL two_rows()")
        self.assertEqual(self.rows(), before + 2)

    def test_asynchronous_commits_are_refused_too(self):
        before = self.rows()
        self.refused("INSERT INTO t VALUES (1)", options="'-c synchronous_commit=off'")
        self.assertEqual(self.rows(), before)

    def test_prepare_and_commit_prepared_are_refused_and_rollback_prepared_passes(self):
        self.refused("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'p'")
        self.assertEqual(self.server.sql("SELECT count(*) FROM pg_prepared_xacts"), [(0,)])
        self.server.must_open()
        before = self.rows()
        for name in ("p", "q"):
            self.server.sql(f"BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '{name}'")
        self.server.let_lease_end()
        self.refused("COMMIT PREPARED 'p'")
        self.assertEqual(self.rows(), before)
        self.server.sql("ROLLBACK PREPARED 'q'")
        self.server.must_open()
        self.server.sql("COMMIT PREPARED 'p'")
        self.assertEqual(self.rows(), before + 1)

    def test_a_walsender_that_runs_sql_is_a_client(self):
        self.refused("INSERT INTO t VALUES (1)", replication="database")

    def test_parallel_workers_follow_their_leader(self):
        eager = "-c parallel_setup_cost=0 -c min_parallel_table_scan_size=0 -c parallel_tuple_cost=0".replace(" ", "\\ ")
        connection = self.server.connect(options=f"'{eager}'")
        execute(connection, "SET max_parallel_workers_per_gather = 2")
        self.server.must_open()
        execute(connection, "INSERT INTO t SELECT generate_series(1, 20000)")
        execute(connection, "ANALYZE t")
        self.server.let_lease_end()
        self.assertIn("Gather", str(execute(connection, "EXPLAIN SELECT count(*) FROM t WHERE i % 7 = 0")))
        execute(connection, "SELECT count(*) FROM t WHERE i % 7 = 0")
        with self.assertRaises(psycopg2.Error) as caught:
            execute(connection, "CREATE TABLE w AS SELECT count(*) FROM t WHERE i % 7 = 0")
        self.assertEqual(caught.exception.pgcode, CLOSED)
        self.server.must_open()
        execute(connection, "CREATE TABLE w AS SELECT count(*) FROM t WHERE i % 7 = 0")
        execute(connection, "DROP TABLE w")
        execute(connection, "TRUNCATE t")
        connection.close()

    def test_two_writers_are_refused_at_the_same_deadline(self):
        self.server.must_open()
        counts = [0, 0]

        def write(i):
            connection = self.server.connect()
            try:
                while True:
                    execute(connection, "INSERT INTO t VALUES (1)")
                    counts[i] += 1
            except psycopg2.Error as error:
                counts[i] = (counts[i], error.pgcode)
            connection.close()

        threads = [threading.Thread(target=write, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: all(isinstance(c, int) and c > 3 for c in counts), "both write")
        self.server.ask("close epoch=1")
        for thread in threads:
            thread.join()
        for _, code in counts:
            self.assertIn(code, (CLOSED, None))  # None: its commit was already past the flush

    def test_every_refusal_is_counted(self):
        self.refused("INSERT INTO t VALUES (1)")
        self.refused("INSERT INTO t VALUES (1)")
        self.assertEqual(self.server.status()["refused"], "2")


class RequireSyncTest(unittest.TestCase):
    """lease_guard.require_sync without a standby: the setting is judged, not the wait."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server({"lease_guard.require_sync": "on", "lease_guard.canary_role": "'canary'"})
        cls.server.must_open()
        cls.server.sql("CREATE TABLE t (i int)")
        cls.server.sql("CREATE ROLE canary LOGIN")
        cls.server.sql("GRANT ALL ON t TO canary")

    def attempt(self, level, statement="INSERT INTO t VALUES (1)", user="postgres", role=None):
        connection = self.server.connect(user=user, options=f"'-c synchronous_commit={level}'")
        try:
            if role is not None:
                execute(connection, f"SET ROLE {role}")
            execute(connection, statement)
            return None
        except psycopg2.Error as error:
            connection.rollback()
            return error.pgcode
        finally:
            connection.close()

    def test_only_on_and_remote_apply_may_write(self):
        for level, code in (("on", None), ("remote_apply", None), ("remote_write", NOT_SYNCHRONOUS), ("local", NOT_SYNCHRONOUS),
                            ("off", NOT_SYNCHRONOUS)):
            with self.subTest(level):
                self.assertEqual(self.attempt(level), code)

    def test_readers_may_use_any_level(self):
        self.assertIsNone(self.attempt("off", "SELECT count(*) FROM t"))

    def test_a_level_set_just_before_the_commit_counts(self):
        self.assertEqual(self.attempt("on", "BEGIN; INSERT INTO t VALUES (1); SET LOCAL synchronous_commit = off; COMMIT"),
                         NOT_SYNCHRONOUS)

    def test_the_canary_may_write_with_local_and_nothing_lower(self):
        self.assertIsNone(self.attempt("local", user="canary"))
        self.assertEqual(self.attempt("off", user="canary"), NOT_SYNCHRONOUS)
        self.assertEqual(self.attempt("local", role="canary"), NOT_SYNCHRONOUS)
        self.assertIsNone(self.attempt("on", user="canary"))

    def test_two_phase_commit_is_judged_at_both_phases(self):
        self.assertEqual(self.attempt("local", "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'p'"), NOT_SYNCHRONOUS)
        self.assertIsNone(self.attempt("on", "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'p'"))
        self.assertEqual(self.attempt("local", "COMMIT PREPARED 'p'"), NOT_SYNCHRONOUS)
        self.assertIsNone(self.attempt("on", "COMMIT PREPARED 'p'"))

    def test_a_closed_guard_is_named_first_and_no_client_can_change_the_rule(self):
        connection = self.server.connect()
        for name in ("require_sync", "canary_role", "socket"):
            with self.assertRaises(psycopg2.Error):
                execute(connection, f"SET lease_guard.{name} = off")
        connection.close()
        epoch = int(fields(self.server.ask("status"))["epoch"])
        self.server.ask(f"close epoch={epoch}")
        self.assertEqual(self.attempt("off"), CLOSED)
        self.server.must_open(epoch=epoch + 1)


if __name__ == "__main__":
    unittest.main()
