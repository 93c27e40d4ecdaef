"""A shell of a workspace as tests use it: typed into, waited for, read to its last byte."""

from __future__ import annotations

import re
import shlex
from typing import Any

from pyro_mcp.model.living_payloads import ShellPayload
from tests.harness.installation import Installation, until

UP = "<up>"


class Shell:
    """`cursor` is where `hear` goes on."""

    def __init__(self, pyro: Installation, workspace_id: str, **options: Any) -> None:
        self.sdk = pyro.sdk()
        self.workspace_id = workspace_id
        self.shell_id = self.sdk.open_shell(workspace_id, **options)["shell_id"]
        self.cursor = 0

    def read(self, **options: Any) -> ShellPayload:
        return self.sdk.read_shell(self.workspace_id, self.shell_id, **options)

    def type(self, text: str, *, enter: bool = True) -> None:
        self.sdk.write_shell(self.workspace_id, self.shell_id, input=text, append_newline=enter)

    def signal(self, name: str) -> ShellPayload:
        return self.sdk.signal_shell(self.workspace_id, self.shell_id, signal_name=name)

    def close(self) -> ShellPayload:
        return self.sdk.close_shell(self.workspace_id, self.shell_id)

    def hear(self, pattern: str) -> str:
        """What it says from the last call on, as soon as `pattern` is found in it."""
        said = ""

        def look() -> str | None:
            nonlocal said
            found = self.read(cursor=self.cursor)
            self.cursor, said = found["next_cursor"], said + found["output"]
            assert found["state"] == "running" or found["output"] or re.search(pattern, said), said
            return said if re.search(pattern, said) else None

        heard = until(look)
        assert heard is not None, said
        return heard

    def ended(self) -> ShellPayload:
        """Its last state, once it has ended."""
        last = until(lambda: found if (found := self.read(wait_for_idle_ms=10_000))["state"] == "exited" else None)
        assert last is not None
        return last

    def become(self, line: str) -> None:
        """Run `line` instead of the shell, on a terminal that changes no byte; `cursor` is where its output begins.

        It begins when a newline is typed.
        """
        script = f"stty raw -echo; printf '<%s>' up; read _; {line}"
        self.type(f"exec sh -c {shlex.quote(script)}")
        assert self.hear(UP).endswith(UP)

    def show(self, data: bytes) -> None:
        """Have `data` written to the terminal as it is, from `cursor` on; the shell has ended then."""
        kept = self.sdk.exec_workspace(self.workspace_id, command="cat > /root/shown", stdin=data)
        assert kept["exit_code"] == 0
        self.become("exec cat /root/shown")
        self.type("")
        self.ended()

    def attach(self, cursor: int) -> bytes:
        """All bytes from `cursor` on, until it has ended."""
        heard = bytearray()
        self.sdk.attach_shell(
            self.workspace_id, self.shell_id, cursor=cursor, on_output=lambda _, data: heard.extend(data)
        )
        return bytes(heard)
