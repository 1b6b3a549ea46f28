"""What a kernel is."""

from typing import Protocol

from batchdot.planning.plan import Plan


class Kernel(Protocol):
    """Runs plans. README.md in this folder is the contract."""

    name: str

    def unavailable(self) -> list[str]:
        """List the reasons why it can run nothing on this machine."""
        ...

    def detail(self) -> str:
        """Say what a person may want to know of it where it is available; nothing, most often."""
        ...

    def why_not(self, plan: Plan) -> list[str]:
        """List the reasons why it cannot run this plan."""
        ...

    def build(self, plan: Plan) -> Plan:
        """Return the plan as this kernel runs it, with its name and the function that does."""
        ...
