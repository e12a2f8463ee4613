"""The workers find each other before TensorFlow starts."""

import dataclasses
import socket
import threading

import pytest

from edgecompress.errors import DeviceError, RecipeError
from edgecompress.workers.cluster import Cluster
from edgecompress.workers.meeting import meet


@pytest.fixture
def cluster():
    """The chief of three, at ports that were free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return Cluster((f"127.0.0.1:{port}", "a:1", "b:2"), 0, (("worker", 0), ("worker", 1), ("worker", 2)))


def together(cluster, facts, limit_s=20.0):
    """What each of the three ends with: None, or an error."""
    endings, links = {}, {}

    def take_part(index):
        try:
            links[index] = meet(dataclasses.replace(cluster, index=index), facts[index], limit_s=limit_s, say=lambda line: None)
            endings[index] = None
        except (DeviceError, RecipeError) as error:
            endings[index] = error

    threads = [threading.Thread(target=take_part, args=[index], daemon=True) for index in facts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for link in links.values():
        link.close()
    return endings


def test_all_go_when_all_are_there(cluster):
    assert together(cluster, {index: {"tensorflow": "2"} for index in range(3)}) == {0: None, 1: None, 2: None}


def test_other_version_is_named_to_everybody(cluster):
    endings = together(cluster, {0: {"tensorflow": "2"}, 1: {"tensorflow": "3"}, 2: {"tensorflow": "2"}}, limit_s=5.0)
    assert isinstance(endings[0], RecipeError)
    assert "worker 1 (a:1): tensorflow must be as the chief's, 2. Received: 3." in str(endings[0])
    assert str(endings[0]) in str(endings[1])
    assert isinstance(endings[2], RecipeError | DeviceError)  # told so, or later than the end of the meeting


def test_missing_worker_is_named_to_those_who_came(cluster):
    endings = together(cluster, {0: {}, 1: {}}, limit_s=3.0)
    assert "worker 2 (b:2): must come within 3 s" in str(endings[0])
    assert isinstance(endings[1], RecipeError | DeviceError)


def test_strangers_do_not_disturb(cluster):
    def stranger():
        for _ in range(100):
            try:
                with socket.create_connection(cluster.place(0), timeout=1) as door:
                    door.sendall(b"GET / HTTP/1.1\r\n\n")
                    return
            except OSError:
                threading.Event().wait(0.02)

    thread = threading.Thread(target=stranger, daemon=True)
    thread.start()
    assert together(cluster, {index: {} for index in range(3)}) == {0: None, 1: None, 2: None}


def test_port_that_is_taken_is_an_error(cluster):
    with socket.socket() as taken:
        taken.bind(("", cluster.place(0)[1]))
        taken.listen()
        with pytest.raises(DeviceError, match="the chief's port must be free on this machine"):
            meet(cluster, {}, limit_s=1.0, say=lambda line: None)


def test_end_of_a_process_is_heard_at_the_other_end(cluster):
    pair = dataclasses.replace(cluster, addresses=cluster.addresses[:2], jobs=cluster.jobs[:2])
    links, heard = {}, threading.Event()

    def take_part(index):
        links[index] = meet(dataclasses.replace(pair, index=index), {}, limit_s=20.0, say=lambda line: None)

    threads = [threading.Thread(target=take_part, args=[index], daemon=True) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    links[0].watch(lambda index: heard.set() if index == 1 else None)
    assert not heard.wait(0.2)
    links[1].close()
    assert heard.wait(10)
    links[0].close()
