"""Memory use of the service processes, without PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import psutil

from tests.acceptance.service import Service

SAMPLE_S = 0.02
MB = 1_000_000


def peak_pss_mb(service: Service, work: Callable[[], object]) -> tuple[float, float]:
    """Return the memory of all processes before the work and its peak during the work, in MB.

    PSS (proportional set size) counts memory that processes share once.
    """
    done = threading.Event()
    processes = _processes(service)
    samples = [_pss_mb(processes)]

    def sample() -> None:
        while not done.wait(SAMPLE_S):
            samples.append(_pss_mb(processes))

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        work()
    finally:
        done.set()
        sampler.join()
    return samples[0], max(samples)


def _processes(service: Service) -> list[psutil.Process]:
    """The parent, its workers, and helper processes of Python."""
    parent = psutil.Process(service.process.pid)
    return [parent, *(child for child in parent.children(recursive=True) if child.name() != "postgres")]


def _pss_mb(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / MB
