"""The interface of a kernel."""

from typing import Protocol

from batchdot.planning.plan import Executable, Plan


class Kernel(Protocol):
    """Runs plans. README.md in this folder is the contract; no method raises."""

    name: str

    def unavailable_reasons(self) -> list[str]:
        """Return why it works for no plan on this machine; an empty list if it works."""
        ...

    def not_supported_reasons(self, plan: Plan) -> list[str]:
        """Return why it does not run this plan; an empty list if it does."""
        ...

    def limitations(self) -> list[str]:
        """Return every reason that `not_supported_reasons` can give."""
        ...

    def describe(self) -> str:
        """Return what `batchdot info` prints beside "available"; may be empty."""
        ...

    def build(self, plan: Plan) -> Executable:
        """Return the plan as this kernel runs it, with the functions that run it."""
        ...
