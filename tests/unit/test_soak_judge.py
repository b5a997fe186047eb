"""The judge of the soak finds what must not be, and excuses only what the policy and the physics of a cut network excuse."""
import sys
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from lab.ledger import Ack  # noqa: E402
from tests.soak.judge import MAX_LAG_S, Broken, Judge, Round  # noqa: E402

A, B = "198.18.1.1", "198.18.2.1"
BEGAN_US = 100_000_000  # of the fault


def ack(number, server, started_us, acknowledged_us=None):
    return Ack(number, server, started_us, acknowledged_us or started_us + 1000)


class SoakJudge(unittest.TestCase):
    def judge(self, acks, rows, new="site-b", lossless=False):
        played = Round(1, "a fault", "", "site-a", BEGAN_US, new)
        writer = SimpleNamespace(known=sorted(acks, key=lambda each: each.acknowledged_us), acks=lambda: None)
        Judge([writer]).look(played, lambda: set(rows), A, B if new == "site-b" else A, lossless)
        return played

    def test_a_clean_move(self):
        played = self.judge([ack(1, A, BEGAN_US - 1000), ack(2, B, BEGAN_US + 2_000_000)], [1, 2])
        self.assertEqual((played.lost, played.late, played.moved_after_s), (0, 0, 2.001))

    def test_a_write_that_the_old_primary_takes_after_the_first_of_the_new_one_is_split_brain(self):
        with self.assertRaisesRegex(Broken, "split brain"):
            self.judge([ack(1, B, BEGAN_US), ack(2, A, BEGAN_US + 2000)], [1, 2])

    def test_an_answer_that_was_under_way_is_late_and_no_split_brain(self):
        self.assertEqual(self.judge([ack(1, B, BEGAN_US), ack(2, A, BEGAN_US - 5, BEGAN_US + 9000)], [1, 2]).late, 1)

    def test_a_write_taken_by_the_standby_is_split_brain(self):
        with self.assertRaisesRegex(Broken, "split brain"):
            self.judge([ack(1, A, BEGAN_US), ack(2, B, BEGAN_US)], [1, 2], new="site-a")

    def test_what_had_not_reached_the_standby_is_lost_within_the_policy(self):
        self.assertEqual(self.judge([ack(1, A, BEGAN_US - 1000), ack(2, B, BEGAN_US + 9000)], [2]).lost, 1)

    def test_a_loss_older_than_the_policy_allows(self):
        with self.assertRaisesRegex(Broken, "older than"):
            self.judge([ack(1, A, BEGAN_US - MAX_LAG_S * 1_000_000 - 1), ack(2, B, BEGAN_US + 9000)], [2])

    def test_a_loss_where_nothing_moved_or_nothing_may_be_lost(self):
        for new, acks in (("site-a", [ack(1, A, BEGAN_US)]), ("site-b", [ack(1, A, BEGAN_US), ack(2, B, BEGAN_US + 9000)])):
            with self.assertRaisesRegex(Broken, "nothing in this round excuses it"):
                self.judge(acks, [2], new=new, lossless=True)

    def test_a_primary_that_takes_nothing(self):
        with self.assertRaisesRegex(Broken, "has acknowledged nothing"):
            self.judge([ack(1, A, BEGAN_US)], [1])


if __name__ == "__main__":
    unittest.main()
