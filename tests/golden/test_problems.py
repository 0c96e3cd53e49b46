"""What people read when manifests are wrong, to the letter."""

from reconciler.adapters.manifest_yaml import parse
from reconciler.ports import SourceFile
from tests.golden.test_golden import check
from tests.manifest_texts import BAD


def test_the_problems_of_the_bad_manifests(update_golden: bool) -> None:
    _, problems = parse([SourceFile(path.name, path.read_bytes()) for path in BAD])

    check("problems.txt", "".join(f"{problem}\n" for problem in problems), update_golden)
