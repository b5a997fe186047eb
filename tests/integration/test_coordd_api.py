"""The API of running nodes over the network: roles, servers that are away, certificates that change. Three real nodes of the build under test, without
databases, in a network namespace of their own. Environment: COORD_BUILD (the build directory).
"""
import json
import shutil
import signal
import socket
import subprocess
import time

import test_coordd_support as support  # also finds lab
from lab import postgres
from lab.network import SITES

COORDCTL = str(support.BUILD / "coordinator/coordctl")
SERVICES = """services:
  - name: app
    profile: metro
    mode: shadow
    primary: site-a
    accept_vm_pause: true
    max_lag: 1MiB
    sites:
      - { site: site-a, address: 127.10.1.1, postgres: { host: 127.10.1.1 } }
      - { site: site-b, address: 127.10.2.1, postgres: { host: 127.10.2.1 } }
"""


class Api(support.LabTest):
    def setUp(self):
        super().setUp()
        self.make_nodes()
        self.nodes = [self.lab.node(site) for site in SITES]
        self.authority = self.nodes[0].authority
        for name, role in (("alice", "operator"), ("bob", "viewer")):
            self.pki("client", str(self.authority), name, "--role", role)

    def pki(self, *arguments):
        self.lab.processes.run([COORDCTL, "pki", *arguments], user=postgres.USER)

    def start(self, *nodes):
        for node in nodes:
            node.start()
            node.await_log("event=started ")
        deadline = time.monotonic() + 20
        while len({node.leader() for node in nodes} - {None}) != 1:
            self.assertLess(time.monotonic(), deadline, "no leader")
            time.sleep(0.1)

    def ctl(self, who, servers, *arguments, pki=None):
        """(exit code, standard output, standard error)"""
        argv = [COORDCTL, "--server", ",".join(node.api for node in servers), "--pki", str((pki or self.authority) / who), *arguments]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_people_command_from_afar_as_their_certificates_allow(self):
        self.start(*self.nodes)
        services = self.work / "services.yaml"
        services.write_text(SERVICES, encoding="utf-8")
        code, _, err = self.ctl("bob", self.nodes, "apply", "-f", str(services))
        self.assertEqual((code, "viewer bob may look, and change nothing" in err), (1, True), err)
        for node in self.nodes:  # whichever of them leads: a follower forwards
            code, out, err = self.ctl("alice", [node], "apply", "-f", str(services))
            self.assertEqual(code, 0, err)
            for action in ("arm", "disarm"):
                code, out, err = self.ctl("alice", [node], action, "app")
                self.assertEqual(code, 0, err)
            code, out, err = self.ctl("bob", [node], "why", "app")
            self.assertIn(f"armed by alice via {node.name}", out, err)
        code, out, _ = self.ctl("bob", self.nodes, "status", "--json")
        self.assertEqual((code, json.loads(out)["node"]["name"]), (0, self.nodes[0].name))

    def test_a_node_that_is_away_is_said_and_another_one_asked(self):
        self.start(*self.nodes)
        self.nodes[0].kill()
        code, out, err = self.ctl("bob", self.nodes, "status")
        self.assertEqual(code, 0, err)
        self.assertIn(f"coordctl: {self.nodes[0].api}: Connection refused; asking {self.nodes[1].api}\n", err)
        self.assertIn(f"node {self.nodes[1].name} at", out)

    def test_a_name_server_that_is_silent_is_not_waited_for_beyond_the_timeout(self):
        """In a mount namespace of coordctl's own, /etc/resolv.conf names a server that takes questions and answers none."""
        self.start(*self.nodes)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.10.9.53", 53))
            (self.work / "resolv.conf").write_text("nameserver 127.10.9.53\noptions timeout:30 attempts:3\n", encoding="utf-8")
            (self.work / "nsswitch.conf").write_text("hosts: files dns\n", encoding="utf-8")
            mounts = "".join(f"mount --bind {self.work}/{file} /etc/{file} && " for file in ("resolv.conf", "nsswitch.conf"))
            ctl = [COORDCTL, "--pki", str(self.authority / "bob"), "--timeout", "2s"]
            code, out, err = self.unshared(mounts, [*ctl, "--server", "a1.example.test:7401", "status"])
            self.assertEqual((code, out), (3, ""), err)
            self.assertIn("a1.example.test:7401: no answer from the name servers yet", err)
            self.assertTrue(silent.recv(512, socket.MSG_DONTWAIT), "no name server was asked")

    def unshared(self, mounts, argv):
        done = subprocess.run(["unshare", "-m", "sh", "-c", mounts + 'exec "$@"', "sh", *argv], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=20, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_load_balancers_need_no_certificate(self):
        self.start(*self.nodes)
        codes = {}
        for path in ("/healthz", "/metrics", "/v1/status"):
            codes[path] = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", str(self.authority / "authority.crt"),
                                          f"https://{self.nodes[0].api}{path}"], capture_output=True, text=True, timeout=20, check=False).stdout
        self.assertEqual(codes, {"/healthz": "200", "/metrics": "200", "/v1/status": "403"})
        self.nodes[0].await_log("event=api_request_refused ")

    def test_a_new_authority_holds_for_the_api_without_a_restart(self):
        self.start(*self.nodes)
        node, other = self.nodes[0], self.work / "other"
        other.mkdir()
        shutil.chown(other, postgres.USER)
        self.pki("init", str(other))
        self.pki("client", str(other), "carol", "--role", "operator")
        code, _, err = self.ctl("carol", [node], "status", pki=other)
        self.assertEqual(code, 1)
        self.assertIn("is not accepted", err)  # it is none of carol's cluster
        node.await_log("event=api_connection_refused ")
        self.pki("node", str(other), node.name, "--id", str(node.me.id), "--address", node.me.address)
        for file in ("node.crt", "node.key", "authority.crt"):
            shutil.copy2(other / node.name / file, node.certificates / file)
            shutil.chown(node.certificates / file, postgres.USER)
        since = node.log.stat().st_size
        node.child.popen.send_signal(signal.SIGHUP)
        node.await_log("event=certificates_read ", since)
        code, out, err = self.ctl("carol", [node], "status", pki=other)
        self.assertEqual(code, 0, err)
        code, out, err = self.ctl("alice", [node], "status")
        self.assertEqual(code, 1, out)

    def test_a_port_that_is_taken_is_named_with_its_key(self):
        self.start(*self.nodes)
        node = self.nodes[0]
        node.kill()
        text = node.config_file.read_text(encoding="utf-8").replace(f'api: "{node.api}"', f'api: "{self.nodes[1].api}"')
        node.config_file.write_text(text, encoding="utf-8")
        node.start()
        node.await_log(f"key `api`: {self.nodes[1].api}: cannot listen: address already in use")


if __name__ == "__main__":
    support.main()
