"""Median time of one invoke of each file, all in turns in this one process, on one thread.

    python scripts/benchmarks/in_turns.py MODEL.tflite MODEL.tflite... [--rounds 300] [--without-amx]

--without-amx: on a core with AMX, as a core without it runs them. XNNPACK's int8 kernels for AMX work on tiles of 16 x 64 bytes and
do as much for 3 channels as for 64, so a model of few channels gains nothing from losing some; it is often slower with them than
without. A process must ask Linux for the tiles (arch_prctl, ARCH_REQ_XCOMP_PERM); here a seccomp filter says no, and XNNPACK takes
what it has for AVX-512.
"""

import argparse
import ctypes
import json
import struct
import time
from pathlib import Path

import numpy as np

from edgecompress.device.runtime import TfliteModel
from edgecompress.device.trials import trial_inputs

INVOKES = 10  # of a file before the next one's turn

# linux/filter.h, linux/seccomp.h, linux/prctl.h, asm/prctl.h, asm/unistd_64.h
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST_ARGUMENT = 0, 16  # places in seccomp_data
ARCH_PRCTL, ARCH_REQ_XCOMP_PERM = 158, 0x1023
REFUSE, ALLOW = 0x00050001, 0x7FFF0000  # with EPERM
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def has_amx() -> bool:
    """Whether this machine's processor has AMX for int8."""
    return "amx_int8" in Path("/proc/cpuinfo").read_text().split()


def refuse_amx() -> None:
    """From now on this process does not get AMX."""
    instructions = ((LOAD, 0, 0, NUMBER), (JUMP_IF_EQUAL, 0, 3, ARCH_PRCTL), (LOAD, 0, 0, FIRST_ARGUMENT),
                    (JUMP_IF_EQUAL, 0, 1, ARCH_REQ_XCOMP_PERM), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW))  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in instructions))
    program, libc = _Program(len(instructions), ctypes.addressof(code)), ctypes.CDLL(None, use_errno=True)
    refused = libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    if refused:
        raise OSError(ctypes.get_errno(), "the kernel takes no seccomp filter")


def medians_ms(paths: list[Path], rounds: int) -> list[float]:
    models = [TfliteModel(path) for path in paths]
    times: list[list[float]] = [[] for _ in models]
    for model in models:
        model.set_inputs(trial_inputs(model.inputs, 0))
    for number in range(rounds + 1):
        for model, taken in zip(models, times, strict=True):
            for _ in range(INVOKES):
                start = time.perf_counter()
                model.run()
                if number:  # the first round warms up
                    taken.append(1000 * (time.perf_counter() - start))
    return [float(np.median(taken)) for taken in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--without-amx", action="store_true")
    arguments = parser.parse_args()
    if arguments.without_amx:
        refuse_amx()
    print(json.dumps(medians_ms(arguments.models, arguments.rounds)))


if __name__ == "__main__":
    main()
