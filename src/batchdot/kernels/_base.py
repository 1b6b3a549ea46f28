"""What a kernel is."""

from typing import Protocol

from batchdot.lowering import Plan, Run


class Kernel(Protocol):
    """Runs plans. README.md in this folder is the contract."""

    name: str

    def unavailable(self) -> list[str]:
        """List the reasons why it can run nothing on this machine."""
        ...

    def why_not(self, plan: Plan) -> list[str]:
        """List the reasons why it cannot run this plan."""
        ...

    def build(self, plan: Plan) -> Run:
        """Return the function that runs this plan."""
        ...
