"""Templates: saved machines that others are restored from, on the disk and in memory.

    templates/KEY/     `memory`, `state`, `scratch`, and `manifest.json`, which has their digests and was written last

The key says what a template was made of: for other ingredients there is another one. The files are read whole and
compared with their digests when a daemon takes them up, into memory that nobody can change. From then on it makes no
difference to anybody what becomes of them.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pyro_mcp.environments.install import wait
from pyro_mcp.environments.layout import LEASE, Layout
from pyro_mcp.host import files
from pyro_mcp.host.command import Cancellation
from pyro_mcp.host.sealed import Sealed, seal

KEPT = 8
"""How many templates stay on the disk, those used last; one takes 100 to 200 MiB."""

_MANIFEST = "manifest.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Template:
    """A machine that was saved with its disks mounted and nothing of anybody's in it."""

    memory: Sealed
    state: Sealed
    scratch: Sealed
    """Its writable disk at that moment."""


class Shelf:
    """The templates of an environment cache, which several daemons may share."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @contextmanager
    def making(self, key: str, cancel: Cancellation) -> Iterator[None]:
        """Alone among all processes with this key: waits for whoever makes the template, to find it then.

        Raises HostError for a cache that cannot be written, BuildError if the wait is cancelled.
        """
        self._layout.create()
        with self._layout.lock(f"template-{key}") as lock:
            if not lock.try_exclusive():
                wait(lock, cancel)
            yield

    def load(self, key: str) -> Template | None:
        """The template in memory; None if there is none, or it is not what was put there: then it is removed."""
        place = self._layout.templates / key
        try:
            digests = json.loads((place / _MANIFEST).read_bytes())["files"]
            state, scratch, memory = (_intact(place / name, digests[name]) for name in ("state", "scratch", "memory"))
            os.utime(place)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            _log.warning("template %s is made anew: %s", key, error)
            self.discard(key)
            return None
        return Template(memory, state, scratch)

    def put(self, key: str, template: Template, ingredients: Mapping[str, object]) -> None:
        """Keep `template` for later daemons, in the place of what is there. Raises OSError, HostError."""
        digests = {name: getattr(template, name).digest for name in Template.__slots__}
        with self._layout.workspace() as work:
            draft = work.path / key
            draft.mkdir(mode=0o700)
            (draft / LEASE).touch()  # for when it is put away
            for name in Template.__slots__:
                getattr(template, name).copy_to(draft / name)
            manifest = {"schema": 1, "files": digests, "ingredients": dict(ingredients)}
            files.write_atomically(draft / _MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
            with self._layout.changing():
                self._layout.put_away(self._layout.templates / key)
                draft.rename(self._layout.templates / key)
                self._forget_oldest()
        self._layout.sweep()

    def places(self) -> list[Path]:
        """The directories of all templates that are kept."""
        return [path.parent for path in self._layout.templates.glob(f"*/{_MANIFEST}")]

    def discard(self, key: str) -> None:
        """Remove a template that is no good."""
        with suppress(OSError):
            with self._layout.changing():
                self._layout.put_away(self._layout.templates / key)
            self._layout.sweep()

    def _forget_oldest(self) -> None:
        for place in sorted(self._layout.templates.iterdir(), key=_last_use, reverse=True)[KEPT:]:
            self._layout.put_away(place)


def _intact(path: Path, digest: str) -> Sealed:
    """Raises ValueError for another content, OSError."""
    sealed = seal(path)
    if sealed.digest != digest:
        raise ValueError(f"its {path.name} is not what was saved")
    return sealed


def _last_use(place: Path) -> float:
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return 0.0
