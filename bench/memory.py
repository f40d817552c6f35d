"""How much memory the service's processes have, PostgreSQL's apart."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import psutil

from tests.acceptance.service import Service

SAMPLE_S = 0.02
MB = 1_000_000


def peak_pss_mb(service: Service, work: Callable[[], object]) -> tuple[float, float]:
    """Before the work and at its worst moment: the memory of all processes, what they share counted once."""
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
    """The parent, the workers, and whatever Python keeps beside them."""
    parent = psutil.Process(service.process.pid)
    return [parent, *(child for child in parent.children(recursive=True) if child.name() != "postgres")]


def _pss_mb(processes: list[psutil.Process]) -> float:
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / MB
