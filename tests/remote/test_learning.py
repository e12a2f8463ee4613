"""A latency table is learned on a host over real SSH."""

import sys

import pytest

import edgecompress as ec
from edgecompress.errors import DeviceError
from edgecompress.latency import grid, learn, load_table


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(learn, "specimens", lambda formats: grid.specimens(formats)[:6])
    monkeypatch.setattr(learn, "PART", 4)
    monkeypatch.setattr(learn, "VISITS", 1)


def test_small_files_are_timed_there_and_nothing_is_left(make_host, few, tmp_path):
    host = make_host()
    table = ec.learn_latency(tmp_path / "t.json", host="board", ssh_config=host.config, quiet=True)
    assert table.host == "board"
    assert [row.error for row in table.rows] == [None] * 6
    assert all(row.p50_ms > 0 for row in table.rows)
    assert host.is_clean()


def test_host_that_goes_away_leaves_what_it_measured(make_host, few, tmp_path, monkeypatch):
    host = make_host()
    ask = learn.ask_hosts

    def away_at_the_second_part(hosts, job, **options):
        path = tmp_path / "t.json"
        if path.exists() and load_table(path).rows:
            host.stop()
        return ask(hosts, job, **options)

    monkeypatch.setattr(learn, "ask_hosts", away_at_the_second_part)
    with pytest.raises(DeviceError, match="board: "):
        ec.learn_latency(tmp_path / "t.json", host="board", ssh_config=host.config, quiet=True)
    assert len(load_table(tmp_path / "t.json").rows) == 4


def test_host_that_is_away_leaves_no_file(make_host, few, tmp_path):
    host = make_host()
    host.stop()
    with pytest.raises(DeviceError, match="board: "):
        ec.learn_latency(tmp_path / "t.json", host="board", ssh_config=host.config, quiet=True)
    assert not (tmp_path / "t.json").exists()


def test_host_without_runtime_is_said(make_host, few, tmp_path):
    host = make_host(python=f'exec {sys._base_executable} "$@"')
    with pytest.raises(DeviceError, match=r"board: .*cannot be imported"):
        ec.learn_latency(tmp_path / "t.json", host="board", ssh_config=host.config, quiet=True)
