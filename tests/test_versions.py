"""What the report says of the machine."""

from edgecompress import versions
from edgecompress.device.machine import describe_cpu


def test_machine_is_described_as_the_benchmark_describes_it():
    found = versions.environment(2)
    assert (found["cpu"], found["cores"], found["threads"]) == (describe_cpu()["model"], describe_cpu()["cores"], 2)
    assert found["tensorflow"] is not None


def test_absent_package_has_no_version():
    assert versions.installed("no-such-package-of-edgecompress") is None
