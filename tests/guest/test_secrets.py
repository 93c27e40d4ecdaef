"""Secrets: where a guest finds them, and that their values are nowhere else, whatever is done with the workspace."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pyro_mcp.config import Settings
from pyro_mcp.errors import NotFoundError, PyroError, UsageError
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation, until
from tests.harness.vmm import VMM

PIECE = 1 << 24
ENCODED = 'import os, json, urllib.parse as u; t = os.environ["TOKEN"]; print(u.quote(t, safe=""), json.dumps(t), [t])'


class Canary:
    """A value that is nowhere else, and the forms in which it could turn up, independent of pyro's own list of them."""

    def __init__(self) -> None:
        self.value = f"canary {secrets.token_hex(16)}/+%&"
        data = self.value.encode()
        # What neighbours in the same base64 text have no influence on.
        inner = [base64.b64encode(bytes(before) + data)[first:-4] for before, first in ((0, 0), (1, 2), (2, 3))]
        forms = [data, *inner, *(form.translate(bytes.maketrans(b"+/", b"-_")) for form in inner)]
        forms += [data.hex().encode(), data.hex().upper().encode(), quote(self.value, safe="").encode()]
        forms += [json.dumps(self.value)[1:-1].encode(), data[:20], data[-20:]]
        self.forms = [form for form in forms if form]

    def hits(self, data: bytes) -> list[bytes]:
        return [form for form in self.forms if form in data]

    def files_with(self, root: Path) -> list[str]:
        return [str(path) for path in root.rglob("*") if path.is_file() and not path.is_symlink() and self._in(path)]

    def _in(self, path: Path) -> bool:
        """Read in pieces that overlap, and without the holes that disks mostly are."""
        kept = b""
        with path.open("rb") as file:
            for at in pieces(file.fileno()):
                data = os.pread(file.fileno(), PIECE, at)
                if self.hits(kept + data):
                    return True
                kept = data[-200:]
        return False


def pieces(file: int) -> Iterator[int]:
    """Where there is something in a file, in steps of PIECE."""
    at = 0
    while True:
        try:
            at = os.lseek(file, at, os.SEEK_DATA)
            end = os.lseek(file, at, os.SEEK_HOLE)
        except OSError:
            return
        yield from range(at, end, PIECE)
        at = end


@contextmanager
def watched_processes(canary: Canary) -> Iterator[list[str]]:
    """What of the canary any process of this host shows of itself meanwhile; empty is what it has to be."""
    found: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            for entry in Path("/proc").iterdir():
                # This process has it, and would show it in none of these files.
                if entry.name.isdigit():
                    for name in ("cmdline", "environ"):
                        try:
                            data = (entry / name).read_bytes()
                        except OSError:
                            continue
                        found.extend(f"{entry.name} {name} {form!r}" for form in canary.hits(data))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield found
    finally:
        stop.set()
        watching.join()


