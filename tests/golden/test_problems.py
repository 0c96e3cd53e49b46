"""What people read when manifests are wrong, to the letter."""

from pathlib import Path

from reconciler.ports import SourceFile
from reconciler.reading.manifest import parse
from reconciler.reading.policy import parse_policy
from tests.golden.test_golden import check
from tests.manifest_texts import BAD


def test_the_problems_of_the_bad_manifests(update_golden: bool) -> None:
    _, problems = parse([SourceFile(path.name, path.read_bytes()) for path in BAD])

    check("problems.txt", "".join(f"{problem}\n" for problem in problems), update_golden)


POLICIES = sorted(Path(__file__).parents[1].joinpath("policies").glob("*.yaml"))


def test_the_problems_of_the_bad_policies(update_golden: bool) -> None:
    problems = [problem for path in POLICIES for problem in parse_policy(SourceFile(path.name, path.read_bytes()))[1]]

    check("problems-of-policies.txt", "".join(f"{problem}\n" for problem in problems), update_golden)
