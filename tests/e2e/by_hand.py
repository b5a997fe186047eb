"""A person moves the service: with the old primary alive, dead, against a gate, and with a typed override."""
from __future__ import annotations

import time

from tests.e2e.scenario import Stage, scenario


@scenario()
def a_person_promotes_while_the_primary_is_alive_and_it_is_fenced_first(stage: Stage) -> None:
    lab = stage.lab
    lab.node("site-c").ctl_text("promote", "site-b", "-s", "app", timeout_s=60)
    stage.moved()
    stage.old_server_refuses()
    operation = stage.operations()[0]
    stage.expect(operation["kind"] == "promote" and operation["by"] != "automatic", f"recorded as done by {operation['by']}")
    stage.counts(lost=0)


@scenario(mode="propose")
def a_person_promotes_when_the_primary_is_dead(stage: Stage) -> None:
    lab = stage.lab
    lab.with_nothing_under_way(lab.a.kill)
    time.sleep(5)
    stage.expect(lab.server("site-b").in_recovery(), "in mode propose nothing moves by itself")
    operations = stage.operations()
    if operations:
        stage.expect(operations[0]["state"] == "proposed", "an operation is proposed")
        lab.node("site-b").ctl_text("approve", str(operations[0]["id"]))
    else:
        lab.node("site-b").ctl_text("promote", "site-b", "-s", "app", timeout_s=60)
    stage.moved()
    stage.counts(lost=0)


@scenario()
def a_promotion_is_refused_by_a_gate_and_done_with_a_typed_override(stage: Stage) -> None:
    lab = stage.lab
    node = lab.node("site-c")
    node.ctl_text("pause", "app")
    text = stage.ctl_refused("site-c", "promote", "site-b", "-s", "app")
    stage.expect("paused" in text and "--force" in text, "the refusal names the gate and the exact override")
    stage.nothing_moved()
    node.ctl_text("promote", "site-b", "-s", "app", "--force", "paused", "--reason", "the window is closed", "--confirm", "app",
                  timeout_s=60)
    stage.moved()
    operation = stage.operations()[0]
    stage.expect(operation["overrides"] == ["paused"] and "the window is closed" in operation["reason"],
                 f"the override is recorded: {operation['by']}, {operation['reason']}")
    stage.counts(lost=0)
