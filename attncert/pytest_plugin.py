"""A pytest plugin: `pytest --attncert certificates/` makes a test of each certificate below a path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_DEMANDS = pytest.StashKey[Any]()


class NotAccepted(Exception):
    """A certificate does not pass; one line says why."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("attncert", "certificates about softmax attention")
    group.addoption(
        "--attncert",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="let the kernel check the certificates in this file or below this directory; repeatable",
    )
    group.addoption(
        "--attncert-require",
        action="append",
        default=[],
        metavar="CLAIM",
        help='what each of them has to prove, as in "error<=0.05"; repeatable',
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect from the paths too; raises a usage error for a path or a requirement that is none."""
    paths: list[Path] = config.getoption("--attncert")
    if not paths:
        return
    from attncert.demands import Requirement
    from attncert.gate import Demands

    if missing := [str(path) for path in paths if not path.exists()]:
        raise pytest.UsageError(f"--attncert: {missing[0]}: no such file or directory")
    try:
        requirements = tuple(map(Requirement.parse, config.getoption("--attncert-require")))
    except ValueError as error:
        raise pytest.UsageError(f"--attncert-require: {error}") from None
    config.stash[_DEMANDS] = Demands(requirements)
    config.args += [str(path) for path in paths]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Make a collector of a certificate that lies below one of the paths."""
    from attncert.gate import is_something_else

    paths: list[Path] = parent.config.getoption("--attncert")
    if not any(file_path.is_relative_to(path.resolve()) for path in paths):
        return None
    if not file_path.name.endswith((".json", ".json.gz")) or is_something_else(file_path):
        return None
    return CertificateFile.from_parent(parent, path=file_path)


class CertificateFile(pytest.File):
    """A certificate."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield its one test."""
        yield CertificateItem.from_parent(self, name="certificate")


class CertificateItem(pytest.Item):
    """The test that the kernel accepts a certificate, and that it proves what is required."""

    def runtest(self) -> None:
        """Check it; raises NotAccepted."""
        from attncert.ci_reports import problem
        from attncert.gate import check_file

        found = problem(check_file(self.path, self.config.stash[_DEMANDS]))
        if found is not None:
            raise NotAccepted(f"{self.path.name}: {found[0]}: {found[1]}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Tell what the kernel says in one line."""
        if isinstance(excinfo.value, NotAccepted):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name the certificate in reports."""
        return self.path, None, f"certificate {self.path.name}"
