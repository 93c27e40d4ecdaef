"""Secret values of workspaces: kept in files of their own, given to guests, and taken out of whatever is said.

    workspaces/ID/secrets/NAME     one value, mode 0600, in a directory of mode 0700

Their names are in the workspace's record. Values are in no database, no error and no log, and go with their workspace.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyro_mcp.engine.threads import in_thread
from pyro_mcp.errors import HostError
from pyro_mcp.host.files import read_beginning, sync, write_atomically
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.secrets import VALUE_BYTES, SecretRequest, not_found, refuse_in_names, require_secrets
from pyro_mcp.model.workspace import WorkspaceRecord
from pyro_mcp.state.workspaces import WorkspaceTable

_NOTHING = Redactor()
_MOMENT_SECONDS = 0.25
_WITHHELD = "[REDACTED] (secrets were still being read)"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """The secrets of a workspace that is being created, and what finds their values."""

    secrets: tuple[SecretRequest, ...] = ()
    redactor: Redactor = _NOTHING

    def labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Labels as they may be stored. Raises UsageError for a key with a value in it."""
        refuse_in_names((secret.value for secret in self.secrets), labels)
        return {key: self.redactor.redact_text(text) for key, text in labels.items()}


class Secrets:
    def __init__(self, table: WorkspaceTable, root: Path) -> None:
        """`root` is where workspaces have their directories."""
        self._table = table
        self._root = root
        self._redactors: dict[str, Redactor] = {}
        self._making = threading.Lock()
        # Workspaces whose values `load` has still to read, and whether somebody waited for that in vain.
        self._awaited: set[str] = set()
        self._loaded = threading.Event()
        self._loaded.set()
        self._late = False

    async def requested(self, value: object) -> Given:
        """What a caller asks for, files read (`model/secrets.py`). Raises UsageError."""
        return await in_thread(lambda: _given(value)) if value else Given(require_secrets(value, read_beginning))

    async def store(self, workspace_id: str, given: Given) -> None:
        """Keep the values of a new workspace."""
        if given.secrets:
            self._redactors[workspace_id] = given.redactor
            await in_thread(lambda: _write(self._place(workspace_id), given.secrets))

    def has(self, workspace_id: str) -> bool:
        """Whether values are kept for it. For any thread."""
        return self._place(workspace_id).is_dir()

    def values(self, workspace_id: str) -> Mapping[str, str]:
        """Names to values, sorted by name. For any thread. Raises HostError `secrets-lost`."""
        place = self._place(workspace_id)
        try:
            files = sorted(place.iterdir()) if place.is_dir() else []
            return {file.name: read_beginning(file, VALUE_BYTES + 1).decode() for file in files}
        except (OSError, UnicodeDecodeError):
            pass  # not chained: a decoding error holds the value
        raise _lost(workspace_id)

    def redactor(self, workspace_id: object) -> Redactor:
        """What finds its values; finds nothing where there are none, or no such workspace.

        Raises HostError `secrets-lost` where values are missing: then nobody can say what must not be shown.
        """
        if not isinstance(workspace_id, str):
            return _NOTHING
        known = self._redactors.get(workspace_id)
        if known is None:
            record = self._table.find(workspace_id)
            known = self._make(record) if record is not None and record.ended_at is None else _NOTHING
        return known

    async def known(self, workspace_id: object) -> Redactor:
        """The same; where that takes long nobody else has to wait. Afterwards `redactor` knows at once."""
        if isinstance(workspace_id, str) and workspace_id not in self._redactors:
            record = self._table.find(workspace_id)
            if record is not None and record.ended_at is None and record.secrets:
                made = await in_thread(lambda: self._make(record))
                if not self.has(workspace_id):
                    self.forget(workspace_id)
                return made
        return self.redactor(workspace_id)

    def environment(self, workspace_id: str, secret_env: Mapping[str, str]) -> dict[str, str]:
        """Variables for a command: `secret_env` says which secret becomes which. Raises NotFoundError."""
        if not secret_env:
            return {}
        values = self.values(workspace_id)
        for name in secret_env:
            if name not in values:
                raise not_found(name, values)
        return {variable: values[name] for name, variable in secret_env.items()}

    def load(self) -> None:
        """Know the values of all workspaces from now on, for `redact`; those that are lost aside.

        A thread reads them. Until it has, `redact` says nothing.
        """
        records = [record for record in self._table.live() if record.secrets]
        if records:
            self._awaited = {record.workspace_id for record in records}
            self._loaded.clear()
            threading.Thread(target=self._load, args=(records,), name="secrets", daemon=True).start()

    def redact(self, text: str) -> str:
        """`text` without any value of any workspace that is known: for what is not about one of them.

        Of a text that comes before all of them are known nothing is left, if that takes longer than a moment.
        """
        if not self._loaded.wait(0 if self._late else _MOMENT_SECONDS):
            self._late = True
            return _WITHHELD
        for redactor in tuple(self._redactors.values()):
            text = redactor.redact_message(text)
        return text

    def forget(self, workspace_id: str) -> None:
        """Its files are gone."""
        self._awaited.discard(workspace_id)
        self._redactors.pop(workspace_id, None)

    def _load(self, records: Sequence[WorkspaceRecord]) -> None:
        failures = []
        for record in records:
            try:
                if record.workspace_id in self._awaited:
                    self._make(record)
                    if record.workspace_id not in self._awaited:  # it went meanwhile
                        self.forget(record.workspace_id)
            except HostError as error:
                failures.append(error)
        self._loaded.set()
        for failure in failures:  # not before: until now no log could be written
            _log.warning("%s", failure)

    def _make(self, record: WorkspaceRecord) -> Redactor:
        """What finds the values of a workspace, made once. For any thread."""
        with self._making:
            known = self._redactors.get(record.workspace_id)
            if known is None:
                values = self._expected(record).values() if record.secrets else ()
                known = self._redactors[record.workspace_id] = Redactor(values) if values else _NOTHING
            return known

    def _expected(self, record: WorkspaceRecord) -> Mapping[str, str]:
        values = self.values(record.workspace_id)
        if _missing(record, values):
            raise _lost(record.workspace_id)
        return values

    def _place(self, workspace_id: str) -> Path:
        return self._root / workspace_id / "secrets"


def _given(value: object) -> Given:
    secrets = require_secrets(value, read_beginning)
    return Given(secrets, Redactor(secret.value for secret in secrets))


def _write(place: Path, secrets: Sequence[SecretRequest]) -> None:
    place.mkdir(mode=0o700, parents=True)
    for secret in secrets:
        write_atomically(place / secret.name, secret.value.encode(), mode=0o600)
    sync(place.parent)


def _missing(record: WorkspaceRecord, values: Collection[str]) -> bool:
    return any(secret.name not in values for secret in record.secrets)


def _lost(workspace_id: str) -> HostError:
    return HostError(
        f"secret values of workspace {workspace_id} are missing or cannot be read",
        code="secrets-lost",
        hint="delete the workspace, and create it again",
    )
