"""What the quickstart has measured, and whether all of it really happened. A value that is missing is missing, never assumed."""
from __future__ import annotations

from dataclasses import dataclass, field

from lab.ledger import Count

PHASES = ("detection", "decision", "fence", "promotion", "dns", "deploy", "writable", "total")
EXPLAINED = {
    "detection": "the kill → verdict `down`",
    "decision": "verdict → every gate has said yes, the operation starts",
    "fence": "the kill → proof that site-a cannot acknowledge (beside detection and decision)",
    "promotion": "operation → first write acknowledged by PostgreSQL of site-b",
    "dns": "point of no return → the authority answers site-b",
    "deploy": "point of no return → the application of site-b answers /health (beside DNS)",
    "writable": "the kill → first write acknowledged by PostgreSQL of site-b",
    "total": "the kill → first write acknowledged at site-b by way of DNS and the application",
}


@dataclass
class OldServer:
    """What happened when PostgreSQL of site-a was started again by hand."""

    read_write: bool
    refused: int
    acknowledged: int
    refusal: str


@dataclass
class Outcome:
    phases_us: dict[str, int | None]
    writes: Count
    old_server: OldServer | None
    certificate: str | None
    operation: int | None
    operation_state: str | None
    report_file: str
    work_dir: str
    elapsed_s: float
    missing: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.missing = [f"no value for {phase}" for phase in PHASES if self.phases_us.get(phase) is None]
        self.missing += [f"{phase} ends before it begins" for phase, value in self.phases_us.items() if value is not None and value < 0]
        checks = {
            "the operation is done": self.operation_state == "done",
            "a certificate was given": self.certificate is not None,
            "site-a had acknowledged writes": self.writes.at_old > 0,
            "no acknowledged write is lost": self.writes.lost == 0,
            "no split-brain acknowledgement": self.writes.split_brain == 0,
            "site-b acknowledged writes": self.writes.at_new > 0,
            "the old server was started by hand, read-write": self.old_server is not None and self.old_server.read_write,
            "it was asked to write and refused": self.old_server is not None and self.old_server.refused > 0,
            "it acknowledged nothing": self.old_server is not None and self.old_server.acknowledged == 0,
        }
        self.missing += [f"does not hold: {text}" for text, holds in checks.items() if not holds]

    def complete(self) -> bool:
        return not self.missing

    def as_dict(self) -> dict:
        old = self.old_server
        return {
            "ok": self.complete(),
            "missing": self.missing,
            "phases_ms": {phase: _ms(self.phases_us.get(phase)) for phase in PHASES},
            "writes": self.writes.as_dict(),
            "old_server": None if old is None else
            {"read_write": old.read_write, "refused": old.refused, "acknowledged": old.acknowledged, "refusal": old.refusal},
            "certificate": self.certificate,
            "operation": self.operation,
            "operation_state": self.operation_state,
            "report": self.report_file,
            "work_dir": self.work_dir,
            "elapsed_s": round(self.elapsed_s, 1),
        }

    def table(self) -> str:
        lines = ["", f"  {'phase':<12}{'seconds':>9}   what it spans", "  " + "-" * 96]
        for phase in PHASES:
            value = self.phases_us.get(phase)
            shown = f"{value / 1e6:9.3f}" if value is not None else "  MISSING"
            lines.append(f"  {phase:<12}{shown}   {EXPLAINED[phase]}")
        writes = self.writes
        lines += ["  " + "-" * 96,
                  f"  acknowledged writes          {writes.acknowledged:6}   {writes.at_old} by site-a, {writes.at_new} by site-b",
                  f"  acknowledged writes lost     {writes.lost:6}   every id held against the rows of site-b",
                  f"  split-brain acknowledgements {writes.split_brain:6}   by site-a after site-b's first; its server was started again"]
        if self.old_server is not None:
            lines += [f"  refused by the old server    {self.old_server.refused:6}   {self.old_server.refusal}"]
        lines += [f"  certificate                  {self.certificate or 'MISSING'}", "", f"  report: {self.report_file}",
                  f"  whole run: {self.elapsed_s:.0f} s"]
        lines += [f"  FAILED: {text}" for text in self.missing]
        return "\n".join(lines) + "\n"


def _ms(value_us: int | None) -> float | None:
    return None if value_us is None else round(value_us / 1000, 1)
