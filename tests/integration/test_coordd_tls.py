"""The certificates of a running coordd: read again, broken, about to end, and of somebody else. Three real nodes of the build under test, without
databases, in a network namespace of their own. Environment: COORD_BUILD (the build directory).
"""
import shutil
import signal
import time

import test_coordd_support as support  # also finds lab
from lab import postgres
from lab.network import SITES


class Certificates(support.LabTest):
    def setUp(self):
        super().setUp()
        self.make_nodes()

    def start(self, *sites):
        for site in sites:
            node = self.lab.node(site)
            since = node.log.stat().st_size if node.log.exists() else 0
            node.start()
            node.await_log("event=started ", since)

    def await_leader(self, *sites):
        """Every one of these nodes names the same leader."""
        deadline = time.monotonic() + 20
        while len({self.lab.node(site).leader() for site in sites} - {None}) != 1:
            self.assertLess(time.monotonic(), deadline, "no leader")
            time.sleep(0.1)

    def issue(self, node, *more):
        """Another certificate in place of the node's old one."""
        shutil.rmtree(node.certificates)
        self.lab.processes.run([str(node.programs / "coordctl"), "pki", "node", str(node.authority), node.name, "--id", str(node.me.id), *more],
                               user=postgres.USER)

    def hang_up(self, node, said):
        since = node.log.stat().st_size
        node.child.popen.send_signal(signal.SIGHUP)
        node.await_log(said, since)
        return node.log.read_text(encoding="utf-8")[since:]

    def metrics(self, node):
        _, text = node.get("/metrics")
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    def test_new_files_are_read_and_broken_ones_are_not(self):
        self.start(*SITES)
        self.await_leader(*SITES)
        node = self.lab.node("site-a")
        self.assertEqual(node.ctl("status")["node"]["certificates"]["health"], "ok")
        before = float(self.metrics(node)['coord_certificate_expiry_seconds{of="certificate"}'])

        self.issue(node, "--days", "5")
        said = self.hang_up(node, "event=certificates_read ")
        self.assertIn("event=certificate_expires ", said)
        certificates = node.ctl("status")["node"]["certificates"]
        self.assertEqual(certificates["health"], "warning")
        self.assertRegex(certificates["summary"], "^this node's certificate ends in [45] days ")
        self.assertIn("coordctl pki node", certificates["way_out"])
        self.assertIn("way out: coordctl pki node", node.ctl_text("status"))
        after = float(self.metrics(node)['coord_certificate_expiry_seconds{of="certificate"}'])
        self.assertLess(after, before)

        (node.certificates / "node.crt").write_text("half a file", encoding="utf-8")
        self.hang_up(node, "event=certificates_not_read ")
        self.assertEqual(node.ctl("status")["node"]["certificates"]["certificate_end_s"], int(after))
        other = self.lab.node("site-b")  # it comes back, and is let in by what site-a had read before
        other.kill()
        self.start("site-b")
        self.await_leader(*SITES)

    def test_who_shows_the_wrong_thing_does_not_start(self):
        node, other = self.lab.node("site-a"), self.lab.node("site-b")
        for name in ("node.crt", "node.key"):
            shutil.copy2(other.certificates / name, node.certificates / name)
            shutil.chown(node.certificates / name, postgres.USER, postgres.USER)
        self.expect_no_start(node, "the certificate is that of node 2, and this is node 1")
        (node.certificates / "node.key").chmod(0o644)
        self.expect_no_start(node, "others may read it (mode 644): chmod 600")
        (node.certificates / "node.key").unlink()
        self.expect_no_start(node, "node.key: No such file or directory: `coordctl pki` makes certificates")

    def expect_no_start(self, node, said):
        node.start()
        self.assertEqual(node.child.popen.wait(20), 1)
        self.lab.processes.children.remove(node.child)
        node.child = None
        self.assertIn(said, node.log.read_text(encoding="utf-8").splitlines()[-1])

    def test_a_node_of_another_authority_stays_outside_until_it_has_the_right_one(self):
        stranger, leader = self.lab.node("site-c"), self.lab.node("site-a")
        proper = stranger.authority
        stranger.authority = self.lab._make_directory("pki-other") / "authority"
        self.lab.processes.run([str(stranger.programs / "coordctl"), "pki", "init", str(stranger.authority)], user=postgres.USER)
        self.lab.processes.run([str(stranger.programs / "coordctl"), "pki", "node", str(stranger.authority), stranger.name, "--id",
                                str(stranger.me.id)], user=postgres.USER)
        stranger.config_file.write_text(stranger._config(), encoding="utf-8")
        self.start(*SITES)
        self.await_leader("site-a", "site-b")
        leader.await_log("event=connection_refused ")
        stranger.await_log("(node 1) is not accepted: another authority signed it")
        leader.await_log("(node 3) is not accepted: another authority signed it")
        self.assertIsNone(stranger.leader())
        self.assertGreater(float(self.metrics(leader)['coord_node_connections_refused_total{reason="certificate"}']), 0)

        for name in ("node.crt", "node.key", "authority.crt"):
            shutil.copy2(proper / stranger.name / name, stranger.certificates / name)
            shutil.chown(stranger.certificates / name, postgres.USER, postgres.USER)
        self.hang_up(stranger, "event=certificates_read ")
        self.await_leader(*SITES)


if __name__ == "__main__":
    support.main()
