"""What became of tests: counted, and told in one line."""
from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Result:
    passed: int = 0
    skipped: int = 0
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        self.passed += other.passed
        self.skipped += other.skipped
        self.failed += other.failed

    def plus(self, other: "Result") -> "Result":
        return Result(self.passed + other.passed, self.skipped + other.skipped, self.failed + other.failed)

    def line(self) -> str:
        return f"{self.passed} passed, {len(self.failed)} failed, {self.skipped} skipped"
