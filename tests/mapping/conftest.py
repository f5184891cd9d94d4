"""What tests of tiles share."""

from __future__ import annotations

import pytest

from bayes_rootc.mapping.tiles import MapJob
from tests.mapping.small_map import small_map


@pytest.fixture(scope="module")
def job(demo_world, tmp_path_factory) -> MapJob:
    """A map of the demo world in 15 tiles, of which none is made."""
    return small_map(demo_world.folder, tmp_path_factory.mktemp("tiles"))
