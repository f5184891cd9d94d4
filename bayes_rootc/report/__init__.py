"""Figures, tables and the report of a finished run."""

from ..extras import require

require("maps", "bayes_rootc.report")