def use_it_everywhere(pyro: Installation, workspace_id: str, canary: Canary) -> list[str]:
    """Everything that pyro says while a guest prints its secret in every way; as text."""
    sdk, heard = pyro.sdk(), []

    def hear(payload: object) -> Any:
        heard.append(json.dumps(payload, ensure_ascii=False))
        heard.append(str(payload))
        return payload

    env = {"TOKEN": "TOKEN"}
    for command in (
        "cat /run/pyro-secrets/TOKEN; echo; echo $TOKEN >&2; env",
        'printf %s "$TOKEN" | base64; printf x%s "$TOKEN" | base64 -w0; echo; printf xx%s "$TOKEN" | base64 -w20',
        'printf %s "$TOKEN" | od -An -tx1 | tr -d \' \\n\'; echo; printf %s "$TOKEN" | fold -w1',
        f"python3 -c '{ENCODED}'",
        f"echo {canary.value!r}; exit 3",
        "for i in $(seq 1 44); do printf %s \"$TOKEN\" | cut -c$i | tr -d '\\n'; done; echo",
    ):
        streamed: list[bytes] = []

        def keep(_: str, data: bytes, streamed: list[bytes] = streamed) -> None:
            streamed.append(data)

        result = sdk.exec_workspace(workspace_id, command=command, secret_env=env, on_output=keep)
        hear(result)
        heard.append(b"".join(streamed).decode(errors="replace"))
        assert "[REDACTED]" in result["stdout"]
    hear(sdk.logs_workspace(workspace_id))

    shell = sdk.open_shell(workspace_id, secret_env=env)["shell_id"]
    sdk.write_shell(
        workspace_id, shell, input='echo $TOKEN; printf %s "$TOKEN" | base64 -w0; echo; cat /run/pyro-secrets/*; echo'
    )
    for plain in (True, False):
        assert "[REDACTED]" in hear(sdk.read_shell(workspace_id, shell, plain=plain, wait_for_idle_ms=1500))["output"]
    hear(sdk.write_shell(workspace_id, shell, input=f"# {canary.value}"))
    hear(sdk.close_shell(workspace_id, shell))

    service = ["sh", "-c", "echo $TOKEN; echo $TOKEN >&2; touch /tmp/ready; sleep 1000"]
    ready = {"type": "file", "path": "/tmp/ready"}
    hear(sdk.start_service(workspace_id, "talk", command=service, secret_env=env, readiness=ready))
    assert "[REDACTED]" in hear(sdk.logs_service(workspace_id, "talk"))["stdout"]
    hear(sdk.stop_service(workspace_id, "talk"))
    hear(sdk.list_services(workspace_id))

    for failing in (
        lambda: sdk.read_workspace_file(workspace_id, f"/workspace/{canary.value}"),
        lambda: sdk.exec_workspace(workspace_id, command="true", cwd=f"/{canary.value}"),
        lambda: sdk.open_shell(workspace_id, cwd=f"/{canary.value}"),
        lambda: sdk.start_service(workspace_id, canary.value, command="true"),
        lambda: sdk.create_snapshot(workspace_id, canary.value),
        lambda: sdk.apply_workspace_patch(workspace_id, patch=f"--- a/{canary.value}\n+++ nonsense\n@@"),
        lambda: sdk.exec_workspace(workspace_id, command="true", secret_env={"TOKEN": "PATH"}),
        lambda: sdk.exec_workspace(workspace_id, command="true", secret_env={canary.value: "X"}),
    ):
        try:
            hear(failing())
        except PyroError as error:
            hear(error.to_payload())
    hear(sdk.update_workspace(workspace_id, name=f"mine {canary.value}", labels={"note": canary.value}))
    hear(sdk.diff_workspace(workspace_id))
    hear(sdk.list_workspace_files(workspace_id, recursive=True))
    hear(sdk.status_workspace(workspace_id))
    hear(sdk.list_workspaces())
    for words in (["workspace", "status", workspace_id], ["workspace", "logs", workspace_id], ["workspace", "list"]):
        done = pyro.cli(*words)
        heard.append(done.stdout.decode() + done.stderr.decode())
    shown = pyro.cli("workspace", "exec", workspace_id, "--secret-env", "TOKEN", "--", "printenv", "TOKEN")
    heard.append(shown.stdout.decode())
    return heard


def test_a_value_is_found_nowhere_but_in_its_file_and_its_guest(own_pyro: Installation, tmp_path: Path) -> None:
    pyro, canary = own_pyro, Canary()
    given = tmp_path / "token"
    given.write_text(canary.value)
    sdk = pyro.sdk()
    with watched_processes(canary) as shown:
        made = sdk.create_workspace(environment="debian:12", secrets=[{"name": "TOKEN", "file_path": str(given)}])
        workspace_id = made["workspace_id"]
        heard = [str(made), *use_it_everywhere(pyro, workspace_id, canary)]
        exported = tmp_path / "exported"
        heard.append(str(sdk.export_workspace(workspace_id, "/workspace", output_path=exported)))
        snapshot = sdk.create_snapshot(workspace_id, "kept")
        heard.append(str(snapshot))
        heard.append(str(sdk.reset_workspace(workspace_id, snapshot="kept")))
        heard += use_it_everywhere(pyro, workspace_id, canary)
        heard.append(str(sdk.stop_workspace(workspace_id)))
        image = tmp_path / "disk.ext4"
        heard.append(str(sdk.export_workspace_disk(workspace_id, output_path=image)))
        heard.append(str(sdk.list_workspace_disk(workspace_id, path="/", recursive=False)))

    assert shown == []
    assert [text for text in heard if canary.hits(text.encode())] == []
    kept = pyro.state_dir / "workspaces" / workspace_id / "secrets/TOKEN"
    # What its service printed lies on the guest's own disk, where no path leads and no export goes (docs/security.md).
    disk = pyro.state_dir / "machines" / sdk.status_workspace(workspace_id)["metadata"]["vm_id"] / "scratch.ext4"
    assert set(canary.files_with(pyro.state_dir)) - {str(disk)} == {str(kept)}
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert canary.files_with(tmp_path) == [str(given)]
    # Where templates are, of every installation.
    assert canary.files_with(Settings.from_environment().environment_cache_dir / "templates") == []

    sdk.delete_workspace(workspace_id)
    assert canary.files_with(pyro.state_dir) == []


