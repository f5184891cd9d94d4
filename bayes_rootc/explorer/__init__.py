"""Maps of a finished run as a page that answers when one clicks on it."""

from ..extras import require

require("maps", "bayes_rootc.explorer")
