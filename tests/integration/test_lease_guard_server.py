"""The guard inside a server in trouble: full, frozen, crashed, shutting down."""
import os
import shutil
import signal
import threading
import time
import unittest

import psycopg2

from test_lease_guard_support import CLOSED, Server, execute, fields, kill, root, wait_until


class ServerTest(unittest.TestCase):
    def setUp(self):
        self.server = Server(self.settings())
        self.server.must_open()
        self.server.sql("CREATE TABLE t (i int)")

    def tearDown(self):
        self.server.stop(mode="immediate")

    @staticmethod
    def settings():
        return {}

    def writes(self, connection=None):
        """True: acknowledged. False: refused with the guard's own code."""
        try:
            if connection is None:
                self.server.sql("INSERT INTO t VALUES (1)")
            else:
                execute(connection, "INSERT INTO t VALUES (1)")
            return True
        except psycopg2.Error as error:
            self.assertEqual(error.pgcode, CLOSED, error)
            return False


class TroubleTest(ServerTest):
    def test_full_connection_slots_do_not_close_the_guard(self):
        connections = []
        with self.assertRaises(psycopg2.OperationalError):
            while True:
                connections.append(self.server.connect())
        self.server.must_open()
        self.assertEqual(self.server.status()["state"], "open")
        self.assertTrue(self.writes(connections[0]))
        self.server.ask("close epoch=1")
        self.assertFalse(self.writes(connections[0]))
        for connection in connections:
            connection.close()

    def test_a_stopped_postmaster_does_not_close_the_guard(self):
        connection = self.server.connect()
        pid = self.server.postmaster_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(3):  # a new connection to the socket each time, and a lease each time
                self.server.must_open()
                self.assertTrue(self.writes(connection))
            self.server.ask("close epoch=1")
            self.assertFalse(self.writes(connection))
        finally:
            os.kill(pid, signal.SIGCONT)
        connection.close()

    def test_a_backend_killed_begins_a_new_closed_instance(self):
        before = self.server.status()["instance"]
        self.server.ask("close epoch=1")
        victim = self.server.connect()
        kill(victim.info.backend_pid)
        wait_until(lambda: self.instance_now() not in (None, before), "the server reinitialises itself")
        victim.close()
        status = self.server.status()
        self.assertEqual((status["state"], status["epoch"], status["closed_epoch"]), ("closed", "0", "0"))
        now = status["now_us"]
        self.assertEqual(self.server.ask(f"open instance={before} epoch=9 t0_us={now} hold_ms=60000"), "refused reason=instance")
        wait_until(self.accepts, "connections are accepted again")
        self.assertFalse(self.writes())
        self.server.must_open(epoch=2)
        self.assertTrue(self.writes())

    def test_the_worker_killed_comes_back_with_a_new_instance(self):
        before = self.server.status()["instance"]
        kill(self.server.worker_pid())
        wait_until(lambda: self.instance_now() not in (None, before), "the server reinitialises itself")
        wait_until(self.accepts, "connections are accepted again")
        self.assertFalse(self.writes())

    def test_the_worker_ended_politely_comes_back_in_the_same_instance(self):
        before = self.server.status()["instance"]
        pid = self.server.worker_pid()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the worker ends")
        self.assertEqual(self.server.status()["instance"], before)
        self.assertTrue(self.writes())
        self.server.must_open()

    def test_the_worker_ends_with_its_postmaster(self):
        pids = self.server.all_pids()
        worker = self.server.worker_pid()
        kill(pids[0])
        wait_until(lambda: not os.path.exists(f"/proc/{worker}"), "the worker ends")
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "the whole server ends")
        self.server.start()  # the socket that was left behind is no obstacle
        self.assertFalse(self.writes())

    def test_a_stopped_server_leaves_no_socket(self):
        self.server.stop()
        self.assertFalse(os.path.exists(self.server.guard_path))

    def test_a_smart_shutdown_does_not_close_the_guard_for_the_sessions_it_waits_for(self):
        connection = self.server.connect()
        os.kill(self.server.postmaster_pid(), signal.SIGTERM)
        wait_until(lambda: not self.accepts(), "no new connections")
        self.server.must_open()
        self.assertTrue(self.writes(connection))
        connection.close()
        wait_until(lambda: not os.path.exists(os.path.join(self.server.data, "postmaster.pid")), "the server ends")
        self.server.running = False

    def test_a_restart_begins_a_new_closed_instance(self):
        before = self.server.status()["instance"]
        self.server.restart()
        status = self.server.status()
        self.assertNotEqual(status["instance"], before)
        self.assertEqual(status["state"], "closed")
        self.assertFalse(self.writes())

    def test_checkpoints_and_a_clean_shutdown_work_while_closed(self):
        self.server.ask("close epoch=1")
        self.server.sql("CHECKPOINT")
        self.server.restart()

    def test_renewals_keep_a_short_lease_open_under_load(self):
        """A lease of two seconds, renewed by hand; the writer sees no refusal."""
        self.server.must_open(epoch=2, hold_ms=10_000)
        stop = threading.Event()
        result = {"count": 0, "error": None}

        def write():
            connection = self.server.connect()
            try:
                while not stop.is_set():
                    execute(connection, "INSERT INTO t VALUES (1)")
                    result["count"] += 1
            except psycopg2.Error as error:
                result["error"] = error
            connection.close()

        thread = threading.Thread(target=write)
        thread.start()
        for _ in range(10):
            self.server.must_open(epoch=2, hold_ms=10_000)
            time.sleep(0.05)
        wait_until(lambda: result["count"] > 10 or result["error"], "the writer writes")
        stop.set()
        thread.join()
        self.assertIsNone(result["error"])

    def instance_now(self):
        try:
            guard = self.server.guard()
        except OSError:
            return None
        answer = guard.ask("now") if guard else None
        guard.close()
        return fields(answer)["instance"] if answer else None

    def accepts(self):
        try:
            self.server.connect().close()
            return True
        except psycopg2.OperationalError:
            return False


