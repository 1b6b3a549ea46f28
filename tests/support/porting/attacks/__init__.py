"""Hostile files, a function each; README.md says how to add one."""

from tests.support.porting.attacks import hdf5_attacks, json_attacks, other_attacks, zip_attacks
from tests.support.porting.attacks.registry import ATTACKS

__all__ = ["ATTACKS", "hdf5_attacks", "json_attacks", "other_attacks", "zip_attacks"]
