"""Verdicts and blockers for other programs: JUnit's XML, which every CI shows as tests, and SARIF for code scanning."""

import hashlib
import json
import xml.etree.ElementTree as ET  # written only, never read
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from reconciler.core.diff import ModelPlan
from reconciler.core.entrances import brought_in
from reconciler.core.gate import Entrance, Ruling, Verdict
from reconciler.core.review import Review
from reconciler.core.text import clean
from reconciler.errors import Location
from reconciler.render import words
from reconciler.version import __version__


def junit(review: Review) -> str:
    """
    A suite a model, a case a gate: `failure` where it says no, `error` where it cannot tell, `skipped` where its no
    was waived or overridden. What blocks a model or the plan without a gate is a failed case too.
    """
    root = ET.Element("testsuites", name="reconciler")
    if review.plan.safeties:
        suite = ET.SubElement(root, "testsuite", name="the plan")
        for safety in review.plan.safeties:
            _case(suite, "safeties", safety.code, "failure", words.blocker(safety))
    for model in review.plan.models:
        suite = ET.SubElement(root, "testsuite", name=clean(model.model))
        for blocker in model.blockers:
            _case(suite, model.model, blocker.code, "failure", words.blocker(blocker))
        for verdict in model.verdicts:
            name = f"{verdict.gate} before {verdict.entrance.slot} (v{verdict.entrance.candidate})"
            _case(suite, model.model, name, _OUTCOME[verdict.ruling], words.verdict(verdict))
        if not model.blockers and not model.verdicts:
            _case(suite, model.model, "plan", "", "no gate guards what changes")
    for suite in root:
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
        suite.set("tests", str(len(suite)))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


_OUTCOME: dict[Ruling, str] = {
    Ruling.PASS: "",
    Ruling.FAIL: "failure",
    Ruling.UNKNOWN: "error",
    Ruling.WAIVED: "skipped",
    Ruling.OVERRIDDEN: "skipped",
}


def _case(suite: ET.Element, group: str, name: str, outcome: str, told: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=_xml(group), name=_xml(name))
    if outcome:
        ET.SubElement(case, outcome, message=_xml(told))
    else:
        ET.SubElement(case, "system-out").text = _xml(told)


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 has no place for."""
    return "".join(c if c not in "\ufffe\uffff" else "\ufffd" for c in clean(text))


def sarif(review: Review) -> str:
    """
    SARIF 2.1.0: a rule a gate or code, a result for each no, at the manifest line that asks for what is refused; and a
    warning for each override, and for a change of the policy.
    """
    results = [*_results(review)]
    rules = sorted({result["ruleId"] for result in results})
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "reconciler",
                        "version": __version__,
                        "rules": [{"id": rule, "shortDescription": {"text": rule}} for rule in rules],
                    }
                },
                "results": results,
            }
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _results(review: Review) -> Iterator[dict[str, Any]]:
    if review.policy is not None and review.policy.changed:
        told = " ".join([words.policy_line(review.policy), *words.policy_effects(review.policy)])
        yield _result("policy-change", told, Location(review.policy.path, 1, 1), "", "warning")
    for safety in review.plan.safeties:
        yield _result(safety.code, words.blocker(safety), safety.at, "")
    for model in review.plan.models:
        for blocker in model.blockers:
            yield _result(blocker.code, words.blocker(blocker), blocker.at, model.model)
        for verdict in model.verdicts:
            if verdict.blocks:
                told = f"{clean(str(verdict.entrance))} is refused: {words.verdict(verdict)}"
                yield _result(f"gate/{verdict.gate}", told, asked_at(model, verdict), str(verdict.entrance))
            elif verdict.ruling is Ruling.OVERRIDDEN:
                told = f"{clean(str(verdict.entrance))} is let in by an override: {words.verdict(verdict)}"
                at = asked_at(model, verdict)
                yield _result(f"overridden/{verdict.gate}", told, at, str(verdict.entrance), "warning")


def _result(rule: str, told: str, at: Location | None, about: str, level: str = "error") -> dict[str, Any]:
    seed = f"{rule}\n{about}\n{at.path if at else ''}"
    result: dict[str, Any] = {
        "ruleId": clean(rule),
        "level": level,
        "message": {"text": told},
        "partialFingerprints": {"reconciler/v1": hashlib.sha256(seed.encode("utf-8", "replace")).hexdigest()},
    }
    if at is not None:
        region = {"startLine": max(1, at.line), "startColumn": max(1, at.column)}
        place = {"artifactLocation": {"uri": _uri(at.path)}, "region": region}
        result["locations"] = [{"physicalLocation": place}]
    return result


def _uri(path: str) -> str:
    return quote(path, safe="/")


def asked_at(model: ModelPlan, verdict: Verdict) -> Location | None:
    """The manifest line that asks for what a gate judges."""
    return next(_askers(model, verdict.entrance), None) or verdict.at


def _askers(model: ModelPlan, entrance: Entrance) -> Iterator[Location]:
    for proposal in model.proposals:
        asks = brought_in(proposal.change) == (entrance.slot, entrance.candidate)
        if asks and proposal.because.at is not None:
            yield proposal.because.at
