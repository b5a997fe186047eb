"""The ledger of a soak: every acknowledged write held against who was primary when, and against what the primary holds in the end."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable

from lab.ledger import Ack, Writer

MAX_LAG_S = 10  # `max_lag_seconds` of the lab's services file: what an automatic failover may lose


@dataclass
class Round:
    """One fault, and what became of the service."""

    number: int
    fault: str
    background: str
    old: str
    began_us: int
    new: str = ""
    moved_after_s: float | None = None
    operations: list[dict] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    late: int = 0
    rejoined: str = ""

    @property
    def moved(self) -> bool:
        return self.new != self.old


class Broken(AssertionError):
    """The product did what it must not do."""


class Judge:
    def __init__(self, writers: list[Writer]) -> None:
        self.writers = writers
        self.judged = [0] * len(writers)
        self.acknowledged: set[int] = set()
        self.lost: set[int] = set()

    def look(self, played: Round, held: Callable[[], set[int]], old_address: str, new_address: str, lossless: bool) -> None:
        """After the round, with the service at rest: `held` gives the ids that its primary holds. Raises Broken."""
        fresh = self._fresh()
        rows = held()  # after the records: a write that is acknowledged between the two would seem lost
        played.acknowledged = len(fresh)
        self.acknowledged |= {ack.id for ack in fresh}
        by_new = [ack.acknowledged_us for ack in fresh if ack.server == new_address]
        if played.moved:
            if not by_new:
                raise Broken(f"{played.new} is primary and has acknowledged nothing")
            first = min(by_new)
            played.moved_after_s = (first - played.began_us) / 1e6
            old = [ack for ack in fresh if ack.server == old_address]
            # An answer that was under way when the network was cut or the server frozen arrives late; a write that *began* later does not.
            played.late = sum(1 for ack in old if ack.started_us <= first < ack.acknowledged_us)
            self._no_two_primaries([ack for ack in old if ack.started_us > first], played)
        else:
            self._no_two_primaries([ack for ack in fresh if ack.server != new_address], played)
        self._what_is_lost(played, {ack.id: ack for ack in fresh}, rows, lossless)

    def _fresh(self) -> list[Ack]:
        found = []
        for number, writer in enumerate(self.writers):
            writer.acks()
            found += writer.known[self.judged[number]:]
            self.judged[number] = len(writer.known)
        return found

    @staticmethod
    def _no_two_primaries(acks: list[Ack], played: Round) -> None:
        if acks:
            raise Broken(f"split brain: while {played.new} was primary {acks[0].server} acknowledged {len(acks)} writes; the first: {acks[0]}")

    def _what_is_lost(self, played: Round, fresh: dict[int, Ack], rows: set[int], lossless: bool) -> None:
        missing = self.acknowledged - rows - self.lost
        self.lost |= missing
        played.lost = len(missing)
        if not missing:
            return
        if not played.moved or lossless:
            raise Broken(f"{len(missing)} acknowledged writes are lost, and nothing in this round excuses it: {sorted(missing)[:5]}")
        began_us = played.began_us - MAX_LAG_S * 1_000_000
        worse = [number for number in missing if number not in fresh or fresh[number].started_us < began_us]
        if worse:
            raise Broken(f"{len(worse)} lost writes are older than the {MAX_LAG_S} s that the policy allows: {sorted(worse)[:5]}")
