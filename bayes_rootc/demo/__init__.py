"""A simulated world with known truth: the default input of a run, and what the tests recover."""

from .parameters import DemoParameters
from .world import DemoWorld, is_simulated, simulate_world

__all__ = ["DemoParameters", "DemoWorld", "is_simulated", "simulate_world"]
