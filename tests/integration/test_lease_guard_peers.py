"""The guard beside replication: standbys, promotion, pg_rewind, and the workers of logical subscriptions."""
import unittest

import psycopg2

from test_lease_guard_support import CLOSED, Server, execute, run, wait_until


class PeersTest(unittest.TestCase):
    def server(self, *arguments, **keywords):
        server = Server(*arguments, **keywords)
        self.addCleanup(server.stop, mode="immediate")
        return server

    def pair(self, settings=None):
        primary = self.server(settings)
        primary.must_open()
        primary.sql("CREATE TABLE t (i int)")
        return primary, self.server(settings, copy_of=primary)

    def writes(self, server):
        try:
            server.sql("INSERT INTO t VALUES (1)")
            return True
        except psycopg2.Error as error:
            self.assertEqual(error.pgcode, CLOSED, error)
            return False

    @staticmethod
    def rows(server):
        return server.sql("SELECT count(*) FROM t")[0][0]


class StandbyTest(PeersTest):
    def test_a_standby_is_closed_answers_and_streams(self):
        primary, standby = self.pair()
        status = standby.status()
        self.assertEqual((status["state"], status["in_recovery"]), ("closed", "1"))
        self.assertNotEqual(status["instance"], primary.status()["instance"])
        self.assertTrue(self.writes(primary))
        wait_until(lambda: self.rows(standby) == 1, "the row arrives at the standby")

    def test_a_standby_promoted_is_closed_until_its_lease_comes(self):
        _, standby = self.pair()
        standby.sql("SELECT pg_promote()")
        self.assertEqual(standby.status()["in_recovery"], "0")
        self.assertFalse(self.writes(standby))
        standby.must_open(epoch=2)
        self.assertTrue(self.writes(standby))

    def test_a_lease_taken_in_recovery_holds_after_promotion(self):
        _, standby = self.pair()
        standby.must_open(epoch=2)
        standby.sql("SELECT pg_promote()")
        self.assertTrue(self.writes(standby))

    def test_pg_rewind_works_with_the_sockets_where_they_are(self):
        settings = {"wal_log_hints": "on", "wal_keep_size": "'64MB'"}
        primary, standby = self.pair(settings)
        self.assertNotIn("skipping special file", primary.log())
        standby.sql("SELECT pg_promote()")
        standby.must_open(epoch=2)
        standby.sql("CHECKPOINT")
        self.assertTrue(self.writes(standby))
        self.assertTrue(self.writes(primary))
        primary.stop()
        done = run("pg_rewind", "--no-sync", "--target-pgdata", primary.data, "--source-server", standby.dsn())
        self.assertIn("Done!", done.stdout)

    def test_cleanup_on_a_closed_primary_still_streams(self):
        """VACUUM has no transaction id as long as it does not shorten the table: it passes, and the standby follows."""
        primary, standby = self.pair()
        primary.sql("INSERT INTO t SELECT generate_series(1, 1000)")
        primary.sql("DELETE FROM t")
        primary.ask("close epoch=1")
        primary.sql("VACUUM (TRUNCATE off) t")
        lsn = primary.sql("SELECT pg_current_wal_lsn()")[0][0]
        wait_until(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'")[0][0], "the standby replays it")


class SubscriptionTest(PeersTest):
    def subscribe(self, options="synchronous_commit = on"):
        publisher = self.server({"wal_retrieve_retry_interval": "100ms"})
        subscriber = self.server({"wal_retrieve_retry_interval": "100ms"})
        for server in (publisher, subscriber):
            server.must_open()
            server.sql("CREATE TABLE t (i int)")
        publisher.sql("CREATE PUBLICATION p FOR TABLE t")
        connection = subscriber.connect()
        execute(connection, f"CREATE SUBSCRIPTION s CONNECTION '{publisher.dsn()}' PUBLICATION p WITH ({options})")
        connection.close()
        publisher.sql("INSERT INTO t VALUES (1)")
        wait_until(lambda: self.rows(subscriber) == 1 and subscriber.sql("SELECT srsubstate FROM pg_subscription_rel") == [("r",)] and
                   subscriber.sql("SELECT subtwophasestate FROM pg_subscription") in ([("d",)], [("e",)]), "the first copy is done")
        return publisher, subscriber

    @staticmethod
    def confirmed(publisher):
        return publisher.sql("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 's'")[0][0]

    def test_an_apply_worker_is_refused_and_goes_on_when_open(self):
        publisher, subscriber = self.subscribe()
        subscriber.ask("close epoch=1")
        publisher.sql("INSERT INTO t VALUES (2)")
        wait_until(lambda: "logical replication worker LG001" in subscriber.log(), "the apply worker is refused")
        self.assertEqual(self.rows(subscriber), 1)
        subscriber.must_open(epoch=2)
        wait_until(lambda: self.rows(subscriber) == 2, "the apply worker catches up")

    def test_a_prepared_transaction_of_the_publisher_is_not_committed_while_closed(self):
        publisher, subscriber = self.subscribe("synchronous_commit = on, two_phase = on")
        publisher.sql("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'x'")
        wait_until(lambda: subscriber.sql("SELECT count(*) FROM pg_prepared_xacts") == [(1,)], "the prepare is applied")
        before = subscriber.log().count("logical replication worker LG001")
        subscriber.ask("close epoch=1")
        publisher.sql("COMMIT PREPARED 'x'")
        commit_lsn = publisher.sql("SELECT pg_current_wal_lsn()")[0][0]
        wait_until(lambda: subscriber.log().count("logical replication worker LG001") > before + 1, "the apply worker is refused")
        self.assertTrue(publisher.sql(f"SELECT confirmed_flush_lsn < '{commit_lsn}' FROM pg_replication_slots")[0][0])
        subscriber.must_open(epoch=2)
        wait_until(lambda: self.rows(subscriber) == 2, "the apply worker catches up")

    def test_a_commit_whose_lease_ends_after_the_flush_is_not_confirmed_to_the_publisher(self):
        publisher, subscriber = self.subscribe()
        subscriber.configure({"synchronous_standby_names": "'nobody'"})
        subscriber.reload()
        wait_until(lambda: subscriber.sql("SHOW synchronous_standby_names") == [("nobody",)], "the reload")
        before = self.confirmed(publisher)
        publisher.sql("INSERT INTO t VALUES (2)")
        commit_lsn = publisher.sql("SELECT pg_current_wal_lsn()")[0][0]
        wait_until(lambda: subscriber.sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == [(1,)],
                   "the apply worker waits after its flush")
        subscriber.ask("close epoch=1")
        subscriber.configure({"synchronous_standby_names": "''"})
        subscriber.reload()
        wait_until(lambda: "lease ended while a transaction was committing" in subscriber.log(), "the second check refuses")
        wait_until(lambda: subscriber.log().count("logical replication worker LG001") > 1, "the worker was started again, and refused")
        self.assertTrue(publisher.sql(f"SELECT confirmed_flush_lsn < '{commit_lsn}' FROM pg_replication_slots")[0][0])
        self.assertGreaterEqual(self.confirmed(publisher), before)
        self.assertNotIn("PANIC", subscriber.log())
        subscriber.must_open(epoch=2)
        publisher.sql("INSERT INTO t VALUES (3)")
        wait_until(lambda: self.rows(subscriber) == 3, "nothing is lost or applied twice")

    def test_a_publisher_goes_on_publishing_while_closed(self):
        publisher, subscriber = self.subscribe()
        publisher.ask("close epoch=1")
        self.assertFalse(self.writes(publisher))
        publisher.must_open(epoch=2)
        publisher.sql("INSERT INTO t VALUES (2)")
        wait_until(lambda: self.rows(subscriber) == 2, "the row arrives")


if __name__ == "__main__":
    unittest.main()
