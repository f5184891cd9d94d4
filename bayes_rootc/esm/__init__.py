"""Earth system models and published maps, compared with our maps."""

from ..extras import require

require("maps", "bayes_rootc.esm")
require("esm", "bayes_rootc.esm")
