"""The check after the WAL flush: the lease ends while a transaction commits. No byte may reach the client, and the server must live on.

A synchronous standby that does not exist holds the commit between the two checks for as long as the test wants; PostgreSQL's commit_delay
does the same inside the flush itself.
"""
import signal
import socket
import threading
import time
import unittest

import psycopg2

from test_lease_guard_support import CLOSED, RawClient, Server, execute, run_as_account, wait_until

CRASH_WORDS = ("PANIC", "terminating any other active server processes", "was terminated by signal")


def guard_clock_us():
    """The guard's clock, read in another process of the same machine."""
    suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    return int((time.clock_gettime(time.CLOCK_MONOTONIC_RAW) + suspended) * 1e6)


class AfterFlushTest(unittest.TestCase):
    def setUp(self):
        self.server = Server({"fsync": "on"})  # commit_delay works only with it
        self.server.must_open()
        self.server.sql("CREATE TABLE t (i int)")
        self.server.sql("CREATE PROCEDURE two_rows() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (1); COMMIT; "
                        "INSERT INTO t VALUES (2); COMMIT; END $$")
        self.instance = self.server.status()["instance"]

    def tearDown(self):
        log = self.server.log()
        self.server.stop(mode="immediate")
        for word in CRASH_WORDS:
            self.assertNotIn(word, log)

    def hold_commits(self):
        self.server.configure({"synchronous_standby_names": "'nobody'"})
        self.server.reload()
        wait_until(lambda: self.server.sql("SHOW synchronous_standby_names") == [("nobody",)], "the reload")

    def let_commits_go(self):
        self.server.configure({"synchronous_standby_names": "''"})
        self.server.reload()

    def wait_for_held(self, count=1):
        wait_until(lambda: self.server.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == [(count,)],
                   f"{count} commits wait after their flush")

    def rows(self):
        return self.server.sql("SELECT count(*) FROM t")[0][0]

    def answer_of_held_commit(self, begin, end_lease=True):
        """What the client of `begin(client)` reads, when its lease ends while the commit is held after the flush."""
        client = RawClient(self.server)
        self.hold_commits()
        begin(client)
        self.wait_for_held()
        if end_lease:
            self.server.let_lease_end()
        self.let_commits_go()
        answer = client.read_to_end() if end_lease else client.read_until_ready()
        client.close()
        if end_lease:
            wait_until(lambda: self.server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {client.pid}") == [(0,)],
                       "the backend ends by itself")
        return answer

    def assert_alive(self, rows):
        status = self.server.status()
        self.assertEqual(status["instance"], self.instance)
        self.assertEqual(self.rows(), rows)
        self.server.must_open()
        self.server.sql("INSERT INTO t VALUES (99)")
        self.assertEqual(self.rows(), rows + 1)

    def test_with_the_lease_running_the_same_commit_is_answered(self):
        kinds = self.answer_of_held_commit(lambda c: c.query("INSERT INTO t VALUES (1)"), end_lease=False)
        self.assertEqual(kinds, "CZ")
        self.assert_alive(rows=1)

    def test_a_simple_query_gets_no_byte(self):
        self.assertEqual(self.answer_of_held_commit(lambda c: c.query("INSERT INTO t VALUES (1)")), b"")
        self.assertEqual(self.server.sql("SELECT i FROM t"), [(1,)])
        self.assertEqual(self.server.status()["refused"], "1")
        self.assertIn("ended without an answer", self.server.log())
        self.assert_alive(rows=1)

    def test_the_extended_protocol_gets_no_byte(self):
        self.assertEqual(self.answer_of_held_commit(lambda c: c.extended("INSERT INTO t VALUES (1)")), b"")
        self.assert_alive(rows=1)

    def test_nothing_more_of_a_pipeline_is_executed(self):
        def begin(client):
            client.socket.sendall(b"".join(RawClient.extended_bytes(f"INSERT INTO t VALUES ({i})") for i in range(5)))

        self.assertEqual(self.answer_of_held_commit(begin), b"")
        self.assert_alive(rows=1)

    def test_nothing_more_of_a_query_of_many_statements_is_executed(self):
        self.assertEqual(self.answer_of_held_commit(
            lambda c: c.query("BEGIN; INSERT INTO t VALUES (1); COMMIT; BEGIN; INSERT INTO t VALUES (2); COMMIT")), b"")
        self.assertEqual(self.server.sql("SELECT i FROM t"), [(1,)])
        self.assert_alive(rows=1)

    def test_a_procedure_ends_after_its_first_commit(self):
        self.assertEqual(self.answer_of_held_commit(lambda c: c.query("CALL two_rows()")), b"")
        self.assertEqual(self.server.sql("SELECT i FROM t"), [(1,)])
        self.assert_alive(rows=1)

    def test_a_session_that_was_cut_writes_nothing_more_when_the_lease_comes_back(self):
        self.server.sql("CREATE PROCEDURE slow() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (1); COMMIT; "
                        "PERFORM pg_sleep(3); INSERT INTO t VALUES (2); COMMIT; END $$")
        client = RawClient(self.server)
        self.hold_commits()
        client.query("CALL slow()")
        self.wait_for_held()
        self.server.let_lease_end()
        self.let_commits_go()
        wait_until(lambda: self.server.status()["refused"] == "1", "the second check refuses")
        self.server.must_open(epoch=2)
        self.assertEqual(client.read_to_end(), b"")
        client.close()
        wait_until(lambda: self.server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {client.pid}") == [(0,)],
                   "the backend ends")
        self.assertEqual(self.server.sql("SELECT i FROM t"), [(1,)])

    def test_copy_gets_no_byte(self):
        self.assertEqual(self.answer_of_held_commit(lambda c: c.query("COPY t FROM PROGRAM 'echo 7'")), b"")
        self.assert_alive(rows=1)

    def test_ddl_gets_no_byte(self):
        self.assertEqual(self.answer_of_held_commit(lambda c: c.query("CREATE TABLE u AS SELECT 1")), b"")
        self.assert_alive(rows=0)
        self.assertEqual(self.server.sql("SELECT count(*) FROM u"), [(1,)])

    def test_prepare_transaction_gets_no_byte(self):
        def begin(client):
            client.query("BEGIN")
            client.read_until_ready()
            client.query("INSERT INTO t VALUES (1)")
            client.read_until_ready()
            client.query("PREPARE TRANSACTION 'p'")

        self.assertEqual(self.answer_of_held_commit(begin), b"")
        self.assertEqual(self.server.sql("SELECT gid FROM pg_prepared_xacts"), [("p",)])
        self.assert_alive(rows=0)

    def test_commit_prepared_gets_no_byte(self):
        self.server.sql("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'p'")
        self.assertEqual(self.answer_of_held_commit(lambda c: c.query("COMMIT PREPARED 'p'")), b"")
        self.assertEqual(self.server.sql("SELECT count(*) FROM pg_prepared_xacts"), [(0,)])
        self.assert_alive(rows=1)

    def test_an_encrypted_connection_gets_no_answer(self):
        """Its bytes cannot be counted; the driver must see a connection that ends, and no error of the server."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        run_as_account("openssl", "req", "-new", "-x509", "-nodes", "-subj", "/CN=test", "-days", "2", "-out",
                       f"{self.server.data}/server.crt", "-keyout", f"{self.server.data}/server.key")
        self.server.configure({"ssl": "on", "listen_addresses": "'127.0.0.1'", "port": str(port)})
        self.server.port = port
        self.server.restart()
        self.server.must_open()
        client = self.server.connect(host="127.0.0.1", sslmode="require")
        self.assertTrue(client.info.ssl_in_use)
        self.hold_commits()
        failure = []

        def insert():
            try:
                execute(client, "INSERT INTO t VALUES (1)")
            except psycopg2.Error as error:
                failure.append(error)

        thread = threading.Thread(target=insert)
        thread.start()
        self.wait_for_held()
        self.server.let_lease_end()
        self.let_commits_go()
        thread.join()
        self.assertEqual(len(failure), 1, "acknowledged")
        self.assertIsInstance(failure[0], psycopg2.OperationalError)
        self.assertIsNone(failure[0].pgcode)
        self.assertEqual(self.rows(), 1)

    def test_many_connections_at_once(self):
        clients = [RawClient(self.server) for _ in range(8)]
        self.hold_commits()
        for client in clients:
            client.query("INSERT INTO t VALUES (1)")
        self.wait_for_held(len(clients))
        self.server.ask("close epoch=1")
        self.let_commits_go()
        for client in clients:
            self.assertEqual(client.read_to_end(), b"")
            client.close()
        self.assertEqual(self.server.status()["refused"], str(len(clients)))
        self.server.ask("now")
        self.assertEqual(self.rows(), len(clients))

    def test_a_renewal_during_the_wait_keeps_the_answer(self):
        client = RawClient(self.server)
        self.hold_commits()
        client.query("INSERT INTO t VALUES (1)")
        self.wait_for_held()
        self.server.let_lease_end()
        self.server.must_open(epoch=2)
        self.let_commits_go()
        self.assertEqual(client.read_until_ready(), "CZ")
        client.close()

    def test_the_deadline_inside_the_flush_itself(self):
        """No standby: the deadline passes while XLogFlush waits. The first check may come too late on a busy machine: then again."""
        for _ in range(20):
            client = RawClient(self.server)
            client.query("SET commit_siblings = 0")
            client.read_until_ready()
            client.query("SET commit_delay = 100000")
            client.read_until_ready()
            before = self.rows()
            deadline = self.server.must_open(hold_ms=60)
            client.query("INSERT INTO t VALUES (1)")
            answer = client.read_to_end() if self.server_cuts(client) else b"refused"
            client.close()
            self.assertGreaterEqual(guard_clock_us(), deadline)
            if answer != b"refused":
                self.assertEqual(answer, b"")
                self.assertEqual(self.rows(), before + 1)
                return
        self.fail("in 20 attempts the deadline never fell into the flush")

    @staticmethod
    def server_cuts(client):
        """False when the server answered with an error instead; any other first byte is a failure."""
        try:
            first = client.socket.recv(1)
        except ConnectionError:
            return True
        if first not in (b"", b"E"):
            raise AssertionError(f"acknowledged after the deadline: {first!r}")
        return first == b""


class FreezeTest(unittest.TestCase):
    """The whole server is stopped past the deadline and continued, with writers at full speed."""

    WRITERS = 3

    def setUp(self):
        self.server = Server({"fsync": "on"})  # commit_delay works only with it
        self.server.must_open()
        self.server.sql("CREATE TABLE t (writer int, n int)")
        self.acknowledged = [0] * self.WRITERS
        self.codes = [None] * self.WRITERS

    def write(self, writer):
        connection = self.server.connect()
        try:
            # commit_delay makes the time between the two checks long, as a slow disk would.
            execute(connection, "SET commit_siblings = 0")
            execute(connection, "SET commit_delay = 50000")
            while True:
                execute(connection, "INSERT INTO t VALUES (%s, %s)", writer, self.acknowledged[writer])
                self.acknowledged[writer] += 1
        except psycopg2.Error as error:
            self.codes[writer] = error.pgcode or "cut"
        finally:
            connection.close()

    def freeze_once(self):
        """How many commits were acknowledged after the server went on; None when the freeze came only after the deadline."""
        self.server.must_open()
        self.acknowledged = [0] * self.WRITERS
        threads = [threading.Thread(target=self.write, args=(i,)) for i in range(self.WRITERS)]
        for thread in threads:
            thread.start()
        wait_until(lambda: all(n > 1 for n in self.acknowledged), "the writers write")
        deadline = self.server.must_open(hold_ms=1000)
        self.server.signal_all(signal.SIGSTOP)
        in_time = guard_clock_us() < deadline
        while guard_clock_us() < deadline + 200_000:
            time.sleep(0.05)
        before = sum(self.acknowledged)
        self.server.signal_all(signal.SIGCONT)
        for thread in threads:
            thread.join()
        for code in self.codes:
            self.assertIn(code, (CLOSED, "cut"))
        return sum(self.acknowledged) - before if in_time else None

    def freeze(self):
        for _ in range(20):
            late = self.freeze_once()
            if late is not None:
                return late
        self.fail("in 20 attempts the server was never frozen before its deadline")

    def test_nothing_is_acknowledged_after_a_freeze_past_the_deadline(self):
        """A commit that had passed its second check just before the freeze is a packet under way: its bytes may come later. That takes a
        freeze within some microseconds of a commit of 50 ms, so it does not happen twice running; a missing check does every time."""
        late = self.freeze()
        if late > 0:
            late = self.freeze()
        self.assertEqual(late, 0)
        self.assertNotIn("PANIC", self.server.log())
        self.server.must_open()
        held = dict(self.server.sql("SELECT writer, count(*) FROM t GROUP BY writer"))
        for writer, count in enumerate(self.acknowledged):  # of the last freeze; the rows of earlier ones count too
            self.assertGreaterEqual(held.get(writer, 0), count)


if __name__ == "__main__":
    unittest.main()
