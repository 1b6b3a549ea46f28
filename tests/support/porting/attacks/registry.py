"""The list of attacks; see README.md for how to add one."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Attack:
    name: str
    suffix: str
    build: Callable[[], bytes]
    refused: str | None


ATTACKS: list[Attack] = []


def attack_for(suffix):
    """Return a decorator that registers functions that make files of one suffix."""

    def attack(refused):
        def register(build):
            ATTACKS.append(Attack(f"{suffix[1:]}-{build.__name__}", suffix, build, refused))
            return build

        return register

    return attack
