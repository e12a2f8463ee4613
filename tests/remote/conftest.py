"""A real sshd on loopback with keys of its own, whose hosts can lack this and that; and a proxy that cuts the line."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SSHD_HINT = "needs sshd (Debian: apt install openssh-server)"
MOUNT_HINT = "needs the right to mount a small disk"

FAKE_RUNTIME = """
import enum, os, time
import numpy as np

class OpResolverType(enum.Enum):
    AUTO = 0
    BUILTIN_WITHOUT_DEFAULT_DELEGATES = 3

class Interpreter:
    def __init__(self, **options):
        {load}
    def allocate_tensors(self): pass
    def reset_all_variables(self): pass
    def get_input_details(self):
        parameters = {{"scales": np.zeros(0), "zero_points": np.zeros(0)}}
        return [{{"name": "x", "index": 0, "shape": np.array([1]), "dtype": np.float32, "quantization_parameters": parameters}}]
    get_output_details = get_tensor_details = get_input_details
    def _get_ops_details(self): return []
    def set_tensor(self, index, value): self.value = value
    def get_tensor(self, index): return self.value
    def invoke(self):
        {invoke}
"""


def addition() -> bytes:
    """A .tflite that computes y = x + x."""
    code, graph, operator, model = schema.OperatorCodeT(), schema.SubGraphT(), schema.OperatorT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 1
    for name in ("x", "y"):
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, [1, 4]
        graph.tensors = [*(graph.tensors or []), tensor]
    operator.inputs, operator.outputs = [0, 0], [1]
    graph.inputs, graph.outputs, graph.operators = [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The path of a tiny .tflite."""
    path = tmp_path_factory.mktemp("model") / "tiny.tflite"
    path.write_bytes(addition())
    return path


class Host:
    """A running sshd, the ssh configuration that reaches it as `board`, and its temporary folder."""

    name = "board"

    def __init__(self, folder: Path, keys: Path, port: int, environment: dict[str, str]) -> None:
        self.folder, self.port, self.keys = folder, port, keys
        self.temporary = Path(environment["TMPDIR"])
        self.config, self.known_hosts = folder / "ssh_config", folder / "known_hosts"
        (folder / "sshd_config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys}/host\nPidFile none\nAuthorizedKeysFile {keys}/client.pub\n"
            "StrictModes no\nPasswordAuthentication no\nUsePAM no\n"
            f"SetEnv {' '.join(f'{name}={value}' for name, value in environment.items())}\n"
        )
        self.write_config(port)
        self.know(keys / "host.pub")
        self.process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(folder / "sshd_config")], stderr=subprocess.DEVNULL)

    def write_config(self, port: int) -> None:
        """What `ssh -F` reads."""
        self.config.write_text(
            f"Host {self.name}\n  HostName 127.0.0.1\n  Port {port}\n  HostKeyAlias board\n  IdentityFile {self.keys}/client\n"
            f"  IdentitiesOnly yes\n  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )

    def know(self, public_key: Path) -> None:
        """Makes a key the known one."""
        self.known_hosts.write_text(f"board {' '.join(public_key.read_text().split()[:2])}\n")

    def descendants(self) -> list[int]:
        """All processes below sshd."""
        parents = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended meanwhile
                continue
        found = [self.process.pid]
        for number in found:
            found += [child for child, parent in parents.items() if parent == number]
        return found[1:]

    def kill_sessions(self) -> None:
        """Kills every sshd process but the listener, as a crash would."""
        for number in self.descendants():
            if (Path("/proc") / str(number) / "comm").read_text().startswith("sshd"):
                os.kill(number, signal.SIGKILL)

    def is_clean(self, within_s: float = 15.0) -> bool:
        """Whether, after a moment, no file and no process of a job is left on it."""
        end = time.monotonic() + within_s
        while self._left() and time.monotonic() < end:
            time.sleep(0.1)
        return not self._left()

    def _left(self) -> list[str]:
        """Files in the temporary folder, and processes that were started from there."""
        files = [path.name for path in self.temporary.iterdir()] if self.temporary.is_dir() else []
        commands = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                commands.append(path.read_bytes())
            except OSError:  # it ended meanwhile
                continue
        return files + [str(command) for command in commands if f"{self.temporary}/edgecompress-".encode() in command]

    def stop(self) -> None:
        """Ends sshd and its sessions."""
        for number in [*self.descendants(), self.process.pid]:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Key pairs: host, client, and another host's."""
    if SSHD is None:
        pytest.skip(SSHD_HINT)
    folder = tmp_path_factory.mktemp("keys")
    for name in ("host", "client", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in
    return folder


@pytest.fixture
def make_host(keys, tmp_path):
    """`make_host(python=..., TMPDIR=...)`: python is the script called python3 there, None for none; the rest is the environment."""
    hosts = []

    def make(python=f'exec {sys.executable} "$@"', **environment):
        folder = tmp_path / f"host-{len(hosts)}"
        programs, temporary, home = folder / "bin", folder / "tmp", folder / "home"
        for path in (programs, temporary, home):
            path.mkdir(parents=True)
        (programs / "sh").symlink_to("/bin/sh")
        if python is not None:
            script = programs / "python3"
            script.write_text(f"#!/bin/sh\n{python}\n")
            script.chmod(script.stat().st_mode | stat.S_IXUSR)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        host = Host(folder, keys, port, {"PATH": str(programs), "HOME": str(home), "TMPDIR": str(temporary), **environment})
        hosts.append(host)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return host
            time.sleep(0.02)
        raise RuntimeError("sshd did not start")

    yield make
    for host in hosts:
        host.stop()


@pytest.fixture
def fake_runtime(tmp_path):
    """`fake_runtime(load=..., invoke=...)`: the script of a python3 whose runtime does that."""

    def script(load="pass", invoke="pass"):
        package = tmp_path / "fake" / "ai_edge_litert"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("__version__ = 'fake'")
        (package / "interpreter.py").write_text(FAKE_RUNTIME.format(load=load, invoke=invoke))
        return f'PYTHONPATH={package.parent} exec {sys.executable} "$@"'

    return script


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 32 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip(MOUNT_HINT)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


class CuttingProxy:
    """Passes bytes on to a port, and cuts both ways after some of them went to the server, or when told to."""

    def __init__(self, port: int, limit: int | None) -> None:
        self._target, self._left = port, limit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._target))
        self._open = [client, server]
        if self._left == 0:
            self.cut()
            return
        threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()
        self._pass(client, server, True)

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        try:
            while part := source.recv(1024):
                if counts and self._left is not None:
                    part = part[: self._left]
                    self._left -= len(part)
                target.sendall(part)
                if counts and self._left == 0:
                    break
        except OSError:  # it was cut
            pass
        self.cut()

    def cut(self) -> None:
        """Closes both connections."""
        for end in self._open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:  # it is closed already
                continue

    def close(self) -> None:
        self.cut()
        self._listener.close()


@pytest.fixture
def cut_after():
    """`cut_after(host, limit)`: the host is reached through a proxy that cuts after so many bytes to it."""
    proxies = []

    def make(host, limit):
        proxy = CuttingProxy(host.port, limit)
        proxies.append(proxy)
        host.write_config(proxy.port)
        return proxy

    yield make
    for proxy in proxies:
        proxy.close()
