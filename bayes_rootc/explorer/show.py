"""The explorer from Python: opens in a browser, or inline in a notebook."""

from __future__ import annotations

import html
import os
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path

from ..report.results import TURNOVER, Results
from .page import NAME, write_explorer

INLINE_HEIGHT = 760
"""Height of the explorer in a notebook, pixels."""

TILES = "tiles"


@dataclass(frozen=True)
class Explorer:
    """An explorer that has been written; the last value of a cell, it shows itself in a notebook.

    Parameters
    ----------
    page : Path
        Its `index.html`.
    """

    page: Path

    def _repr_html_(self) -> str:
        """The page in a frame. One that is a single file is put into the notebook and goes with it; one with tiles is
        read from where it lies, which must be below the folder that the notebook was started in.
        """
        how = f'width="100%" height="{INLINE_HEIGHT}" title="Root carbon explorer" style="border:1px solid #ccc"'
        if (self.page.parent / TILES).is_dir():
            where = Path(os.path.relpath(self.page)).as_posix()
            return f'<iframe src="{html.escape(where)}" {how}></iframe>'
        text = html.escape(self.page.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{text}" sandbox="allow-scripts allow-downloads" {how}></iframe>'


def explore(
    out: str | Path, *, to: str | Path | None = None, data: str | Path | None = None, show: bool = True
) -> Explorer:
    """Opens the explorer of a run: its interactive maps.

    It is made if it is not there, or older than the maps and tables of the run.

    Parameters
    ----------
    out : str or Path
        Output folder of a finished run.
    to : str or Path, optional
        Folder of the explorer; by default `explorer` in `out`.
    data : str or Path, optional
        Data folder, for coastline and atmosphere, if it has moved since the run.
    show : bool
        Open it in a browser. In a notebook it is shown inline instead, as the value of a cell.

    Returns
    -------
    Explorer
        Where it is.

    Raises
    ------
    InputError
        The folder is not that of a run with maps, or `to` holds something else.

    Examples
    --------
    >>> explore("out")  # doctest: +SKIP
    Explorer(page=PosixPath('out/explorer/index.html'))
    """
    explorer = Explorer((Path(to) if to else Path(out) / "explorer") / NAME)
    results = Results.read(out, data=data)
    if _is_older(explorer.page, results.out):
        make(results, explorer.page.parent)
    if show and not _in_notebook():
        webbrowser.open(explorer.page.resolve().as_uri())
    return explorer


def make(results: Results, to: Path | None = None) -> Path:
    """Writes the explorer of a finished run, and closes its files; parameters, returns and raises as
    `write_explorer`.
    """
    try:
        return write_explorer(results, to, settings=results.run["settings"], simulated=results.simulated)
    finally:
        results.close()


def _is_older(page: Path, out: Path) -> bool:
    """Whether a page is not there, or older than what it shows."""
    if not page.is_file():
        return True
    shown = [out / "maps" / "maps.nc", out / TURNOVER, *(out / "tables").glob("*.csv")]
    return any(path.stat().st_mtime > page.stat().st_mtime for path in shown if path.is_file())


def _in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this, which shows values by itself."""
    python = sys.modules.get("IPython")
    shell = python.get_ipython() if python else None
    return shell is not None and "IPKernelApp" in shell.config