class AutovacuumTest(ServerTest):
    @staticmethod
    def settings():
        return {"autovacuum": "off", "autovacuum_naptime": "1", "autovacuum_vacuum_threshold": "10",
                "autovacuum_analyze_threshold": "10", "autovacuum_vacuum_scale_factor": "0", "autovacuum_analyze_scale_factor": "0"}

    def test_autovacuum_and_autoanalyze_run_while_closed(self):
        self.server.sql("INSERT INTO t SELECT generate_series(1, 1000)")
        self.server.sql("DELETE FROM t WHERE i > 100")
        self.server.ask("close epoch=1")
        self.assertEqual(self.server.sql("SELECT count(*) FROM pg_stats WHERE tablename = 't'"), [(0,)])
        self.server.configure({"autovacuum": "on"})
        self.server.reload()
        wait_until(lambda: self.server.sql("SELECT autovacuum_count > 0 AND autoanalyze_count > 0 FROM pg_stat_user_tables "
                                           "WHERE relname = 't'") == [(True,)], "autovacuum has run")
        # Analyze writes pg_statistic in a transaction with an id: exempt, and really committed.
        self.assertEqual(self.server.sql("SELECT count(*) FROM pg_stats WHERE tablename = 't'"), [(1,)])
        self.assertFalse(self.writes())
        self.assertNotIn("autovacuum worker LG001", self.server.log())

    def test_a_client_cannot_pass_for_an_internal_worker(self):
        self.server.sql("INSERT INTO t SELECT generate_series(1, 1000)")
        self.server.ask("close epoch=1")
        for options in ("'-c application_name=autovacuum'", "'-c session_replication_role=replica'",
                        "'-c default_transaction_read_only=off'"):
            connection = self.server.connect(options=options)
            self.assertFalse(self.writes(connection))
            connection.close()
        connection = self.server.connect()
        with self.assertRaises(psycopg2.Error) as caught:
            execute(connection, "ANALYZE t")
        self.assertEqual(caught.exception.pgcode, CLOSED)
        connection.close()


class ExtensionWorkerTest(ServerTest):
    def test_a_worker_of_an_extension_is_refused_like_the_client_behind_it(self):
        library = os.path.join(root(), "test_worker.so")
        shutil.copy(os.environ["TEST_WORKER_SO"], library)
        self.server.sql(f"CREATE FUNCTION run_in_worker(text, text) RETURNS void LANGUAGE c STRICT AS '{library[:-3]}', 'run_in_worker'")
        run_in_worker = f"SELECT run_in_worker('{library}', 'INSERT INTO t VALUES (7)')"
        self.server.sql(run_in_worker)
        wait_until(lambda: "test worker has committed" in self.server.log(), "the worker commits while open")
        self.assertEqual(self.server.sql("SELECT count(*) FROM t"), [(1,)])
        self.server.ask("close epoch=1")
        self.server.sql(run_in_worker)
        wait_until(lambda: "test worker LG001" in self.server.log(), "the worker is refused")
        self.assertEqual(self.server.sql("SELECT count(*) FROM t"), [(1,)])


if __name__ == "__main__":
    unittest.main()
