"""The steps of a run, and the engine that makes, keeps and resumes them."""

from ..extras import require

require("maps", "bayes_rootc.steps")
