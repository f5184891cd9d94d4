"""`python -m bayes_rootc`."""

from .cli import main

raise SystemExit(main())