def test_a_guest_that_only_uses_its_secrets_leaves_no_trace_on_any_disk(own_pyro: Installation) -> None:
    sdk, canary = own_pyro.sdk(), Canary()
    workspace_id = sdk.create_workspace(environment="debian:12", secrets=[{"name": "T", "value": canary.value}])[
        "workspace_id"
    ]
    use = 'test "$T" = "$(cat /run/pyro-secrets/T)" && cat /run/pyro-secrets/T && sync'
    assert sdk.exec_workspace(workspace_id, command=use, secret_env={"T": "T"})["exit_code"] == 0
    shell = sdk.open_shell(workspace_id, secret_env={"T": "T"})["shell_id"]
    sdk.write_shell(workspace_id, shell, input="echo $T; exit")
    assert "[REDACTED]" in sdk.read_shell(workspace_id, shell, wait_for_idle_ms=2000)["output"]
    sdk.create_snapshot(workspace_id, "kept")
    sdk.stop_workspace(workspace_id)
    kept = own_pyro.state_dir / "workspaces" / workspace_id / "secrets/T"
    assert canary.files_with(own_pyro.state_dir) == [str(kept)]
    sdk.delete_workspace(workspace_id)


def test_the_oracle_sees_what_it_looks_for(tmp_path: Path) -> None:
    canary = Canary()
    data = canary.value.encode()
    for number, planted in enumerate((data, base64.b64encode(b"xx" + data + b"x"), data.hex().encode())):
        (tmp_path / f"planted{number}").write_bytes(bytes((1 << 24) - 10) + planted)
    with (
        watched_processes(canary) as shown,
        subprocess.Popen(["sleep", "1000"], env={"TOKEN": canary.value}) as process,
    ):
        try:
            assert until(lambda: True if shown else None)
        finally:
            process.kill()

    assert len(canary.files_with(tmp_path)) == 3


def test_nothing_that_holds_a_value_leaves_a_core_file(own_pyro: Installation) -> None:
    sdk = own_pyro.sdk()
    made = sdk.create_workspace(environment="debian:12", secrets=[{"name": "A", "value": "some value"}])
    vmm = [pid for pid in own_pyro.census().processes if VMM.executable in pid]
    pids = [own_pyro.daemon_pid(), *(int(entry.split()[0]) for entry in vmm)]
    assert len(pids) >= 2
    for pid in pids:
        (line,) = (line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "core file" in line)
        assert line.split()[4:6] == ["0", "0"]
    sdk.delete_workspace(made["workspace_id"])


def test_a_guest_finds_them_as_files_of_its_memory(pyro: Installation) -> None:
    values = [{"name": "A_1", "value": "first\nline"}, {"name": "B", "value": "ü\u20ac" * 1000}]
    with workspace(pyro, secrets=values) as workspace_id:
        look = "cd /run/pyro-secrets; stat -c '%n %a %u' *; stat -f -c %T .; stat -c %a ."
        assert said(pyro, workspace_id, look) == "A_1 400 0\nB 400 0\ntmpfs\n700\n"
        assert said(pyro, workspace_id, "wc -c < /run/pyro-secrets/A_1; wc -c < /run/pyro-secrets/B") == "10\n5000\n"
        status = pyro.sdk().status_workspace(workspace_id)
        assert status["secrets"] == [
            {"name": "A_1", "source_kind": "literal"},
            {"name": "B", "source_kind": "literal"},
        ]
        check = 'test "$X" = "$(printf \'first\\nline\')" && echo same'
        result = pyro.sdk().exec_workspace(workspace_id, command=check, secret_env={"A_1": "X"})
        assert result["stdout"] == "same\n"
        # Only where it was asked for.
        assert said(pyro, workspace_id, "echo ${X-unset}") == "unset\n"


def test_they_come_back_after_a_reset_a_restart_and_another_daemon(own_pyro: Installation) -> None:
    read = "sha256sum < /run/pyro-secrets/TOKEN | cut -c1-8"
    sdk = own_pyro.sdk()
    workspace_id = sdk.create_workspace(
        environment="debian:12", ttl_seconds=3600, secrets=[{"name": "TOKEN", "value": "a value to keep"}]
    )["workspace_id"]
    first = said(own_pyro, workspace_id, read)
    said(own_pyro, workspace_id, "rm -f /run/pyro-secrets/TOKEN")
    sdk.reset_workspace(workspace_id)
    assert said(own_pyro, workspace_id, read) == first
    sdk.stop_workspace(workspace_id)
    sdk.start_workspace(workspace_id)
    assert said(own_pyro, workspace_id, read) == first
    os.kill(own_pyro.daemon_pid(), signal.SIGKILL)
    assert said(own_pyro, workspace_id, read) == first
    assert said(own_pyro, workspace_id, "cat /run/pyro-secrets/TOKEN") == "[REDACTED]"
    sdk.stop_daemon()
    sdk.start_workspace(workspace_id)
    assert said(own_pyro, workspace_id, "cat /run/pyro-secrets/TOKEN") == "[REDACTED]"
    sdk.delete_workspace(workspace_id)


