"""Outputs of a guest that do not begin at their beginning, or break off: no half of a secret is shown."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from pyro_mcp.agent.messages import OutputStream
from pyro_mcp.agent.wire import BodyKind
from pyro_mcp.engine.files import Files
from pyro_mcp.engine.secrets import Secrets
from pyro_mcp.engine.service_logs import read_logs
from pyro_mcp.engine.shells import Opening, Shells
from pyro_mcp.engine.workspaces import Workspaces
from pyro_mcp.errors import GuestError, PyroError
from pyro_mcp.machines.machine import Machine
from pyro_mcp.model.redaction import Redactor
from pyro_mcp.model.workspace import WorkspaceRecord
from pyro_mcp.state.database import Database
from pyro_mcp.state.workspaces import WorkspaceTable
from tests.unit.engine.test_secrets import ONE, RECORD, keep

SECRET = "correct-horse-battery"
OUT, ERR = BodyKind.STDOUT, BodyKind.STDERR
Frames = Sequence[tuple[BodyKind, bytes]]


class Guest:
    """A workspace whose machine answers each request by name: frames, and then a result, or a failure."""

    def __init__(self, answers: Mapping[str, tuple[Frames, Mapping[str, object] | BaseException]]) -> None:
        self._answers = answers
        self._frames: list[tuple[BodyKind, bytes]] = []
        self.asked: list[tuple[str, Mapping[str, object]]] = []

    @asynccontextmanager
    async def working(self, _workspace_id: object) -> AsyncIterator[tuple[WorkspaceRecord, Guest]]:
        yield RECORD, self

    def touch(self, _workspace_id: str) -> None: ...

    @asynccontextmanager
    async def ask(self, name: str, parameters: Mapping[str, object], *_: object, **__: object) -> AsyncIterator[Guest]:
        self.asked.append((name, parameters))
        self._frames = list(self._answers[name][0])
        yield self

    work = ask

    async def frame(self) -> tuple[BodyKind, bytes] | None:
        return self._frames.pop(0) if self._frames else None

    async def read(self) -> bytes:
        return self._frames.pop(0)[1] if self._frames else b""

    async def whole(self, _limit: int) -> bytes:
        return b"".join(data for _, data in self._frames)

    async def result(self) -> Mapping[str, object]:
        result = self._answers[self.asked[-1][0]][1]
        if isinstance(result, BaseException):
            raise result
        return result


class Taken:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.got = dict.fromkeys(OutputStream, b"")

    async def event(self, event: Mapping[str, object]) -> None: ...

    async def output(self, stream: OutputStream, data: bytes) -> None:
        assert data
        self.got[stream] += data


@pytest.fixture
async def secrets(tmp_path: Path) -> AsyncIterator[Secrets]:
    database = Database(tmp_path / "state.sqlite3")
    made = Secrets(WorkspaceTable(database), tmp_path / "workspaces")
    await keep(made, WorkspaceTable(database), ONE, A=SECRET)
    yield made
    database.close()


def shells(guest: Guest, secrets: Secrets) -> Shells:
    return Shells(cast(Workspaces, guest), secrets)


def shell_state(**members: object) -> dict[str, object]:
    state = {"state": "exited", "cwd": "/", "cols": 80, "rows": 24, "exit_code": 0, "quiet_ms": 9}
    return {**state, "start": 0, "next": 0, "end": 0, **members}


async def test_a_log_that_was_cut_shows_no_end_of_a_secret_at_its_beginning() -> None:
    coded = base64.b64encode(SECRET.encode())
    answer: Frames = [(OUT, b""), (OUT, SECRET[8:].encode()), (ERR, b""), (ERR, coded[5:] + b"\nmore\n"), (OUT, b". a")]
    guest = Guest({"service/logs": (answer, {"stdout_truncated": True})})
    machine, sink = cast(Machine, guest), Taken()
    logs = await read_logs(machine, "x", Redactor([SECRET]), sink, tail_lines=None, follow=False)
    assert logs.text(OutputStream.STDOUT) == "[REDACTED]. a"
    assert logs.text(OutputStream.STDERR) == "[REDACTED]\nmore\n"
    assert logs.cut


async def test_a_follower_that_fell_behind_is_shown_neither_half(secrets: Secrets) -> None:
    answer: Frames = [(OUT, b"1 " + SECRET[:9].encode()), (OUT, b""), (OUT, SECRET[12:].encode() + b". 2 ")]
    guest = Guest({"service/logs": (answer, {})})
    for redactor, shown in (
        (secrets.redactor(ONE), b"1 [REDACTED]. 2 "),
        (Redactor(), b"1 " + SECRET[:9].encode() + SECRET[12:].encode() + b". 2 "),
    ):
        sink = Taken()
        await read_logs(cast(Machine, guest), "x", redactor, sink, tail_lines=None, follow=True)
        assert sink.got[OutputStream.STDOUT] == shown


async def test_of_a_log_that_comes_in_pieces_nothing_is_lost() -> None:
    pieces: Frames = [(OUT, b"it is correct"), (OUT, b"-hors"), (OUT, b"e? no.\n")]
    guest = Guest({"service/logs": (pieces, {})})
    for lines in (None, 1):
        logs = await read_logs(cast(Machine, guest), "x", Redactor([SECRET]), Taken(), tail_lines=lines, follow=False)
        assert logs.text(OutputStream.STDOUT) == "it is correct-horse? no.\n"


async def test_the_last_lines_of_a_cut_log_are_told_by_what_is_left_before_them() -> None:
    cut: Frames = [(OUT, b""), (OUT, b"horse-battery\nlast\n")]
    guest = Guest({"service/logs": (cut, {"stdout_truncated": True})})
    for lines, shown in ((1, "last\n"), (2, "[REDACTED]\nlast\n")):
        logs = await read_logs(cast(Machine, guest), "x", Redactor([SECRET]), Taken(), tail_lines=lines, follow=False)
        assert logs.text(OutputStream.STDOUT) == shown


async def test_an_attachment_behind_a_gap_shows_no_part_of_a_secret_and_counts_what_it_lost(secrets: Secrets) -> None:
    first, second = b"$ " + SECRET[:10].encode(), SECRET[15:].encode() + b"\r\n$ "
    state = shell_state(start=0, next=5000, end=5000)
    guest = Guest({"shell/attach": ([(OUT, first), (OUT, b""), (OUT, second)], state)})
    sink = Taken()
    payload = await shells(guest, secrets).attach(ONE, "sh-1", 0, None, sink)
    assert sink.got[OutputStream.STDOUT] == b"$ [REDACTED]\r\n$ "
    assert payload["lost_bytes"] == 5000 - len(first) - len(second)


async def test_an_attachment_whose_past_is_forgotten_shows_no_end_of_a_secret(secrets: Secrets) -> None:
    # Of what stood before the cursor the guest knows four bytes: they are the middle of a secret.
    before = ([(OUT, SECRET[8:12].encode())], shell_state(state="running", start=1996, next=2000, end=3000))
    after = ([(OUT, SECRET[12:].encode() + b" $ ")], shell_state(start=2000, next=2012, end=2012))
    sink = Taken()
    payload = await shells(Guest({"shell/read": before, "shell/attach": after}), secrets).attach(
        ONE, "sh-1", 2000, None, sink
    )
    assert sink.got[OutputStream.STDOUT] == b"[REDACTED] $ "
    assert payload["lost_bytes"] == 0


@pytest.mark.parametrize(
    "failure", [asyncio.CancelledError(), GuestError("lost", code="guest-silent"), ZeroDivisionError()]
)
@pytest.mark.parametrize("closing", [shell_state(), GuestError("no", code="work-failed")])
async def test_a_shell_that_nobody_was_told_of_is_closed(
    secrets: Secrets, failure: BaseException, closing: Mapping[str, object] | BaseException
) -> None:
    guest = Guest({"shell/open": ([], failure), "shell/close": ([], closing)})
    with pytest.raises(type(failure)):
        await shells(guest, secrets).open(ONE, Opening("/workspace", 80, 24))
    assert [name for name, _ in guest.asked] == ["shell/open", "shell/close"]
    assert guest.asked[1][1] == {"shell": guest.asked[0][1]["shell"]}


async def test_a_caller_who_leaves_twice_still_leaves_no_shell(secrets: Secrets) -> None:
    opening, closing, finish, closed = (asyncio.Event() for _ in range(4))

    class Slow(Guest):
        async def result(self) -> Mapping[str, object]:
            if self.asked[-1][0] == "shell/open":
                opening.set()
                await asyncio.Event().wait()
            closing.set()
            await finish.wait()
            closed.set()
            return shell_state()

    guest = Slow({"shell/open": ([], {}), "shell/close": ([], {})})
    task = asyncio.create_task(shells(guest, secrets).open(ONE, Opening("/workspace", 80, 24)))
    await opening.wait()
    task.cancel()
    await closing.wait()
    task.cancel()
    asyncio.get_running_loop().call_soon(finish.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()


async def test_a_file_that_is_cut_within_a_secret_shows_nothing_of_it() -> None:
    text = f"é user:{SECRET} more"
    start = text.encode().index(SECRET.encode())
    for limit in range(1, len(text.encode())):
        guest = Guest({"read": ([(OUT, text.encode()[:limit])], {"size": len(text.encode())})})
        files = Files(cast(Workspaces, guest))
        read = await files.read(ONE, "/workspace/a", max_bytes=limit, redactor=Redactor([SECRET]))
        shown = read["content"].encode()
        assert read["truncated"]
        assert shown.startswith(text.encode()[: min(limit, start) - 1][: len(shown)])
        if limit > start:
            assert shown[start:] in (
                b"",
                b"[REDACTED]",
                b"[REDACTED] ",
                b"[REDACTED] m",
                b"[REDACTED] mo",
                b"[REDACTED] mor",
            )
        if limit > start + len(SECRET):
            assert b"[REDACTED]" in shown


async def test_a_file_that_is_whole_may_end_like_a_secret_begins() -> None:
    guest = Guest({"read": ([(OUT, b"it is correct")], {"size": 13})})
    read = await Files(cast(Workspaces, guest)).read(ONE, "/workspace/a", max_bytes=13, redactor=Redactor([SECRET]))
    assert (read["content"], read["truncated"]) == ("it is correct", False)


async def test_a_file_with_a_nul_character_is_no_text_also_when_it_is_cut() -> None:
    guest = Guest({"read": ([(OUT, b"a\0b")], {"size": 13})})
    with pytest.raises(PyroError) as refused:
        await Files(cast(Workspaces, guest)).read(ONE, "/workspace/a", max_bytes=3, redactor=Redactor([SECRET]))
    assert refused.value.code == "not-text"


async def test_a_diff_shows_no_secret_that_is_wrapped() -> None:
    coded = base64.encodebytes(SECRET.encode() * 4).decode().replace("\n", "\n+").removesuffix("+")
    line = {
        "path": "a",
        "type": "file",
        "status": "added",
        "patch": f"--- /dev/null\n+++ b/a\n@@ -0,0 +1,2 @@\n+{coded}",
    }
    guest = Guest({"diff": ([(OUT, json.dumps(line).encode() + b"\n")], {"truncated": False})})
    diff = await Files(cast(Workspaces, guest)).diff(ONE, redactor=Redactor([SECRET]))
    assert diff["patch"] == "--- /dev/null\n+++ b/a\n@@ -0,0 +1,2 @@\n+[REDACTED]\n"
