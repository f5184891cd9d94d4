"""Every loader of text, and a good file of each: what properties and random bytes are tried on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.data.israd import read_layers
from bayes_rootc.data.manifest import read_manifest
from bayes_rootc.data.npp import read_npp
from bayes_rootc.data.roots import read_root_profiles
from bayes_rootc.errors import InputError, InputWarning
from bayes_rootc.inference.predict import read_sites
from bayes_rootc.settings import RunSettings

LAYERS = """\
entry_name,site_name,pro_name,lyr_name,pro_lat,pro_long,lyr_top,lyr_bot,lyr_obs_date_y,lyr_14c,lyr_14c_sigma,lyr_hzn
E,S,P1,L1,50,10,0,10,2005,40.5,4,A
E,S,P1,L2,50,10,10,30,2005,-120,,B
E,S,P2,L1,-3.5,20,0,20,1999,101,990,A
"""
PENG = """\
lat,lon,ANPP_2,BNPP_1,TNPP_1,site
50.5,10.25,500,300,800,a
-3,20,,120.5,,b
"""
SRDB = """\
Latitude,Longitude,NPP,ANPP,BNPP,Quality_flag,Manipulation,Duplicate_record
50.5,10.25,800,500,300,Q01,None,
-3,20,,,120.5,Q02 Q12,Fertilized,7
"""
ROOTS = """\
ID,latitude,longitude,D50,D95,D50_extrapolated,D95_extrapolated
A1,50,10,0.1,0.8,0.15,0.9
A2,-3,20,0.2,1.1,-999,-999
"""
CURVE = """\
zone,Year,mean.Delta14C,sd.Delta14C
NHZone1,1950,-25,2
NHZone1,1964.5,850,8
NHZone1,2019,1.5,2
"""
HISTORY = """\
CAL.BP,Delta.14C,Sigma.Delta.14C
50000,-30,10
500,10.5,2
0,-25,1
"""
NEW_SITES = """\
lat,lon,year,top,bottom,delta14c,sigma,profile
50,10,2010,0,10,40,4,a
-3,20.5,2010,10,30,,,b
"""
SETTINGS = """\
data = "data"
out = "out"
seed = 7
quick = true
resolution = 1.0
bbox = [-10, 30, 40, 70]
map_formats = ["cog", "netcdf"]
zones = "zones.geojson"
block_km = 500.0
"""
MANIFEST = """\
[[raster]]
name = "wwf_biome"
path = "wwf_biome.tif"
role = "covariate"
group = "biome"
unit = "class"
categories = ["tundra", "deserts and xeric shrublands"]

[[raster]]
name = "clay"
path = "clay.tif"
role = "covariate"
group = "soil"
unit = "%"
"""


@dataclass(frozen=True)
class Loader:
    """A file's name, a good content, and what reads it, given its path."""

    file: str
    good: str
    read: Callable[[Path], object]

    def refusal(self, folder: Path, content: bytes) -> InputError | None:
        """What is said of a content; nothing, if it is taken. All but an `InputError` of one line is raised."""
        path = folder / self.file
        path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InputWarning)  # it is taken, with a doubt
                self.read(path)
        except InputError as error:
            assert str(error).isprintable(), repr(str(error))
            return error
        return None


TABLES = {
    "layers": Loader("ISRaD_extra_flat_layer_x.csv", LAYERS, read_layers),
    "npp": Loader("npp_peng2023.csv", PENG, lambda path: read_npp(path.parent)),
    "srdb": Loader("srdb-data.csv", SRDB, lambda path: read_npp(path.parent)),
    "roots": Loader("root_profiles_D50D95.csv", ROOTS, read_root_profiles),
    "curve": Loader("curve.csv", CURVE, lambda path: Atmosphere.read(path.parent)),
    "history": Loader("intcal20.csv", HISTORY, lambda path: Atmosphere.read(path.parent)),
    "sites": Loader("sites.csv", NEW_SITES, read_sites),
}
TOML = {
    "settings": Loader("run.toml", SETTINGS, RunSettings.read),
    "manifest": Loader("manifest.toml", MANIFEST, read_manifest),
}
