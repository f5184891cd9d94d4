"""What stands outside the package says the same as pyproject.toml: metadata, recipe, environment, containers, paper."""

from __future__ import annotations

import json
import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
METADATA = runpy.run_path(str(ROOT / "tools" / "metadata.py"))
CONDA = {"cf-xarray": "cf_xarray", "lazy-loader": "lazy_loader", "matplotlib": "matplotlib-base"}
"""Packages with another name on conda-forge."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(*extras: str) -> set[str]:
    """Core and extras as conda writes them: `name >=1.2`."""
    lines = [*PROJECT["dependencies"], *(line for e in extras for line in PROJECT["optional-dependencies"][e])]
    parted = [re.match(r"([\w-]+)([^;]*)", line).groups() for line in lines if not line.startswith("bayes-rootc")]
    return {f"{CONDA.get(name, name)} {versions.strip()}" for name, versions in parted}


@pytest.mark.parametrize("name", METADATA["FILES"])
def test_metadata_are_those_of_the_citation_and_the_project(name):
    assert read(name) == METADATA["text"](name), "run `python tools/metadata.py`"


def test_citation_and_project_agree():
    cited, project = METADATA["sources"]()
    assert cited["version"] == project["version"] and cited["license"] == project["license"]
    assert cited["keywords"] == project["keywords"]
    assert [author["name"] for author in cited["authors"]] == [author["name"] for author in project["authors"]]
    assert cited["title"].startswith(f"{project['name']}: ")


def test_metadata_name_people_and_organisations():
    person = {"family-names": "Doe", "given-names": "Jane", "orcid": "https://orcid.org/0000-0000-0000-0000"}
    cited, project = METADATA["sources"]()
    cited = cited | {"authors": [person]}
    (author,) = METADATA["codemeta"](cited, project)["author"]
    assert author["@type"] == "Person" and author["@id"] == person["orcid"] and author["familyName"] == "Doe"
    assert METADATA["zenodo"](cited, project)["creators"] == [{"name": "Doe, Jane"}]


def test_links_of_the_project_lead_to_data_that_are_cited():
    dois = {f"https://doi.org/{r['doi']}" for r in METADATA["sources"]()[0]["references"] if "doi" in r}
    assert set(PROJECT["urls"].values()) <= dois


def test_the_recipe_needs_what_the_project_needs():
    recipe = yaml.safe_load(read("packaging/recipe.yaml"))
    run = [line for line in recipe["requirements"]["run"] if not line.startswith("python ")]
    assert set(run) == requirements("maps", "esm") and len(run) == len(set(run))
    assert recipe["context"]["version"] == PROJECT["version"]
    assert f">={recipe['context']['python_min']}" == PROJECT["requires-python"]
    assert recipe["about"]["license"] == PROJECT["license"]
    (entry,) = PROJECT["scripts"].items()
    assert recipe["build"]["python"]["entry_points"] == [" = ".join(entry)]


def test_the_environment_file_has_the_same():
    listed = yaml.safe_load(read("packaging/environment.yml"))["dependencies"]
    build = {"pip", f"python {PROJECT['requires-python']}", "setuptools >=77"}
    assert set(listed) == requirements("maps", "esm") | build


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_containers_take_every_version_from_the_lock(name):
    """Their sed leaves name, version and marker of each package, and no hash, which pip refuses for a folder."""
    (pattern,) = re.findall(r"sed -n 's/(.+)/\\1/p' requirements\.lock", read(f"packaging/{name}"))
    pattern = pattern.replace(r"\(", "(").replace(r"\)", ")")  # as Python has groups
    found = re.findall(pattern, read("requirements.lock"), re.MULTILINE)
    assert len(found) == len(re.findall(r"^[\w.-]+==", read("requirements.lock"), re.MULTILINE)) > 100
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+( ; .+)? ?", line) for line in found)


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_issue_forms_are_forms(form):
    found = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.stem == "config":
        return
    assert {"name", "description", "body"} <= set(found)
    for part in found["body"]:
        assert part["type"] in ("markdown", "textarea", "input", "dropdown", "checkboxes")
        assert part["type"] == "markdown" or part["attributes"]["label"]


def test_every_reference_of_the_paper_is_there_and_used():
    cited = set(re.findall(r"@([\w-]+)", read("paper/paper.md").split("---", 2)[2]))
    entries = re.findall(r"^@\w+\{([\w-]+),", read("paper/paper.bib"), re.MULTILINE)
    assert len(entries) == len(set(entries)) and cited == set(entries)


def test_codemeta_is_plain_json_for_linked_data():
    found = json.loads(read("codemeta.json"))
    assert found["@context"].startswith("https://w3id.org/codemeta/") and found["name"] == PROJECT["name"]
