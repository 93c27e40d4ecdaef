"""Starting a process that goes its own way. For short-lived callers: no event loop needed, none imported."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence


def start_detached(argv: Sequence[str], *, environment: Mapping[str, str], inherit: Sequence[int]) -> None:
    """Run a program that detaches itself (forks, and ends in its first process); wait for that first process.

    It gets no standard streams, a session of its own, and the descriptors in `inherit`. Raises OSError.
    """
    subprocess.run(
        argv,
        env=dict(environment),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=inherit,
        start_new_session=True,
        check=False,
    )
