"""What an operation failed of that is no error of pyro's own, as one that a client can be told."""

from __future__ import annotations

import errno

from pyro_mcp.errors import HostError, PyroError


def foreseen(error: Exception) -> PyroError:
    """Pure. The operating system's refusals by name; anything else is a bug, of which the log says more."""
    if isinstance(error, OSError):
        return _host_error(error)
    return PyroError("pyro failed in a way nobody foresaw", code="internal", hint="see `pyro daemon logs`")


def _host_error(error: OSError) -> HostError:
    """What the operating system refused where nobody expected it: a full disk, a file somebody took away."""
    where = f" ({error.filename})" if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    code, hint = ("no-space", "free some space") if full else ("host-io", "see `pyro daemon logs`")
    return HostError(f"{error.strerror or error}{where}", code=code, hint=hint)
