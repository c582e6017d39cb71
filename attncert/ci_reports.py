"""What a check found, in the formats that continuous integration reads: JUnit XML and SARIF 2.1.0."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

from attncert.gate import Outcome

_RULES = {
    "refuted": "The claim is false: the certificate proves a violation.",
    "rejected": "The kernel does not accept the evidence.",
    "unmet": "What is proved is not what was demanded.",
    "error": "The file could not be checked.",
}
_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def problem(outcome: Outcome) -> tuple[str, str] | None:
    """What keeps a file from passing, as a rule and a line; None when it passes."""
    if outcome["ok"]:
        return None
    if outcome.get("unmet"):
        return "unmet", "; ".join(outcome["unmet"])
    return str(outcome["verdict"]), str(outcome["detail"])


def junit(outcomes: Sequence[Outcome], wrong: Sequence[str]) -> str:
    """A test case for each file, and one for each line about the set of files."""
    cases = [(str(o["file"]), float(o["seconds"]), problem(o)) for o in outcomes]
    cases += [(line.partition(": ")[0], 0.0, ("unmet", line)) for line in wrong]
    failures = sum(found is not None and found[0] != "error" for _, _, found in cases)
    suite = ElementTree.Element(
        "testsuite",
        name="attncert",
        tests=str(len(cases)),
        failures=str(failures),
        errors=str(sum(found is not None for _, _, found in cases) - failures),
        skipped="0",
        time=f"{sum(seconds for _, seconds, _ in cases):.3f}",
    )
    for file, seconds, found in cases:
        path = Path(file)
        case = ElementTree.SubElement(
            suite, "testcase", classname=path.parent.as_posix(), name=path.name, time=f"{seconds:.3f}"
        )
        if found is not None:
            rule, line = found
            kind = "error" if rule == "error" else "failure"
            ElementTree.SubElement(case, kind, type=rule, message=_xml(line))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def sarif(outcomes: Sequence[Outcome], wrong: Sequence[str]) -> str:
    """A result for each file that does not pass, and one for each line about the set of files."""
    found = [(str(o["file"]), found) for o in outcomes if (found := problem(o)) is not None]
    found += [(line.partition(": ")[0], ("unmet", line)) for line in wrong]
    rules = [{"id": rule, "shortDescription": {"text": text}} for rule, text in _RULES.items()]
    driver = {"name": "attncert", "version": version("attncert"), "rules": rules}
    results = [
        {
            "ruleId": rule,
            "level": "error",
            "message": {"text": line},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(file)}}}],
        }
        for file, (rule, line) in found
    ]
    report = {"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return json.dumps(report, indent=2) + "\n"


def _uri(file: str) -> str:
    """A relative path as it is, with slashes and what a URI does not allow spelled out; an absolute one as file:."""
    from urllib.parse import quote

    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())


def _xml(line: str) -> str:
    """The line without the characters that XML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in line)
