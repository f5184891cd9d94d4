"""What the balance of root carbon leaves out: litter, exudates, and dissolved carbon that is counted twice.

I_bulk holds what enters a layer, wherever from: in the topsoil also from litter, below it also dissolved from above,
where it was counted already. I_root is measured as the production of roots, without what they exude. None of this is in
the data of a run, so it is not in its headline either; each is known well enough for a prior.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

type Part = Literal["litter", "exudates", "dissolved"]

PARTS: tuple[Part, ...] = get_args(Part.__value__)

ROOTS_SHARE = (13.0, 7.0)
"""Beta prior of the share of I_bulk in 0–20 cm that comes from roots, 0.65 (0.43–0.84): aboveground litter forms soil
carbon at 7 % of its input, mineral-associated, where roots do at 9 % and their exudates at 46 % (Villarino et al. 2021,
Science Advances 7, eabd3176), and more of it decays on top of the soil.
"""

EXUDATES = (float(np.log(0.5)), 0.3)
"""Log-normal prior of what roots exude over their production, 0.5 (0.28–0.90): net rhizodeposition is about half of
root production in crops and grasslands (Pausch & Kuzyakov 2018, Global Change Biology 24, 1–12); 13.4 Pg C yr⁻¹ are
exuded on land (Chari et al. 2024), of a belowground production of 24.7 (Gherardi & Sala 2020).
"""

DISSOLVED = (float(np.log(0.1)), 0.35)
"""Log-normal prior of the dissolved carbon that leaves the upper 20 cm downwards and is held below, Mg C ha⁻¹ yr⁻¹, 0.1
(0.05–0.2): 0.2 at 10 cm and 0.01 at 150 cm under beech (Leinemann et al. 2016, Biogeochemistry 131, 1–15).
"""


def balanced(
    iroot: NDArray[np.float64], ibulk: NDArray[np.float64], parts: Collection[Part], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Root carbon that enters the soil, and what of it enters bulk soil, with some parts of the balance.

    Parameters
    ----------
    iroot, ibulk : ndarray, shape (7, draw)
        I_root and I_bulk of the seven layers, Mg C ha⁻¹ yr⁻¹.
    parts : collection of {"litter", "exudates", "dissolved"}
        What is taken into account: `litter` takes its share off I_bulk of 0–20 cm, `exudates` adds them to I_root,
        `dissolved` takes off I_bulk of the deeper layers what reaches them from above, up to all of it.
    rng : Generator
        Draws from the priors; those of a part are the same whatever other parts are taken.

    Returns
    -------
    iroot, ibulk : ndarray, shape (7, draw)
        The same with these parts.

    Examples
    --------
    >>> flux = np.full((7, 1000), 0.1)
    >>> root, bulk = balanced(2 * flux, flux, ["exudates"], np.random.default_rng(1))
    >>> round(float(np.median(root[0])), 1), float(bulk.max())
    (0.3, 0.1)
    """
    count = iroot.shape[1]
    share, exuded, moved = (
        rng.beta(*ROOTS_SHARE, count),
        rng.lognormal(*EXUDATES, count),
        rng.lognormal(*DISSOLVED, count),
    )
    root, bulk = iroot.copy(), ibulk.copy()
    if "exudates" in parts:
        root *= 1 + exuded
    if "litter" in parts:
        bulk[0] *= share
    if "dissolved" in parts:
        below = bulk[1:].sum(axis=0)
        bulk[1:] *= 1 - np.minimum(moved / below, 1.0)
    return root, bulk
