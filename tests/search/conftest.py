"""A tiny space on the digits, and a real PostgreSQL on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

SPACE = """\
name: tiny
threads: 1
data: {source: digits, preprocess: {scale: 1/16}, batch_size: 64}
model: {source: builder, name: mlp, width: 32, train: {epochs: 8, learning_rate: 1e-2}}
stages:
  - prune_neurons: {id: cut, macs: 0.5, round_to: 1, criterion: l1, train: {epochs: 4, learning_rate: 1e-2}}
  - prune_weights: {id: zeros, sparsity: 0.5}
export: {format: float32, shrink: false}
benchmark: null
search:
  space:
    stages.cut.macs: {low: 0.2, high: 0.9}
    stages.zeros.sparsity: [0.2, 0.6]
  optional: [zeros]
  trials: 6
"""

POSTGRESQL_HINT = "needs PostgreSQL (Debian: apt install postgresql)"


@pytest.fixture(scope="session")
def space_text():
    return SPACE


@pytest.fixture
def space_file(tmp_path):
    """The recipe as a file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="session")
def postgresql():
    """URL of an empty database of a server of its own, which listens on loopback only and is gone afterwards.

    Its folder is not one of pytest's: another session of pytest would close those to the server's user while it runs.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(found) for found in [shutil.which("initdb")] if found]
    if not programs:
        pytest.skip(POSTGRESQL_HINT)
    folder = Path(tempfile.mkdtemp(prefix="edgecompress-postgresql-"))
    user = _server_user(folder)
    server = programs[-1].parent

    def call(*arguments):
        subprocess.run([str(part) for part in arguments], check=True, capture_output=True, cwd="/", timeout=60, user=user)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    call(server / "initdb", "-D", folder / "data", "-U", "search", "-A", "trust", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c fsync=off"
    call(server / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-o", options, "start")
    yield f"postgresql://search@127.0.0.1:{port}/postgres"
    call(server / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


def _server_user(folder: Path) -> int | None:
    """PostgreSQL refuses to run as root: then its folder belongs to somebody else, who must be able to reach it."""
    if os.getuid() != 0:
        return None
    user = pwd.getpwnam("postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody").pw_uid
    os.chown(folder, user, -1)
    for parent in folder.parents:
        if parent.stat().st_uid == 0 and parent != Path("/") and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    return user
