"""What the figures were measured on: machine, versions, and what a durable write costs here."""

import os
import platform
import sqlite3
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.bench.disk import PAGE
from tests.bench.lines import p99

SYNCS = 100


def describe(folder: Path) -> dict[str, object]:
    """Return facts about this host; `folder` is where the data will lie."""
    costs = _sync_costs(folder / "fsync")
    return {
        "host": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "sqlite": sqlite3.sqlite_version,
        "file system": _file_system(folder),
        "fsync median ms": round(median(costs), 3),
        "fsync p99 ms": round(p99(costs), 3),
    }


def _sync_costs(file: Path) -> list[float]:
    costs = []
    with file.open("wb", buffering=0) as out:
        for _ in range(SYNCS):
            out.write(PAGE)
            began = time.perf_counter()
            os.fsync(out.fileno())
            costs.append((time.perf_counter() - began) * 1000)
    file.unlink()
    return costs


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _file_system(folder: Path) -> str:
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    found = ("", "unknown")
    for line in mounts.read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if folder.is_relative_to(place) and len(place) >= len(found[0]):
            found = (place, kind)
    return found[1]
