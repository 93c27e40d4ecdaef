"""Warm templates: found, or made at their first use, and shared by everybody who needs the same one.

A template never is a condition: whatever is wrong with it, machines boot cold instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import platform
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pyro_mcp.engine.threads import in_thread
from pyro_mcp.environments.templates import Shelf, Template
from pyro_mcp.errors import PyroError
from pyro_mcp.host import files, probe
from pyro_mcp.host.command import Cancellation
from pyro_mcp.machines.plan import SCRATCH, WORKSPACE_DISK, MachinePlan, NetworkPlan
from pyro_mcp.machines.templates import make_template
from pyro_mcp.model.network import GATEWAY, GUEST_ADDRESS, LINK_PREFIX, MTU, NAMESERVER
from pyro_mcp.vmm.driver import Start

LARGEST_MIB = 4096
"""Machines with more memory boot cold: saving one takes as long as writing all of its memory."""

_FORMAT = 2
# In memory at a time; each takes what its guest had touched, 100 to 150 MiB.
_LOADED = 4
# After a failure the next attempt waits, or every start would pay for it.
_RETRY_SECONDS = 60.0
# So often in a row may nothing be restored from a template before it is given up: a VMM that somebody killed is no
# reason to make another one.
_STRIKES = 2
# The descriptors of a plan that is only looked at.
_ANY = {"agent": 0, "qmp": 0, "memory": 0}

_log = logging.getLogger(__name__)


class Templates:
    def __init__(self, shelf: Shelf, machines: Path, *, uid: int | None) -> None:
        """`machines`: where machines have their directories. `uid`: whom the VMM becomes while one is made."""
        self._shelf = shelf
        self._machines = machines
        self._uid = uid
        self._loaded: dict[str, Template] = {}
        self._failed: dict[str, float] = {}
        self._strikes: Counter[str] = Counter()
        self._tasks: dict[str, asyncio.Task[Template | None]] = {}
        self._cancel = Cancellation()
        self._digests: dict[Path, tuple[files.Fingerprint, str]] = {}

    async def get(self, plan: MachinePlan) -> Template | None:
        """The template for machines of `plan`; None where they are to boot cold."""
        if plan.mem_mib > LARGEST_MIB or not await asyncio.to_thread(_usual, plan):
            return None
        try:
            ingredients = await asyncio.to_thread(self._ingredients, plan)
        except FileNotFoundError:
            return None  # the cold start says what is missing, and how to get it
        key = key_of(ingredients)
        if key in self._loaded:
            self._loaded[key] = template = self._loaded.pop(key)  # the last in line to be forgotten
            return template
        if time.monotonic() < self._failed.get(key, 0.0):
            return None
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(self._provide(key, plan, ingredients), name="template")
            task.add_done_callback(lambda _: self._tasks.pop(key, None))
        return await asyncio.shield(task)

    def worked(self, template: Template) -> None:
        """A machine was restored from it."""
        for key in self._keys(template):
            self._strikes.pop(key, None)

    async def failed(self, template: Template) -> None:
        """Nothing could be restored from it; after the second time in a row it is forgotten, here and on the disk."""
        for key in self._keys(template):
            self._strikes[key] += 1
            if self._strikes[key] == _STRIKES:
                del self._loaded[key], self._strikes[key]
                await asyncio.to_thread(self._shelf.discard, key)

    def _keys(self, template: Template) -> list[str]:
        return [key for key, known in self._loaded.items() if known is template]

    async def close(self) -> None:
        """End what is under way."""
        self._cancel.set()
        for task in (tasks := list(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _provide(self, key: str, plan: MachinePlan, ingredients: Mapping[str, object]) -> Template | None:
        try:
            template = await self._load_or_make(key, plan, ingredients)
        except (PyroError, OSError) as error:
            _log.warning("no template for %s, machines boot cold: %s", plan.vm_id, error)
            self._failed[key] = time.monotonic() + _RETRY_SECONDS
            return None
        self._loaded[key] = template
        while len(self._loaded) > _LOADED:
            del self._loaded[next(iter(self._loaded))]
        return template

    async def _load_or_make(self, key: str, plan: MachinePlan, ingredients: Mapping[str, object]) -> Template:
        with ExitStack() as held:
            await in_thread(lambda: held.enter_context(self._shelf.making(key, self._cancel)))
            found = await in_thread(lambda: self._shelf.load(key))
            if found is not None:
                return found
            started = time.monotonic()
            template = await make_template(self._private(plan))
            try:
                await in_thread(lambda: self._shelf.put(key, template, ingredients))
            except (PyroError, OSError) as error:
                _log.warning("template %s is not kept: %s", key, error)
            _log.info("template %s is made, in %.1f s", key, time.monotonic() - started)
            return template

    def _private(self, plan: MachinePlan) -> MachinePlan:
        """The same machine as nobody's: it is in no record, and known by its directory alone."""
        return replace(
            plan,
            vm_id="pyro",
            directory=self._machines / f"template-{secrets.token_hex(6)}",
            uid=self._uid,
            on_process=lambda _: None,
            secrets=None,
            workspace=plan.workspace and replace(plan.workspace, baseline=plan.workspace.empty),
            network=plan.network and NetworkPlan(connected=False),
        )

    def _ingredients(self, plan: MachinePlan) -> dict[str, object]:
        """All that a saved machine depends on. Any difference makes another template."""
        assert plan.environment is not None, "only guests are restored"
        environment, info = plan.environment, plan.driver.info
        process = plan.driver.plan(plan.spec, Path("/"), _ANY, Start.RESTORED)
        return {
            "format": _FORMAT,
            "vmm": info.name,
            "vmm_files": [self._digest(path) for path in plan.driver.files],
            "vmm_arguments": process.argv,
            "vcpu_count": plan.vcpu_count,
            "mem_mib": plan.mem_mib,
            "mounted": not plan.kept,
            "network": plan.network is not None and [GUEST_ADDRESS, LINK_PREFIX, GATEWAY, NAMESERVER, MTU],
            "tsc_khz": plan.tsc_khz,
            "kernel": environment.kernel_digest,
            "initramfs": self._digest(plan.initramfs),
            "base": environment.digest,
            "variables": dict(environment.variables),
            "processor": probe.processor(),
            "host_kernel": platform.release(),
        }

    def _digest(self, path: Path) -> str:
        now = files.fingerprint(path)
        known = self._digests.get(path)
        if known is None or known[0] != now:
            known = self._digests[path] = (now, files.sha256(path))
        return known[1]


def key_of(ingredients: Mapping[str, object]) -> str:
    """Pure."""
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]


def _usual(plan: MachinePlan) -> bool:
    """Whether the disks that it has are as large as those of a new one: a saved guest has seen how large they are."""
    blanks = [(SCRATCH, plan.blank_scratch)]
    if plan.workspace is not None:
        blanks.append((WORKSPACE_DISK, plan.workspace.blank))
    return all(
        disk.stat().st_size == blank.stat().st_size
        for name, blank in blanks
        if blank is not None and (disk := plan.directory / name).exists()
    )
