"""How the library is loaded, where its socket is, and how the glass is broken."""
import os
import re
import socket
import unittest

import psycopg2

from test_lease_guard_support import CLOSED, Server, execute, fields, kill, run, wait_until

BREAK_GLASS = "lease_guard.break_glass"


class SetupTest(unittest.TestCase):
    def server(self, *arguments, **keywords):
        server = Server(*arguments, **keywords)
        self.addCleanup(server.stop, mode="immediate")
        return server

    def refuses_to_start(self, server):
        with self.assertRaises(AssertionError):
            server.start()
        return server.log()

    def code_of(self, server, statement):
        try:
            server.sql(statement)
            return None
        except psycopg2.Error as error:
            return error.pgcode

    def put_glass(self, server, text, mode=0o600):
        path = os.path.join(server.data, BREAK_GLASS)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        server.own(path)
        return path

    def test_without_preloading_the_error_says_what_to_do(self):
        server = self.server(preload=False)
        library = server.library.removesuffix(".so")
        with self.assertRaises(psycopg2.Error) as caught:
            server.sql(f"CREATE FUNCTION f() RETURNS void LANGUAGE c AS '{library}', 'lease_guard_bypass_off'")
        self.assertEqual(caught.exception.pgcode, "55000")
        self.assertIn("shared_preload_libraries", caught.exception.diag.message_primary)
        self.assertIn("restart the server", caught.exception.diag.message_hint)
        with self.assertRaises(psycopg2.Error):
            server.sql(f"LOAD '{library}'")
        server.sql("CREATE TABLE t (i int)")

    def test_session_preloading_is_refused(self):
        server = self.server({"session_preload_libraries": "'lease_guard.so'", "dynamic_library_path": "'$libdir'"}, preload=False,
                             start=False)
        server.configure({"dynamic_library_path": f"'{os.path.dirname(server.library)}'"})
        server.start()
        with self.assertRaises(psycopg2.OperationalError) as caught:
            server.connect()
        self.assertIn("shared_preload_libraries", str(caught.exception))

    def test_a_socket_directly_in_the_data_directory_is_refused(self):
        for path in ("lease_guard.sock", "./lease_guard.sock", None):
            server = self.server(start=False)
            server.configure({"lease_guard.socket": f"'{path or os.path.join(server.data, 'x.sock')}'"})
            self.assertIn("makes pg_rewind fail", self.refuses_to_start(server))

    def test_a_path_too_long_for_a_socket_is_refused(self):
        server = self.server({"lease_guard.socket": f"'/tmp/{'x' * 103}'"}, start=False)
        self.assertIn("between 1 and 107 bytes", self.refuses_to_start(server))

    def test_a_setting_that_does_not_exist_is_refused(self):
        server = self.server()
        with self.assertRaises(psycopg2.Error):
            server.sql("SET lease_guard.enforcing = off")

    def test_a_library_path_too_long_for_a_worker_is_refused_clearly(self):
        server = self.server(start=False)
        directory = os.path.join(server.directory, "d" * 90)
        os.mkdir(directory)
        server.own(directory)
        os.link(server.library, os.path.join(directory, "lease_guard.so"))
        server.configure({"shared_preload_libraries": f"'{directory}/lease_guard.so'"})
        self.assertIn("path of the library is too long", self.refuses_to_start(server))

    def test_a_leftover_socket_is_replaced_and_a_file_is_not(self):
        server = self.server(start=False)
        leftover = socket.socket(socket.AF_UNIX)
        leftover.bind(server.guard_path)
        leftover.close()
        server.own(server.guard_path)
        server.start()
        server.must_open()
        server.stop()
        with open(server.guard_path, "w", encoding="utf-8") as f:
            f.write("precious")
        server.start()
        wait_until(lambda: "exists and is not a socket" in server.log(), "the worker complains")
        self.assertEqual(self.code_of(server, "CREATE TABLE t (i int)"), CLOSED)
        os.unlink(server.guard_path)
        server.must_open()  # the worker tries again by itself

    def test_the_socket_of_another_running_server_is_left_alone(self):
        first = self.server()
        second = self.server({"lease_guard.socket": f"'{first.guard_path}'"})
        wait_until(lambda: "another server answers" in second.log(), "the second worker complains")
        instance = fields(first.ask("now"))["instance"]
        first.must_open()
        self.assertIsNone(self.code_of(first, "CREATE TABLE t (i int)"))
        self.assertEqual(self.code_of(second, "CREATE TABLE t (i int)"), CLOSED)
        self.assertEqual(fields(first.ask("now"))["instance"], instance)

    def test_single_user_mode_is_refused_too(self):
        server = self.server(start=False)
        done = run("postgres", "--single", "-D", server.data, "postgres", check=False, stdin="CREATE TABLE t (i int)\n")
        self.assertIn("may not commit writes now", done.stdout)
        done = run("postgres", "--single", "-D", server.data, "-c", "shared_preload_libraries=", "postgres",
                   stdin="CREATE TABLE t (i int)\n")
        self.assertNotIn("ERROR", done.stdout)

    def test_broken_glass_opens_the_server_until_the_next_start_without_it(self):
        server = self.server(start=False)
        glass = self.put_glass(server, f"{server.data}\n{os.uname().nodename}\n")
        server.start()
        self.assertIn("GLASS BROKEN", server.log())
        status = server.status()
        self.assertEqual((status["state"], status["enforcing"]), ("bypass", "0"))
        server.sql("CREATE TABLE t (i int)")
        self.assertEqual(server.ask(f"close epoch={2**64 - 1}"), "refused reason=break_glass")
        self.assertEqual(server.ask("bypass off"), "refused reason=break_glass")
        server.sql("INSERT INTO t VALUES (1)")

        os.unlink(glass)
        server.reload()
        server.sql("INSERT INTO t VALUES (1)")  # read at the start only
        victim = server.connect()
        kill(victim.info.backend_pid)
        wait_until(lambda: re.search("reinitializing.*ready to accept", server.log(), re.DOTALL), "the server recovers")
        victim.close()
        server.sql("INSERT INTO t VALUES (1)")  # and by the postmaster, which has not started anew
        self.assertEqual(server.status()["state"], "bypass")

        server.restart()
        self.assertEqual(server.status()["state"], "closed")
        self.assertEqual(self.code_of(server, "INSERT INTO t VALUES (1)"), CLOSED)

    def test_every_start_with_broken_glass_warns(self):
        server = self.server(start=False)
        self.put_glass(server, f"{server.data}\n{os.uname().nodename}\n")
        server.start()
        server.restart()
        self.assertEqual(server.log().count("GLASS BROKEN"), 2)

    def test_glass_that_is_not_this_servers_is_ignored(self):
        server = self.server(start=False)
        host = os.uname().nodename
        for text, mode in ((f"{server.data}\n", 0o600), (f"{server.data}\nelsewhere\n", 0o600), (f"/srv\n{host}\n", 0o600), ("", 0o600),
                           (f"data\n{host}\n", 0o600), (f"{server.data}\n{host}\nmore\n", 0o600), (f"{server.data}\n{host}\n", 0o666)):
            with self.subTest(text=text, mode=oct(mode)):
                self.put_glass(server, text, mode)
                server.start()
                self.assertEqual(server.status()["state"], "closed")
                self.assertIn("is ignored: it does not name this server", server.log())
                server.stop()
                os.truncate(server.log_path, 0)

    def test_a_copy_of_the_data_directory_copies_no_broken_glass(self):
        server = self.server(start=False)
        self.put_glass(server, f"{server.data}\n{os.uname().nodename}\n")
        server.start()
        standby = self.server(copy_of=server)
        self.assertTrue(os.path.exists(os.path.join(standby.data, BREAK_GLASS)))
        self.assertEqual(standby.status()["state"], "closed")

    def test_glass_by_way_of_a_link_is_ignored(self):
        server = self.server(start=False)
        path = self.put_glass(server, f"{server.data}\n{os.uname().nodename}\n")
        os.rename(path, path + ".real")
        os.symlink(path + ".real", path)
        server.start()
        self.assertEqual(server.status()["state"], "closed")

    def test_the_extension_is_created_while_open(self):
        """As docs/lease_guard.md says: preload, open or bypass, then create."""
        server = self.server()
        self.assertEqual(self.code_of(server, "CREATE SCHEMA lease_guard"), CLOSED)
        instance = server.status()["instance"]
        self.assertEqual(server.ask(f"bypass on instance={instance} epoch=0"), "ok")
        connection = server.connect()
        execute(connection, "CREATE SCHEMA lease_guard")
        connection.close()
        server.ask("bypass off")


if __name__ == "__main__":
    unittest.main()