def test_what_a_program_wrote_itself_is_exported_as_it_is_and_shown_redacted(
    pyro: Installation, tmp_path: Path
) -> None:
    value = secrets.token_hex(12)
    with workspace(pyro, secrets=[{"name": "T", "value": value}]) as workspace_id:
        said(pyro, workspace_id, "cp /run/pyro-secrets/T written; echo >> written")
        sdk = pyro.sdk()
        assert sdk.read_workspace_file(workspace_id, "/workspace/written")["content"] == "[REDACTED]\n"
        assert value not in str(sdk.diff_workspace(workspace_id))
        sdk.export_workspace(workspace_id, "/workspace/written", output_path=tmp_path / "out")
        assert (tmp_path / "out").read_text() == f"{value}\n"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([{"name": "A"}], "invalid-secret"),
        ([{"name": "A", "value": "x", "file_path": "/etc/hostname"}], "invalid-secret"),
        ([{"name": "1A", "value": "hidden-value"}], "invalid-secret"),
        ([{"name": "A-B", "value": "hidden-value"}], "invalid-secret"),
        ([{"name": "A" * 65, "value": "hidden-value"}], "invalid-secret"),
        ([{"name": "../x", "value": "hidden-value"}], "invalid-secret"),
        ([{"name": "A", "value": ""}], "invalid-secret"),
        ([{"name": "A", "value": "hidden-value\0"}], "invalid-secret"),
        ([{"name": "A", "value": 7}], "invalid-secret"),
        ([{"name": "A", "value": "hidden-value" * 6000}], "secret-too-large"),
        ([{"name": "A", "value": "hidden-value"}] * 2, "duplicate-secret"),
        ([{"name": f"A{n}", "value": "hidden-value"} for n in range(65)], "invalid-secret"),
        ([{"name": "A", "file_path": "/nonexistent/file"}], "unreadable-secret-file"),
        ([{"name": "A", "file_path": "/etc"}], "unreadable-secret-file"),
        ([{"name": "A", "file_path": "/dev/zero"}], "unreadable-secret-file"),
        ("A=hidden-value", "invalid-secret"),
    ],
)
def test_secrets_out_of_rule_are_refused_without_being_shown(pyro: Installation, given: Any, code: str) -> None:
    with pytest.raises(UsageError) as refused:
        pyro.sdk().create_workspace(environment="debian:12", secrets=given)
    assert refused.value.code == code
    assert "hidden-value" not in json.dumps(refused.value.to_payload())


@pytest.mark.parametrize("variable", ["PATH", "HOME", "LD_PRELOAD", "BASH_ENV", "TERM"])
def test_what_a_command_needs_to_be_itself_cannot_be_a_secret(pyro: Installation, variable: str) -> None:
    with workspace(pyro, secrets=[{"name": "A", "value": "some value"}]) as workspace_id:
        sdk = pyro.sdk()
        for call in (
            lambda: sdk.exec_workspace(workspace_id, command="true", secret_env={"A": variable}),
            lambda: sdk.open_shell(workspace_id, secret_env={"A": variable}),
            lambda: sdk.start_service(workspace_id, "s", command="true", secret_env={"A": variable}),
        ):
            with pytest.raises(UsageError) as refused:
                call()
            assert refused.value.code == "reserved-name"
        with pytest.raises(NotFoundError) as unknown:
            sdk.exec_workspace(workspace_id, command="true", secret_env={"B": "X"})
        assert unknown.value.code == "secret-not-found"
        with pytest.raises(UsageError):
            sdk.exec_workspace(workspace_id, command="true", env={"X": "y"}, secret_env={"A": "X"})


def test_a_creation_that_fails_keeps_nothing_of_them(own_pyro: Installation, tmp_path: Path) -> None:
    canary = Canary()
    with pytest.raises(PyroError):
        own_pyro.sdk().create_workspace(
            environment="debian:12",
            seed_path=tmp_path / "nowhere",
            secrets=[{"name": "T", "value": canary.value}],
        )
    assert canary.files_with(own_pyro.state_dir) == []
