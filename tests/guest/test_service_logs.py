"""What services write: kept outside of the workspace, told by its end, followed to its end, without secrets."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.guest.test_services import UP, ended
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import DEADLINE, Installation, until, wait_gone

MARK = "[REDACTED]"


def numbers(first: int, last: int) -> str:
    return "".join(f"{number}\n" for number in range(first, last + 1))


def rest(follower: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What else it says on both its outputs, to its end; of what it says on stderr there is little."""
    assert follower.stdout is not None
    assert follower.stderr is not None
    with follower:
        return follower.stdout.read(), follower.stderr.read()


def run(pyro: Installation, workspace_id: str, command: str) -> None:
    """A service `job` from its start to its end."""
    pyro.sdk().start_service(workspace_id, "job", command=command)
    ended(pyro, workspace_id, "job")


def test_the_last_lines_of_each_output_are_told_apart(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        run(pyro, workspace_id, "seq 1 500; seq 501 1000 >&2; printf 'no newline'")
        default = sdk.logs_service(workspace_id, "job")
        assert (default["stdout"], default["stderr"]) == (numbers(302, 500) + "no newline", numbers(801, 1000))
        assert (default["tail_lines"], default["truncated"], default["exit_code"]) == (200, True, 0)
        few = sdk.logs_service(workspace_id, "job", tail_lines=3)
        assert (few["stdout"], few["stderr"]) == ("499\n500\nno newline", "998\n999\n1000\n")
        whole = sdk.logs_service(workspace_id, "job", all=True)
        assert (whole["stdout"], whole["stderr"]) == (numbers(1, 500) + "no newline", numbers(501, 1000))
        assert (whole["tail_lines"], whole["truncated"]) == (None, False)
        assert sdk.logs_service(workspace_id, "job", tail_lines=501)["truncated"] is False

        shown = pyro.cli("workspace", "service", "logs", workspace_id, "job", "--tail-lines", "2")
        assert shown.stdout == b"500\nno newline"
        assert shown.stderr.startswith(b"999\n1000\n[workspace-service] service_name=job state=exited exit_code=0")
        everything = pyro.cli("workspace", "service", "logs", workspace_id, "job", "--all")
        assert everything.stdout.decode() == numbers(1, 500) + "no newline"


def test_bytes_come_as_they_are_and_text_with_replacement(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        run(pyro, workspace_id, r"printf '\377\000\033[31m\303\251\n'")
        assert pyro.sdk().logs_service(workspace_id, "job")["stdout"] == "\ufffd\0\x1b[31m\u00e9\n"
        assert pyro.cli("workspace", "service", "logs", workspace_id, "job", "--follow").stdout == (
            b"\xff\0\x1b[31m\xc3\xa9\n"
        )


def test_following_gives_every_line_once_and_ends_with_the_service(pyro: Installation) -> None:
    script = "seq 1 100; echo begun >&2; until [ -e go ]; do sleep 0.05; done; seq 101 20000; echo over >&2; exit 5"
    with workspace(pyro) as workspace_id:
        pyro.sdk().start_service(workspace_id, "job", command=script)
        assert until(lambda: pyro.sdk().logs_service(workspace_id, "job")["stderr"] or None)
        followers = [
            pyro.start_cli("workspace", "service", "logs", workspace_id, "job", "--follow", *tail)
            for tail in ((), ("--tail-lines", "10"), ("--all",))
        ]
        heads = []
        for follower in followers:
            assert follower.stdout is not None
            heads.append(follower.stdout.readline())
        assert heads == [b"1\n", b"91\n", b"1\n"]
        said(pyro, workspace_id, "touch go")
        for head, follower in zip(heads, followers, strict=True):
            out, err = rest(follower)
            assert (head + out).decode() == numbers(int(head), 20_000)
            assert err.startswith(b"begun\nover\n[workspace-service] service_name=job state=exited exit_code=5")
            assert follower.returncode == 0
        again = pyro.cli("workspace", "service", "logs", workspace_id, "job", "--follow", "--all")
        assert again.stdout.decode() == numbers(1, 20_000)


def test_following_is_left_without_a_trace_and_ended_by_what_ends_the_workspace(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        sdk.start_service(workspace_id, "job", command="echo up; exec sleep 1000")
        follow = ("workspace", "service", "logs", workspace_id, "job", "--follow")
        left, stays = pyro.start_cli(*follow), pyro.start_cli(*follow)
        for follower in (left, stays):
            assert follower.stdout is not None
            assert follower.stdout.readline() == b"up\n"
        left.send_signal(signal.SIGINT)
        left.communicate(timeout=DEADLINE)
        assert left.returncode == 130
        assert sdk.status_service(workspace_id, "job")["state"] == "running"
        sdk.reset_workspace(workspace_id)
        assert b"was reset" in stays.communicate(timeout=DEADLINE)[1]
        assert stays.returncode == 1


def test_of_very_much_the_end_is_kept(pyro: Installation) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        room = "df --output=used -k / | tail -1"
        before = int(said(pyro, workspace_id, f"sync; {room}"))
        run(pyro, workspace_id, "seq -f '%07.0f' 1 3900000; echo end >&2")  # 31 MB
        logs = sdk.logs_service(workspace_id, "job", all=True)
        lines = logs["stdout"].splitlines()
        assert (lines[-1], logs["truncated"], logs["stderr"]) == ("3900000", True, "end\n")
        assert (1 << 20) - 16 <= len(logs["stdout"]) <= 1 << 20
        assert lines == [f"{number:07}" for number in range(3_900_001 - len(lines), 3_900_001)]
        assert sdk.logs_service(workspace_id, "job", tail_lines=2)["stdout"] == "3899999\n3900000\n"
        assert int(said(pyro, workspace_id, f"sync; {room}")) - before < 12 << 10


def test_the_daemons_death_interrupts_who_follows_and_no_line(own_pyro: Installation) -> None:
    script = "seq 1 10; until [ -e go ]; do sleep 0.05; done; seq 11 1000"
    with workspace(own_pyro) as workspace_id:
        own_pyro.sdk().start_service(workspace_id, "job", command=script)
        follower = own_pyro.start_cli("workspace", "service", "logs", workspace_id, "job", "--follow")
        assert follower.stdout is not None
        assert [follower.stdout.readline() for _ in range(10)] == [b"%d\n" % number for number in range(1, 11)]
        daemon = own_pyro.daemon_pid()
        os.kill(daemon, signal.SIGKILL)
        wait_gone(daemon)
        assert b"the daemon ended" in follower.communicate(timeout=DEADLINE)[1]
        assert follower.returncode == 1
        said(own_pyro, workspace_id, "touch go")
        ended(own_pyro, workspace_id, "job")
        assert own_pyro.sdk().logs_service(workspace_id, "job", all=True)["stdout"] == numbers(1, 1000)


def test_a_slow_reader_gets_all_that_is_kept_and_holds_nothing_up(pyro: Installation) -> None:
    """It takes nothing until the service has ended: 2 MB, of which more than one file of a log is not needed."""
    first, go = threading.Event(), threading.Event()
    heard = bytearray()

    def slowly(_: str, data: bytes) -> None:
        heard.extend(data)
        first.set()
        assert go.wait(DEADLINE)

    with workspace(pyro) as workspace_id:
        script = "echo begun; touch up; until [ -e go ]; do sleep 0.05; done; seq -f '%07.0f' 250000"
        pyro.sdk().start_service(workspace_id, "job", command=script, readiness=UP)
        follower = threading.Thread(
            target=pyro.sdk().logs_service, args=(workspace_id, "job"), kwargs={"follow": True, "on_output": slowly}
        )
        follower.start()
        assert first.wait(DEADLINE)
        said(pyro, workspace_id, "touch go")
        ended(pyro, workspace_id, "job")
        go.set()
        follower.join(DEADLINE)

    assert bytes(heard) == b"begun\n" + b"".join(b"%07d\n" % number for number in range(1, 250_001))


SECRET = "correct horse/battery+staple\u00e9"
LONG = "".join(f"{number:04x}" for number in range(100))


def test_secrets_are_in_no_log_and_no_record(pyro: Installation) -> None:
    sdk = pyro.sdk()
    secrets = [{"name": "TOKEN", "value": SECRET}]
    script = (
        'echo "value $API."; printf %s "$API" | base64; echo "err $API" >&2; touch up;'
        " until [ -e go ]; do sleep 0.05; done;"
        ' for p in 1 2 3; do printf "%s" "${API%battery*}"; sleep 0.4; printf "%s\\n" "battery${API#*battery}"; done'
    )
    with workspace(pyro, secrets=secrets) as workspace_id:
        started = sdk.start_service(
            workspace_id, "job", command=["sh", "-c", script, SECRET], secret_env={"TOKEN": "API"}, readiness=UP
        )
        assert SECRET not in str(started)
        assert started["command"].endswith(f"'{MARK}'") or started["command"].endswith(MARK)
        follower = pyro.start_cli("workspace", "service", "logs", workspace_id, "job", "--follow")
        assert follower.stdout is not None
        head = follower.stdout.readline()
        said(pyro, workspace_id, "touch go")
        out, err = rest(follower)
        logs = sdk.logs_service(workspace_id, "job")
        for text in ((head + out).decode(), logs["stdout"]):
            assert text.startswith(f"value {MARK}.\n{MARK}")
            assert SECRET not in text
            assert base64.b64encode(SECRET.encode()).decode() not in text
        assert (err.split(b"\n")[0].decode(), logs["stderr"]) == (f"err {MARK}", f"err {MARK}\n")
        assert SECRET not in str(sdk.list_services(workspace_id)) + str(sdk.status_workspace(workspace_id))


@pytest.mark.parametrize("follow", [False, True])
def test_the_tail_of_a_log_is_no_tail_of_a_secret(pyro: Installation, follow: bool) -> None:
    heard = bytearray()
    coded = base64.b64encode(LONG.encode()).decode()
    with workspace(pyro, secrets=[{"name": "TOKEN", "value": LONG}]) as workspace_id:
        run(pyro, workspace_id, "base64 /run/pyro-secrets/TOKEN")
        for lines in (1, 3):
            pyro.sdk().logs_service(
                workspace_id,
                "job",
                tail_lines=lines,
                follow=follow,
                on_output=(lambda _, data: heard.extend(data)) if follow else None,
            )
            text = pyro.sdk().logs_service(workspace_id, "job", tail_lines=lines)["stdout"] + heard.decode()
            assert not [at for at in range(len(coded) - 20) if coded[at : at + 20] in text]


def test_nothing_of_a_service_is_in_the_workspace(pyro: Installation, tmp_path: Path) -> None:
    sdk = pyro.sdk()
    with workspace(pyro) as workspace_id:
        said(pyro, workspace_id, "touch -d '1 minute ago' /root/mark; echo a line that is found > /root/sample")
        run(pyro, workspace_id, "echo a line that nobody finds; echo made > made")
        assert [entry["path"] for entry in sdk.diff_workspace(workspace_id)["entries"]] == ["/workspace/made"]
        sdk.export_workspace(workspace_id, ".", output_path=tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["made"]
        assert sdk.list_workspace_files(workspace_id, recursive=True)["entries"][0]["path"] == "/workspace/made"
        search = "find / /workspace /run /dev /tmp -xdev -newer /root/mark -type f -exec grep -l 'a line that' {} +"
        assert said(pyro, workspace_id, f"{search}; echo searched") == "/root/sample\nsearched\n"
        sdk.stop_workspace(workspace_id)
        sdk.export_workspace_disk(workspace_id, output_path=tmp_path / "disk")
        held = data_of(tmp_path / "disk")
        assert b"a line that is found" in held
        assert b"a line that nobody finds" not in held


def data_of(image: Path) -> bytes:
    """What is in a file without its holes."""
    pieces, end = [], 0
    with image.open("rb") as file:
        while end < image.stat().st_size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                break
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            pieces.append(os.pread(file.fileno(), end - start, start))
    return b"".join(pieces)
