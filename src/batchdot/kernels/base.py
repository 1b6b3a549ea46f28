"""The interface of a kernel: what runs plans. Each kernel's file lists what it does not support, and why."""

from typing import Protocol

from batchdot.planning.plan import Executable, Plan


class Kernel(Protocol):
    """Runs plans, as README.md here specifies. Only `describe` of an unavailable kernel may raise."""

    name: str

    def unavailable_reasons(self) -> list[str]:
        """Return why the kernel cannot run on this machine; an empty list if it can."""
        ...

    def not_supported_reasons(self, plan: Plan) -> list[str]:
        """Return why the kernel cannot run this plan; an empty list if it can."""
        ...

    def limitations(self) -> list[str]:
        """Return every reason that `not_supported_reasons` can give."""
        ...

    def describe(self) -> str:
        """Return what `batchdot info` prints after "available"; may be empty. Call it only if available."""
        ...

    def build(self, plan: Plan) -> Executable:
        """Return the plan as this kernel runs it, with the functions that run it."""
        ...
