"""The methods of `Pyro` about shells: programs on a terminal that stay between calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from pyro_mcp.sdk.caller import Caller
from pyro_mcp.sdk.stdin import Stdin
from pyro_mcp.sdk.transport import OnOutput

if TYPE_CHECKING:
    from pyro_mcp.model.living_payloads import ShellPayload, ShellWritePayload


class ShellMethods(Caller):
    """Every method but `open_shell` raises NotFoundError `shell-not-found` for a shell that is not there.

    A shell is gone once it was closed, and when its workspace is stopped or reset.
    """

    def open_shell(
        self,
        workspace_id: str,
        *,
        cwd: str = "/workspace",
        cols: int = 120,
        rows: int = 30,
        secret_env: Mapping[str, str] | None = None,
    ) -> ShellPayload:
        """Start a login shell on a terminal of its own, `cols` (1–1000) by `rows` (1–1000) characters.

        It goes on between calls until it ends or is closed. `secret_env` puts secrets into its environment: name of the
        secret → name of the variable. At most 32 shells of a workspace are kept, those that have ended included.
        """
        arguments = {
            "workspace_id": workspace_id,
            "cwd": cwd,
            "cols": cols,
            "rows": rows,
            "secret_env": secret_env,
        }
        return cast("ShellPayload", self._call("open_shell", arguments))

    def read_shell(
        self,
        workspace_id: str,
        shell_id: str,
        *,
        cursor: int = 0,
        max_chars: int = 65536,
        plain: bool = False,
        wait_for_idle_ms: int | None = None,
    ) -> ShellPayload:
        """What the terminal wrote from `cursor` on, in bytes since its beginning; go on at the payload's `next_cursor`.

        `truncated` says that there is more than `max_chars` (1–1,048,576). The last 1 MiB is kept; `lost_bytes` says
        what of the rest is missing. `plain` leaves out what only a terminal understands and applies carriage returns
        and backspaces. `wait_for_idle_ms` (0–10,000) waits until nothing was written for that long, 30 s at most;
        without it the answer is what there is now. Raises UsageError `cursor-ahead` for one beyond the end.
        """
        arguments = {
            "workspace_id": workspace_id,
            "shell_id": shell_id,
            "cursor": cursor,
            "max_chars": max_chars,
            "plain": plain,
            "wait_for_idle_ms": wait_for_idle_ms,
        }
        return cast("ShellPayload", self._call("read_shell", arguments))

    def write_shell(
        self, workspace_id: str, shell_id: str, *, input: str, append_newline: bool = True
    ) -> ShellWritePayload:
        """Type `input` (up to 1 Mi characters), and a newline unless `append_newline` is false. See `read_shell` then.

        Raises ConflictError `shell-not-reading` if its program takes nothing in for 5 s.
        """
        arguments = {
            "workspace_id": workspace_id,
            "shell_id": shell_id,
            "input": input,
            "append_newline": append_newline,
        }
        return cast("ShellWritePayload", self._call("write_shell", arguments))

    def signal_shell(self, workspace_id: str, shell_id: str, *, signal_name: str = "INT") -> ShellPayload:
        """Send INT, TERM, KILL or HUP to what runs in the foreground of the terminal, or else to the shell itself."""
        arguments = {"workspace_id": workspace_id, "shell_id": shell_id, "signal_name": signal_name}
        return cast("ShellPayload", self._call("signal_shell", arguments))

    def resize_shell(self, workspace_id: str, shell_id: str, *, cols: int, rows: int) -> ShellPayload:
        """Give the terminal another size (1–1000 each); what runs in its foreground is told by SIGWINCH."""
        arguments = {"workspace_id": workspace_id, "shell_id": shell_id, "cols": cols, "rows": rows}
        return cast("ShellPayload", self._call("resize_shell", arguments))

    def attach_shell(
        self,
        workspace_id: str,
        shell_id: str,
        *,
        cursor: int | None = None,
        stdin: Stdin | None = None,
        on_output: OnOutput | None = None,
    ) -> ShellPayload:
        """Stay with a shell until it ends: `on_output("stdout", data)` gets what its terminal writes, as it comes.

        That begins at `cursor`, or with what is written from now on. `stdin`, bytes or a binary file, is typed as it
        comes; its end does not end the shell. Others may read, write and attach meanwhile. An exception, for example in
        `on_output`, ends the call and leaves the shell as it is.
        """
        arguments = {"workspace_id": workspace_id, "shell_id": shell_id, "cursor": cursor}
        return cast("ShellPayload", self._call("attach_shell", arguments, None, on_output, stdin))

    def close_shell(self, workspace_id: str, shell_id: str) -> ShellPayload:
        """End the shell with all that it started, and forget it. The payload tells how it ended."""
        return cast("ShellPayload", self._call("close_shell", {"workspace_id": workspace_id, "shell_id": shell_id}))
