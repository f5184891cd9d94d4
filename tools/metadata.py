"""Writes codemeta.json and .zenodo.json from CITATION.cff and pyproject.toml, so that nothing is said twice by hand.

`python tools/metadata.py`, after either of the two has changed.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def sources() -> tuple[dict[str, Any], dict[str, Any]]:
    """CITATION.cff, and the project's table of pyproject.toml."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return cited, tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def codemeta(cited: dict[str, Any], project: dict[str, Any]) -> dict[str, Any]:
    """CodeMeta 3.0."""
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": project["name"],
        "description": _line(cited["abstract"]),
        "version": project["version"],
        "license": f"https://spdx.org/licenses/{project['license']}",
        "author": [_agent(author) for author in cited["authors"]],
        "keywords": cited["keywords"],
        "programmingLanguage": {"@type": "ComputerLanguage", "name": "Python"},
        "runtimePlatform": f"Python {project['requires-python']}",
        "operatingSystem": "Linux",
        "softwareRequirements": project["dependencies"],
        "citation": [_article(reference) for reference in cited["references"]],
    }


def zenodo(cited: dict[str, Any], project: dict[str, Any]) -> dict[str, Any]:
    """What Zenodo reads when a release is archived."""
    dois = [reference["doi"] for reference in cited["references"] if "doi" in reference]
    return {
        "upload_type": "software",
        "title": cited["title"],
        "description": _line(cited["abstract"]),
        "version": project["version"],
        "license": project["license"],
        "access_right": "open",
        "creators": [{"name": _name(author)} for author in cited["authors"]],
        "keywords": cited["keywords"],
        "related_identifiers": [{"identifier": doi, "scheme": "doi", "relation": "cites"} for doi in dois],
    }


def _line(text: str) -> str:
    return " ".join(text.split())


def _name(author: dict[str, str]) -> str:
    """Family name first, as Zenodo asks; or what the author is called."""
    return author.get("name") or f"{author['family-names']}, {author['given-names']}"


def _agent(author: dict[str, str]) -> dict[str, str]:
    if "name" in author:
        return {"@type": "Organization", "name": author["name"]}
    names = {"givenName": author["given-names"], "familyName": author["family-names"]}
    return {"@type": "Person", **names, **({"@id": author["orcid"]} if "orcid" in author else {})}


def _article(reference: dict[str, Any]) -> dict[str, Any]:
    authors = [_agent(author) for author in reference["authors"] if author.get("name") != "et al."]
    found = {"@type": "ScholarlyArticle", "name": _line(reference["title"]), "author": authors}
    if "year" in reference:
        found["datePublished"] = str(reference["year"])
    if "doi" in reference:
        found["identifier"] = f"https://doi.org/{reference['doi']}"
    return found


FILES = {"codemeta.json": codemeta, ".zenodo.json": zenodo}
"""Files, and what is in them."""


def text(name: str) -> str:
    """What one of the files is to hold."""
    return json.dumps(FILES[name](*sources()), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in FILES:
        (ROOT / name).write_text(text(name), encoding="utf-8")
