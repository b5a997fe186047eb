"""The coordinators themselves change while the service is written to: nothing moves, and nothing that was acknowledged is lost."""
from __future__ import annotations

from lab.coord import CoordNode
from tests.e2e.scenario import Stage, scenario


def roles(node: CoordNode) -> dict[str, str]:
    return {member["name"]: member["role"] for member in node.ctl("members", "list")["members"]}


def add(stage: Stage, at: CoordNode, name: str) -> None:
    """Types what `members add` prints, and waits until the new one votes."""
    new = stage.lab.node(name)
    answer = at.ctl("members", "add", name, "--site", new.site, "--address", new.raft_address, "--witness")
    stage.expect(answer["id"] == new.me.id, f"{name} is given the id {new.me.id}, which nobody had before")
    join = next(step for step in answer["next"] if step.startswith("coordd join"))
    new.join(*join.split()[4:])
    new.start()
    stage.lab.until(lambda: roles(at)[name] in ("voter", "leader"), 20, f"{name} a voter")
    stage.say(f"  {name} has caught up and votes")


@scenario(nodes=("a1", "b1", "c1", "c2"), first=("a1", "b1", "c1"))
def a_killed_node_is_replaced_under_load(stage: Stage) -> None:
    lab = stage.lab
    old, at = lab.node("c1"), lab.node("b1")
    old.kill()
    add(stage, at, "c2")
    lab.until(lambda: at.ctl("members", "remove", "c1"), 10, "c1 removed")
    lab.until(lambda: set(roles(at)) == {"a1", "b1", "c2"}, 10, "the list without c1")
    since = old.log.stat().st_size
    old.start()
    old.await_log(" removed ", since)
    stage.expect(old.exit_code() == 4, "c1, started again, is told that it was removed and ends")
    lab.await_leader_at(lambda leader: leader == "c2")
    stage.say("  the new witness leads")
    stage.nothing_moved()


@scenario(nodes=("a1", "b1", "c1", "d1", "e1"), first=("a1", "b1", "c1"))
def three_nodes_grow_to_five_and_two_old_ones_die(stage: Stage) -> None:
    lab = stage.lab
    add(stage, lab.node("b1"), "d1")
    add(stage, lab.node("b1"), "e1")
    lab.node("c1").kill()
    lab.node("b1").kill()
    leader = lab.until(lambda: lab.node("a1").leader() in ("d1", "e1") and lab.node("a1").leader(), 20, "a leader among the new ones")
    stage.direct["site-a"].await_acks(200, lab.a.address)
    stage.expect(True, f"{leader} leads three of five, and site-a goes on writing")
    lab.node("b1").start()
    lab.node("c1").start()
    lab.await_leader()
    stage.nothing_moved()


@scenario()
def a_leader_that_is_removed_hands_over_first(stage: Stage) -> None:
    lab = stage.lab
    leader, at = lab.node("c1"), lab.node("b1")
    refusal = stage.ctl_refused("site-b", "members", "remove", "a1")
    stage.expect("gate lease" in refusal and "--force=lease" in refusal, "the primary's own node is not removed by mistake")
    answer = at.ctl("members", "remove", "c1")
    stage.expect(any("2 voters" in text for text in answer["warnings"]), "it is said that two voters are few")
    leader.await_log(" removed ")
    stage.expect(leader.exit_code() == 4, "c1 handed over, was removed, was told and ended")
    lab.until(lambda: at.leader() in ("a1", "b1"), 20, "another leader")
    stage.direct["site-a"].await_acks(100, lab.a.address)
    stage.nothing_moved()


@scenario(nodes=("a1", "b1", "c1", "c2"), first=("a1", "b1", "c1"))
def a_survivor_is_recovered_when_two_of_three_are_lost(stage: Stage) -> None:
    lab = stage.lab
    node, lost = lab.node("a1"), lab.node("c1")
    node.kill()
    cluster = node.recover_text().split(" of cluster ")[1][:16]
    typed = ("--force", "--reason", "two hosts burnt", "--confirm")
    stage.expect("answers at" in node.recover_text(*typed, cluster, code=1), "refused while other members answer")
    lab.node("b1").kill()
    lost.kill()
    stage.expect("it is typed" in node.recover_text(*typed, "yes", code=1), "refused without the cluster's id")
    node.recover_text(*typed, cluster)
    node.start()
    lab.until(lambda: set(roles(node)) == {"a1"}, 20, "a cluster of one")
    stage.expect(node.ctl("members", "list")["generation"] == 2, "generation 2 has begun")
    events = [event["text"] for event in node.ctl("events")["events"]]
    stage.expect(any("forced recovery by" in text and "two hosts burnt" in text for text in events), "and says who did it and why")
    stage.direct["site-a"].await_acks(len(stage.direct["site-a"].acks()) + 50, lab.a.address, timeout_s=30)
    stage.expect(node.service()["epoch"] > 1_000_000, "the primary has its right again, under an epoch above all of before")
    since = lost.log.stat().st_size
    lost.start()
    lost.await_log("forced recovery", since)
    stage.say("  one that was lost comes back and is refused")
    lost.kill()
    add(stage, node, "c2")
    stage.expect(lab.server("site-b").in_recovery(), "site-b is still a standby")
