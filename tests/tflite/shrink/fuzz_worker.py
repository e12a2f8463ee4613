"""Sends damaged files through `inspect` and `shrink`. It runs in a process of its own, which the runtime may take along.

    python fuzz_worker.py FILES SEED FIRST LAST OUT

For each number it prints `begin NUMBER`, then what came of it: `refused`, `shrunk`, or `fault ...`. A crash of the runtime ends the
process after `begin`; whoever started it goes on with the next number.
"""

import random
import resource
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

from edgecompress import proof
from edgecompress.device.compare import compare
from edgecompress.errors import ModelError
from edgecompress.inspection import inspect, inspection_table
from edgecompress.shrinking import shrink_file

# Of one file: a hang or a bomb ends the process. Seconds of work, which do not depend on what else the machine does (inputs of half a
# GB take 40 of them); of the clock, for a lock that nobody opens.
WORK_SECONDS, CLOCK_SECONDS, MEMORY_BYTES = 120, 900, 6 * 10**9
EXTREMES = (0, 1, 4, 0xFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF)


def mutate(content: bytes, draw: random.Random) -> bytes:
    """Flips bits, overwrites places with random or extreme numbers, copies parts over others; sometimes cuts the end off."""
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        place = draw.choice((draw.randrange(len(damaged)), len(damaged) - 1 - draw.randrange(min(len(damaged), 3000))))
        kind = draw.randrange(6)
        if kind >= 4:
            damaged[place] ^= 1 << draw.randrange(8)
        elif kind == 0:
            damaged[place] = draw.randrange(256)
        elif kind == 1:
            damaged[place : place + 4] = draw.choice(EXTREMES).to_bytes(4, "little")
        elif kind == 2:
            damaged[place : place + 4] = draw.randrange(len(damaged)).to_bytes(4, "little")
        else:
            other = draw.randrange(len(damaged))
            damaged[place : place + 16] = damaged[other : other + 16]
    damaged[4:8] = b"TFL3"
    return bytes(damaged[: draw.randrange(len(damaged))] if draw.random() < 0.15 else damaged)


def in_this_process(old, new, family, trials):
    """The comparison that `proof` has done by a child: this process is one already."""
    job = {"model": str(old), "other": str(new), "kernels": family, "least": 2, "most": 2}
    try:
        return compare(job, SimpleNamespace(enter_phase=lambda words: None))
    except MemoryError:  # of a child it is a fault of the file, as `proof` has it
        return {"refused": None, "mismatch": "MemoryError"}


def try_one(path: Path, out: Path) -> str:
    """`inspect` and `shrink` of one file, in words."""
    refused = 0
    for work in (lambda: inspection_table(inspect(path)), lambda: shrink_file(path, out)):
        try:
            work()
        except ModelError as error:
            refused += 1
            if "\n" in str(error):
                return f"fault: a message of several lines: {error!r}"
    if out.exists() and refused:
        return "fault: a file was written though something was refused"
    return "shrunk" if out.exists() else "refused"


def main() -> None:
    files, seed, first, last, out = sys.argv[1].split(","), *map(int, sys.argv[2:5]), Path(sys.argv[5])
    proof._compare = in_this_process
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    contents = [Path(file).read_bytes() for file in files]
    path = out.with_suffix(".input")
    for number in range(first, last):
        draw = random.Random(f"{seed} {number}")
        path.write_bytes(mutate(draw.choice(contents), draw))
        out.unlink(missing_ok=True)
        print("begin", number, flush=True)
        signal.setitimer(signal.ITIMER_PROF, WORK_SECONDS)
        signal.alarm(CLOCK_SECONDS)
        print(try_one(path, out), flush=True)
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)


if __name__ == "__main__":
    main()
