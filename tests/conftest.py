"""Fixtures of all tests, the `--full` tier, and the count of tests that were left out."""

import os
from pathlib import Path

import pytest

LEFT_OUT = pytest.StashKey[dict[str, int]]()
DATA_HINT = "needs EDGECOMPRESS_DATA: a folder with the real data sets"
FULL_HINT = "long: run with scripts/test --full"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run the long tests")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason=FULL_HINT))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # noqa: ARG001
    outcome = yield
    report = outcome.get_result()
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        counts = item.config.stash[LEFT_OUT]
        counts[reason] = counts.get(reason, 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for reason, count in sorted(config.stash[LEFT_OUT].items()):
        terminalreporter.write_line(f"left out: {count} tests, {reason}")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data sets and models; tests that need it are left out, and counted, where it is absent."""
    folder = Path(os.environ.get("EDGECOMPRESS_DATA", ""))
    if not os.environ.get("EDGECOMPRESS_DATA") or not folder.is_dir():
        pytest.skip(DATA_HINT)
    return folder
