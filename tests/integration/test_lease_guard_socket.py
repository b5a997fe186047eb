"""The guard's socket: what is opened, refused and closed, and how it bears clients that misbehave."""
import os
import stat
import subprocess
import unittest

import psycopg2

from test_lease_guard_support import CLOSED, OPEN_REFUSED, Server, execute, fields, wait_until


class LeaseTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.must_open()
        cls.server.sql("CREATE TABLE t (i int)")

    def setUp(self):
        self.server.restart()
        self.guard = self.server.guard()
        self.addCleanup(self.guard.close)
        self.instance = fields(self.guard.ask("now"))["instance"]

    def now_us(self):
        return int(fields(self.guard.ask("now"))["now_us"])

    def open(self, epoch, t0_us=None, hold_ms=60000, instance=None):
        t0_us = self.now_us() if t0_us is None else t0_us
        return self.guard.ask(f"open instance={instance or self.instance} epoch={epoch} t0_us={t0_us} hold_ms={hold_ms}")

    def state(self):
        return fields(self.guard.ask("status"))["state"]

    def writes(self):
        try:
            self.server.sql("INSERT INTO t VALUES (1)")
            return True
        except psycopg2.Error as error:
            self.assertEqual(error.pgcode, CLOSED)
            return False

    def test_status_has_the_fields_of_the_protocol_in_order(self):
        self.open(7)
        status = fields(self.guard.ask("status"))
        self.assertEqual(list(status), ["instance", "state", "epoch", "deadline_us", "now_us", "closed_epoch", "refused",
                                        "in_recovery", "enforcing"])
        self.assertRegex(status["instance"], "^[0-9a-f]{16}$")
        self.assertEqual((status["state"], status["epoch"], status["closed_epoch"], status["in_recovery"], status["enforcing"]),
                         ("open", "7", "0", "0", "1"))

    def test_the_server_computes_the_deadline_from_the_sample(self):
        t0 = self.now_us()
        self.assertEqual(self.open(1, t0_us=t0, hold_ms=5000), f"ok deadline_us={t0 + 5_000_000}")

    def test_another_instance_is_refused(self):
        before = self.instance
        self.server.restart()
        self.guard = self.server.guard()
        self.addCleanup(self.guard.close)
        self.assertNotEqual(fields(self.guard.ask("now"))["instance"], before)
        self.assertEqual(self.open(1), "refused reason=instance")
        self.assertEqual(self.guard.ask(f"bypass on instance={before} epoch=1"), "refused reason=instance")
        self.assertFalse(self.writes())

    def test_a_sample_in_the_future_is_refused(self):
        self.assertEqual(self.open(1, t0_us=self.now_us() + 60_000_000), "refused reason=future")
        self.assertEqual(self.open(1, t0_us=2**63 - 1), "refused reason=future")
        self.assertEqual(self.state(), "closed")

    def test_a_sample_so_old_that_its_hold_is_over_opens_nothing(self):
        self.assertEqual(self.open(1, t0_us=1, hold_ms=1), "ok deadline_us=1001")
        self.assertEqual(self.state(), "closed")
        self.assertFalse(self.writes())

    def test_an_older_epoch_is_refused_after_a_newer_one_was_opened(self):
        self.open(5)
        self.assertEqual(self.open(4), "refused reason=epoch")
        self.assertEqual(self.guard.ask(f"bypass on instance={self.instance} epoch=4"), "refused reason=epoch")
        self.assertTrue(self.open(6).startswith("ok "))

    def test_close_is_sticky_up_to_its_epoch_until_the_instance_ends(self):
        self.open(5)
        self.assertTrue(self.writes())
        self.assertEqual(self.guard.ask("close epoch=5"), "ok")
        self.assertFalse(self.writes())
        self.assertEqual(self.open(5), "refused reason=closed")
        self.assertEqual(self.open(3), "refused reason=closed")
        self.assertEqual(self.guard.ask("close epoch=2"), "ok")
        self.assertEqual(self.open(4), "refused reason=closed")
        self.assertTrue(self.open(6).startswith("ok "))
        self.assertTrue(self.writes())

    def test_close_of_an_older_epoch_leaves_a_newer_lease_running(self):
        self.open(5)
        self.assertEqual(self.guard.ask("close epoch=4"), "ok")
        self.assertTrue(self.writes())

    def test_close_of_the_greatest_epoch_closes_for_good(self):
        self.assertEqual(self.guard.ask(f"close epoch={2**64 - 1}"), "ok")
        self.assertEqual(self.open(2**64 - 1), "refused reason=closed")

    def test_the_newest_sample_decides_also_downwards(self):
        t0 = self.now_us()
        self.open(1, t0_us=t0, hold_ms=60000)
        later = t0 + 1
        self.assertEqual(self.open(1, t0_us=later, hold_ms=30000), f"ok deadline_us={later + 30_000_000}")
        self.assertEqual(self.open(1, t0_us=t0, hold_ms=60000), f"ok deadline_us={later + 30_000_000}")

    def test_the_same_sample_may_be_shortened_but_not_lengthened(self):
        t0 = self.now_us()
        self.open(1, t0_us=t0, hold_ms=60000)
        self.assertEqual(self.open(1, t0_us=t0, hold_ms=20000), f"ok deadline_us={t0 + 20_000_000}")
        self.assertEqual(self.open(1, t0_us=t0, hold_ms=60000), f"ok deadline_us={t0 + 20_000_000}")

    def test_values_out_of_range_are_invalid(self):
        now = self.now_us()
        for line in (f"open instance={self.instance} epoch=0 t0_us={now} hold_ms=1000",
                     f"open instance={self.instance} epoch=1 t0_us=0 hold_ms=1000",
                     f"open instance={self.instance} epoch=1 t0_us={now} hold_ms=0"):
            self.assertEqual(self.guard.ask(line), "refused reason=invalid", line)

    def test_what_is_not_understood_is_invalid_and_changes_nothing(self):
        now = self.now_us()
        good = f"open instance={self.instance} epoch=1 t0_us={now} hold_ms=60000"
        for line in ("", " ", "open", "opened", "NOW", "now ", "now x", "status x", "close", "close 5", "close epoch=", "close epoch=-1",
                     "close epoch=+1", "close epoch= 1", "close epoch=0x1", "close epoch=1 ", "close epoch=1 epoch=2",
                     f"close epoch={2**64}", "bypass", "bypass on", "bypass off now", "bypass on epoch=1", good + " x=1", good[:-1] + "f",
                     good.replace("epoch=1", "epoch=1.0"), good.replace(" epoch", "  epoch"), good.replace("instance=", "instance=g"),
                     good.replace("60000", str(2**32)), good.replace(f"={now}", f"={2**63}"), "now\r", "\0now", "now\0"):
            self.assertRegex(self.guard.ask(line), "^invalid reason=[a-z0-9_]+$", line)
        status = fields(self.guard.ask("status"))
        self.assertEqual((status["state"], status["closed_epoch"]), ("closed", "0"))

    def test_bypass_lets_commits_pass_and_reports_not_enforcing(self):
        self.assertEqual(self.guard.ask(f"bypass on instance={self.instance} epoch=0"), "ok")
        status = fields(self.guard.ask("status"))
        self.assertEqual((status["state"], status["enforcing"]), ("bypass", "0"))
        self.assertTrue(self.writes())
        self.assertEqual(self.guard.ask("bypass off"), "ok")
        self.assertEqual(fields(self.guard.ask("status"))["enforcing"], "1")
        self.assertFalse(self.writes())

    def test_a_lease_opened_during_bypass_counts_when_the_bypass_ends(self):
        self.guard.ask(f"bypass on instance={self.instance} epoch=1")
        self.open(1)
        self.assertEqual(self.state(), "bypass")
        self.guard.ask("bypass off")
        self.assertEqual(self.state(), "open")
        self.assertTrue(self.writes())

    def test_close_ends_a_bypass_and_a_late_bypass_cannot_come_back(self):
        self.guard.ask(f"bypass on instance={self.instance} epoch=3")
        self.guard.ask("close epoch=2")
        self.assertEqual(self.state(), "bypass")
        self.guard.ask("close epoch=3")
        self.assertEqual(self.state(), "closed")
        self.assertEqual(self.guard.ask(f"bypass on instance={self.instance} epoch=3"), "refused reason=closed")
        self.assertEqual(self.guard.ask(f"bypass on instance={self.instance} epoch=0"), "refused reason=closed")
        self.assertFalse(self.writes())
        self.assertEqual(self.guard.ask(f"bypass on instance={self.instance} epoch=4"), "ok")
        self.assertTrue(self.writes())

    def test_sql_functions_decide_the_same(self):
        self.open(1)
        before = self.server.sql("SELECT oid, proacl FROM pg_proc ORDER BY oid")
        self.create_functions()
        self.assertEqual(self.server.sql("SELECT oid, proacl FROM pg_proc WHERE pronamespace <> 'lease_guard'::regnamespace ORDER BY oid"),
                         before)  # there is a now() in pg_catalog too, and it is not ours
        connection = self.server.connect()
        instance, now_us = execute(connection, "SELECT * FROM lease_guard.now()")[0]
        self.assertEqual(instance, self.instance)
        self.assertEqual(execute(connection, "SELECT lease_guard.open(%s, 2, %s, 60000)", instance, now_us),
                         [(now_us + 60_000_000,)])
        self.assertEqual(execute(connection, "SELECT state, epoch, enforcing, in_recovery, break_glass FROM lease_guard.status()"),
                         [("open", 2, True, False, False)])
        execute(connection, "SELECT lease_guard.close(2)")
        for call in (f"open('{instance}', 2, {now_us}, 60000)", f"bypass_on('{instance}', 2)", f"open('{'0' * 16}', 3, 1, 1)",
                     f"open('{instance}', 3, 1, -1)"):
            with self.assertRaises(psycopg2.Error) as caught:
                execute(connection, f"SELECT lease_guard.{call}")
            self.assertEqual(caught.exception.pgcode, OPEN_REFUSED, call)
        for call in ("open('x', 3, 1, 1)", f"open('{instance}', -3, 1, 1)", "close(-1)"):
            with self.assertRaises(psycopg2.Error):
                execute(connection, f"SELECT lease_guard.{call}")
        execute(connection, f"SELECT lease_guard.bypass_on('{instance}', 3)")
        self.assertEqual(execute(connection, "SELECT state, enforcing FROM lease_guard.status()"), [("bypass", False)])
        execute(connection, "CREATE ROLE nobody LOGIN")
        execute(connection, "CREATE ROLE monitor LOGIN IN ROLE pg_monitor")
        execute(connection, "SELECT lease_guard.bypass_off()")
        connection.close()
        for user, call, allowed in (("monitor", "status()", True), ("monitor", "now()", True), ("monitor", "close(9)", False),
                                    ("monitor", "bypass_off()", False),
                                    ("monitor", f"open('{instance}', 9, 1, 1)", False), ("nobody", "now()", False), ("nobody", "status()", False)):
            connection = self.server.connect(user=user)
            if allowed:
                execute(connection, f"SELECT * FROM lease_guard.{call}")
            else:
                with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
                    execute(connection, f"SELECT * FROM lease_guard.{call}")
            connection.close()

    def create_functions(self):
        """What CREATE EXTENSION does, with the library's absolute path."""
        script = os.path.join(os.path.dirname(__file__), "../../fencing/lease_guard/lease_guard--1.0.sql")
        with open(script, encoding="utf-8") as f:
            text = "".join(line for line in f if not line.startswith("\\"))
        library = self.server.library.removesuffix(".so")
        self.server.sql("CREATE SCHEMA lease_guard; " + text.replace("MODULE_PATHNAME", library))


class ClientsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    def test_the_socket_belongs_to_the_account_alone(self):
        st = os.stat(self.server.guard_path)
        self.assertEqual(stat.S_IMODE(st.st_mode), 0o600)
        self.assertEqual(st.st_uid, os.stat(self.server.data).st_uid)

    def test_requests_are_answered_in_order_however_they_are_cut(self):
        guard = self.server.guard()
        guard.send(b"now\nstatus\nclose epoch=0\nfoo\nno")
        self.assertIn("now_us=", guard.receive())
        self.assertIn("state=", guard.receive())
        self.assertEqual(guard.receive(), "ok")
        self.assertEqual(guard.receive(), "invalid reason=unknown_command")
        guard.send(b"w\n")
        self.assertIn("now_us=", guard.receive())
        for byte in b"status\n":
            guard.send(bytes([byte]))
        self.assertIn("state=", guard.receive())
        guard.close()

    def test_a_line_of_255_bytes_is_read_and_a_longer_one_ends_the_connection(self):
        guard = self.server.guard()
        guard.send(b"x" * 255 + b"\n")
        self.assertEqual(guard.receive(), "invalid reason=unknown_command")
        guard.send(b"x" * 256)
        self.assertEqual(guard.receive(), "invalid reason=line_too_long")
        self.assertIsNone(guard.receive())
        guard.close()

    def test_leaked_connections_make_room_for_a_new_one(self):
        leaked = [self.server.guard() for _ in range(40)]
        guard = self.server.guard()
        self.assertIn("now_us=", guard.ask("now"))
        for _ in range(40):
            leaked.append(self.server.guard())
            self.assertIn("now_us=", guard.ask("now"))  # the one that talks is kept
        self.assertIsNone(leaked[0].receive())
        for connection in (*leaked, guard):
            connection.close()

    def test_a_client_that_does_not_read_is_cut_and_harms_nobody(self):
        deaf = self.server.guard()
        deaf.socket.settimeout(0.5)
        other = self.server.guard()
        try:
            for _ in range(100_000):
                deaf.send(b"status\n" * 30)
        except OSError:
            pass
        self.assertIn("now_us=", other.ask("now"))
        deaf.close()
        other.close()

    def test_a_client_that_vanishes_harms_nobody(self):
        for _ in range(50):
            guard = self.server.guard()
            guard.send(b"status\nstat")
            guard.close()
        self.assertIn("state=", self.server.ask("status"))

    def test_an_ordinary_account_cannot_connect(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        done = subprocess.run(["runuser", "-u", "nobody", "--", "/usr/bin/python3", "-c",
                               "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])",
                               self.server.guard_path], stderr=subprocess.PIPE, text=True, check=False)
        self.assertIn("PermissionError", done.stderr)

    def test_the_idle_worker_uses_no_cpu(self):
        pid = self.server.worker_pid()

        def switches():
            with open(f"/proc/{pid}/status", encoding="utf-8") as f:
                return sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)

        wait_until(lambda: self.server.ask("now"), "an answer")
        self.server.sql("SELECT pg_sleep(0.2)")
        before = switches()
        self.server.sql("SELECT pg_sleep(1)")
        self.assertLessEqual(switches() - before, 3)


if __name__ == "__main__":
    unittest.main()
