"""Numbers in few bytes: quantised to a stated error, as differences that compress well, deflated, in base64.

A value v becomes a whole number of steps of :math:`\\mathrm{sign}(v) \\ln(1 + |v|/f)`, so it is off by half a step of
:math:`|v| + f` at most: a relative error above the floor f, an absolute one below it. `codec.mjs` reads it back.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIRST_STEP = 0.01
"""Step of a logarithm: an error of 0.5 %."""


@dataclass(frozen=True)
class Scale:
    """How the values of a map are rounded.

    Parameters
    ----------
    floor : float
        Values around which steps change from even to relative; 0: all steps are even.
    step : float
        Size of a step, of the logarithm or of the value itself.

    Examples
    --------
    >>> scale = Scale(0.001, 0.01)
    >>> steps = scale.steps(np.array([-2.0, 0.0, 1.0]))
    >>> steps.tolist(), scale.values(steps).round(3).tolist(), round(scale.error(2.0), 3)
    ([-760, 0, 691], [-1.997, 0.0, 1.001], 0.01)
    """

    floor: float
    step: float

    def steps(self, values: NDArray[np.floating]) -> NDArray[np.int16]:
        """Numbers of steps; 0 where a value is missing."""
        known = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        if self.floor:
            known = np.copysign(np.log1p(np.abs(known) / self.floor), known)
        return np.clip(np.rint(known / self.step), -MOST, MOST).astype(np.int16)

    def values(self, steps: NDArray[np.int16]) -> NDArray[np.float64]:
        """Values of numbers of steps."""
        along = steps * self.step
        return np.asarray(self.floor * np.copysign(np.expm1(np.abs(along)), along) if self.floor else along)

    def error(self, value: float) -> float:
        """The most by which a value may be off."""
        return self.step / 2 * ((abs(value) + self.floor) * (1 + self.step / 2) if self.floor else 1.0)


LEVEL = 4
"""Effort of compression: more takes three times as long for a fiftieth of the size."""

MOST = 16_000
"""Most steps from 0: a difference of two still fits into two bytes."""


def pack(steps: NDArray[np.int16], known: NDArray[np.bool_], reference: NDArray[np.int16] | None = None) -> bytes:
    """Layers of a map as bytes, before they are deflated.

    What is kept is the change, from one cell to the next, of the difference from `reference`, else from the layer
    before: neighbouring cells and layers are alike, so most of these are small.

    Parameters
    ----------
    steps : ndarray
        (layer, cell).
    known : ndarray
        Whether a cell has a value, (layer, cell).
    reference : ndarray, optional
        Steps of another map of the same layers, (layer, cell).
    """
    parts = []
    for layer, (here, there) in enumerate(zip(steps, known, strict=True)):
        base = reference[layer] if reference is not None else steps[layer - 1] if layer else np.zeros_like(here)
        change = np.diff(here - base, prepend=np.int16(0))
        zigzag = ((change << 1) ^ (change >> 15)).view(np.uint16)
        gaps = b"" if there.all() else np.packbits(there).tobytes()
        parts += [bytes([bool(gaps)]), gaps, (zigzag & 255).astype(np.uint8).tobytes()]
        parts.append((zigzag >> 8).astype(np.uint8).tobytes())
    return b"".join(parts)


def deflated(content: bytes) -> str:
    """Bytes deflated (zlib), in base64."""
    return base64.b64encode(zlib.compress(content, LEVEL)).decode()


def deflated_json(value: Any) -> str:
    """A value as deflated JSON, in base64."""
    return deflated(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode())
