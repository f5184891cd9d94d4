"""One curve for each hemisphere, as the paper takes the atmosphere, in place of five zones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .atmosphere import Atmosphere, Curve


def two_hemispheres(atmosphere: Atmosphere) -> Atmosphere:
    """The same atmosphere, in which every zone has the mean curve of the zones of its hemisphere.

    Examples
    --------
    >>> air = two_hemispheres(Atmosphere.packaged())
    >>> bool(air.bomb("NHZone1").at(1964.5) == air.bomb("NHZone3").at(1964.5) > air.bomb("SHZone3").at(1964.5))
    True
    """
    curves: dict[str, Curve] = {}
    for hemisphere in ("NH", "SH"):
        zones = [zone for zone in atmosphere.curves if zone.startswith(hemisphere)]
        if zones:
            curves |= dict.fromkeys(zones, _mean([atmosphere.curves[zone] for zone in zones]))
    return replace(atmosphere, curves=curves, source=f"{atmosphere.source}, mean of each hemisphere's zones")


def _mean(curves: list[Curve]) -> Curve:
    """Mean of curves at the nodes of any of them, over the years that all have."""
    first, last = max(c.years[0] for c in curves), min(c.years[-1] for c in curves)
    years = np.unique(np.concatenate([c.years for c in curves]))
    years = years[(years >= first) & (years <= last)]
    return Curve(
        years, *(np.mean([f(years) for f in fs], axis=0) for fs in ([c.at for c in curves], [c.sd_at for c in curves]))
    )
