"""What a stage decided by what it measured: times are never the same twice, and a stage that goes on must go on with the same model."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from edgecompress.layer_latency import LayerLatency
from edgecompress.stage import Context
from edgecompress.store import WORK_FOLDER, storage_errors, write_atomic

FILE = "decisions.json"


def remembered(context: Context, name: str, find: Callable[[], Any]) -> Any:
    """What `find` gives, or gave to an earlier call that was killed later; as JSON gives it back.

    What lies in a stage's folder was made by the same stage of the same model: another one begins with an empty folder.

    Args:
        context: of the stage.
        name: unique in its folder.
        find: gives what JSON can hold.

    Raises:
        StorageError: it cannot be written.
    """
    file = context.folder / WORK_FOLDER / FILE
    try:
        known = dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        known = {}
    if name not in known:
        known[name] = json.loads(json.dumps(find()))
        with storage_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(known))
    return known[name]


def remembered_latency(context: Context, name: str, measure: Callable[[], LayerLatency | str]) -> LayerLatency | str:
    """The same for the latencies of a layer, or why there are none."""

    def plain() -> Any:
        found = measure()
        return found if isinstance(found, str) else asdict(found)

    found = remembered(context, name, plain)
    return found if isinstance(found, str) else LayerLatency(**found)
