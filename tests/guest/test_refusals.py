"""Wrong requests: one line that says what and why, a code, a status, and nothing left behind (the fixture looks)."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from pyro_mcp.config import Settings
from pyro_mcp.errors import UsageError
from tests.harness.installation import DEADLINE, Installation, installation
from tests.harness.vmm import VMM

without_kvm = pytest.mark.skipif(VMM.isolation == "kvm", reason="the VMM under test isolates by KVM")

USAGE = [
    (["run", "debian:12"], "invalid-argument"),
    (["run"], "invalid-argument"),
    (["run", "debian:12", "--", ""], "empty-command"),
    (["run", "debian:12", "--", "", "x"], "empty-command"),
    (["run", "--vcpu-count", "0", "debian:12", "--", "true"], "out-of-range"),
    (["run", "--vcpu-count", "9", "debian:12", "--", "true"], "out-of-range"),
    (["run", "--mem-mib", "255", "debian:12", "--", "true"], "out-of-range"),
    (["run", "--mem-mib", "32769", "debian:12", "--", "true"], "out-of-range"),
    (["run", "--mem-mib", "lots", "debian:12", "--", "true"], "invalid-argument"),
    (["run", "--ttl-seconds", "59", "debian:12", "--", "true"], "out-of-range"),
    (["run", "--ttl-seconds", "86401", "debian:12", "--", "true"], "out-of-range"),
    (["run", "--timeout-seconds", "0", "debian:12", "--", "true"], "out-of-range"),
    (["run", "--allow", "10.0.0.0/8", "debian:12", "--", "true"], "invalid-allow"),
    (["run", "--network", "--allow", "10.0.0.1/8", "debian:12", "--", "true"], "invalid-allow"),
    (["run", "--no-such-flag", "debian:12", "--", "true"], "invalid-argument"),
    (["run", "--require-isolation", "vault", "debian:12", "--", "true"], "invalid-argument"),
    (["run", "debian:12", "--", "x" * 70_000, "y" * 70_000], "invalid-argument"),
    (["no-such-command"], "invalid-argument"),
    (["env", "pull"], "invalid-argument"),
]

REFUSED = [
    (["run", "debian:13", "--", "true"], "environment-not-found"),
    (["run", "../../etc/passwd", "--", "true"], "environment-not-found"),
    (["env", "pull", "debian:12\n"], "environment-not-found"),
    (["env", "inspect", "nothing"], "environment-not-found"),
    pytest.param(
        ["run", "--require-isolation", "kvm", "debian:12", "--", "true"], "isolation-unavailable", marks=without_kvm
    ),
]


def check_refusal(pyro: Installation, arguments: list[str], code: str, status: int) -> None:
    done = pyro.cli(*arguments)
    errors = [line for line in done.stderr.decode().splitlines() if not line.startswith(("[run]", "hint:"))]

    assert done.returncode == status
    assert done.stdout == b""
    assert len(errors) == 1
    assert errors[0].startswith("[error] ")

    head, separator, rest = ([*arguments, "--"], [], []) if "--" not in arguments else split(arguments)
    as_json = pyro.cli(*head[: len(head) - (not separator)], "--json", *separator, *rest)
    payload = json.loads(as_json.stdout)
    assert (as_json.returncode, payload["ok"], payload["code"]) == (status, False, code)
    assert payload.keys() == {"ok", "error", "code", "hint", "details"}


def split(arguments: list[str]) -> tuple[list[str], list[str], list[str]]:
    at = arguments.index("--")
    return arguments[:at], ["--"], arguments[at + 1 :]


@pytest.mark.parametrize(("arguments", "code"), USAGE)
def test_wrong_usage_is_status_2(pyro: Installation, arguments: list[str], code: str) -> None:
    check_refusal(pyro, arguments, code, 2)


@pytest.mark.parametrize(("arguments", "code"), REFUSED)
def test_what_cannot_be_done_is_status_1(pyro: Installation, arguments: list[str], code: str) -> None:
    check_refusal(pyro, arguments, code, 1)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("PYRO_VMM", "vmware", "invalid-argument"),
        pytest.param("PYRO_VMM", "firecracker", "vmm-unavailable", marks=without_kvm),
        pytest.param("PYRO_REQUIRE_ISOLATION", "kvm", "isolation-unavailable", marks=without_kvm),
        ("PYRO_REQUIRE_ISOLATION", "steel", "invalid-argument"),
        ("PYRO_BOOT_TIMEOUT_SECONDS", "soon", "invalid-argument"),
    ],
)
def test_a_setting_that_cannot_be_met_is_named(pyro: Installation, name: str, value: str, code: str) -> None:
    other = Installation(pyro.state_dir, **{name: value})
    done = other.cli("run", "--json", "debian:12", "--", "true")

    assert done.returncode in (1, 2)
    assert json.loads(done.stdout)["code"] == code


def test_a_command_that_is_not_utf8_is_refused(pyro: Installation) -> None:
    done = pyro.cli("run", "debian:12", "--", "echo", b"\xff\xfe")

    assert done.returncode == 2
    assert b"[error]" in done.stderr


def test_more_memory_than_the_host_has_is_named(pyro: Installation) -> None:
    """Where the host has that much, the run simply succeeds."""
    done = pyro.cli("run", "--json", "--mem-mib", "32768", "debian:12", "--", "true")

    assert (done.returncode, json.loads(done.stdout).get("code")) in ((0, None), (1, "no-memory"))


def test_an_error_is_printed_without_the_control_characters_it_was_asked_to_carry(pyro: Installation) -> None:
    done = pyro.cli("env", "inspect", "\x1b]0;owned\x07\u202e")

    assert b"\x1b" not in done.stderr
    assert "\u202e" not in done.stderr.decode()


def test_a_state_directory_that_cannot_be_made_is_named() -> None:
    done = Installation(Path("/proc/pyro-state")).cli("env", "list", "--json")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "state-unreadable")


def test_a_state_directory_of_somebody_else_is_refused() -> None:
    """/usr belongs to root and is nobody's state; under root it is a directory that another user was given."""
    with tempfile.TemporaryDirectory(prefix="pyro-test-") as directory:
        if os.geteuid() == 0:
            os.chown(directory, 12345, 12345)
        place = directory if os.geteuid() == 0 else "/usr"
        done = Installation(Path(place)).cli("env", "list", "--json")
        assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "state-unreadable")


def test_a_state_directory_too_deep_for_anything_is_named() -> None:
    done = Installation(Path("/tmp", *["d" * 200] * 3)).cli("env", "list", "--json")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "state-path-too-long")


def test_a_state_directory_that_is_a_file_is_named() -> None:
    with tempfile.NamedTemporaryFile(prefix="pyro-test-") as file:
        done = Installation(Path(file.name)).cli("env", "list", "--json")
        assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "state-unreadable")


def test_a_state_file_that_is_no_database_is_named() -> None:
    with installation() as pyro:
        (pyro.state_dir / "state.sqlite3").write_text("this is not SQLite, it only stands where SQLite should")
        done = pyro.cli("env", "list", "--json")
        assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "state-unreadable")


@contextmanager
def bundle_with(guest: bytes) -> Iterator[str]:
    """A runtime bundle, in order but for what its guest binary does."""
    with tempfile.TemporaryDirectory(prefix="pyro-bundle-") as directory:
        binary = Path(directory) / "linux-x86_64/bin/pyro-guest"
        binary.parent.mkdir(parents=True)
        binary.write_bytes(guest)
        binary.chmod(0o755)
        files = {"bin/pyro-guest": {"sha256": sha256(guest).hexdigest(), "size": len(guest)}}
        (Path(directory) / "linux-x86_64/manifest.json").write_text(json.dumps({"version": "0", "files": files}))
        yield directory


def refused_run(code: str, **environment: str) -> dict[str, object]:
    """A run in an installation of its own that must be refused with `code`, leaving nothing; its details."""
    with installation(**environment) as pyro:
        clean = pyro.census()
        done = pyro.cli("run", "--json", "debian:12", "--", "true")
        payload = json.loads(done.stdout)
        assert (done.returncode, payload["code"]) == (1, code)
        assert not pyro.census().leaks_since(clean)
    details = payload["details"]
    assert isinstance(details, dict)
    return details


def test_a_guest_that_never_answers_meets_the_boot_deadline() -> None:
    with bundle_with(SLEEPER) as bundle:
        details = refused_run("guest-silent", PYRO_RUNTIME_BUNDLE_DIR=bundle, PYRO_BOOT_TIMEOUT_SECONDS="15")
    assert details["step"] == "agent"


def test_a_kernel_without_a_working_init_is_a_panic_with_its_console() -> None:
    """On the host this measures the TSC like the real one; in the guest no interpreter is there to run it."""
    real = Settings.from_environment().guest_binary
    with bundle_with(f'#!/bin/sh\n[ "$1" = tsc ] && exec {real} tsc\n'.encode()) as bundle:
        details = refused_run("guest-panic", PYRO_RUNTIME_BUNDLE_DIR=bundle)
    assert "Kernel panic" in str(details["console"])


def test_a_missing_or_altered_guest_binary_is_named() -> None:
    with tempfile.TemporaryDirectory(prefix="pyro-bundle-") as empty:
        refused_run("bundle-incomplete", PYRO_RUNTIME_BUNDLE_DIR=empty)
    with bundle_with(SLEEPER) as bundle:
        with (Path(bundle) / "linux-x86_64/bin/pyro-guest").open("ab") as binary:
            binary.write(b"\0")
        refused_run("bundle-incomplete", PYRO_RUNTIME_BUNDLE_DIR=bundle)


@pytest.mark.parametrize("command", [["env", "list"], ["doctor", "--json"], ["--version"], ["run", "--help"]])
def test_output_that_cannot_be_written_is_status_1_without_a_traceback(pyro: Installation, command: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            pyro.command(*command),
            env=pyro.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=DEADLINE,
            check=False,
        )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_logs_of_a_state_directory_that_is_none_are_no_traceback() -> None:
    with tempfile.NamedTemporaryFile(prefix="pyro-test-") as file:
        for place in (file.name, f"/tmp/{'x' * 300}"):
            done = Installation(Path(place)).cli("daemon", "logs")
            assert b"Traceback" not in done.stderr


def test_a_request_beyond_all_measure_is_refused_before_it_is_sent(pyro: Installation) -> None:
    with pytest.raises(UsageError, match="bytes"):
        pyro.sdk().run_in_vm(environment="debian:12", command="x" * 20_000_000)


def _sleeper() -> bytes:
    """A static x86-64 ELF program: as `pyro-guest tsc` it prints a rate, as PID 1 it pauses for ever.

    mov eax,1; mov edi,1; lea rsi,[rip+text]; mov edx,8; syscall; cmp qword [rsp],2; je leave; pause: mov eax,34;
    syscall; jmp pause; leave: mov eax,60; xor edi,edi; syscall
    """
    code = bytes.fromhex(
        "b801000000"  # write(
        "bf01000000"  # 1,
        "488d3520000000"  # text,
        "ba08000000"  # 8)
        "0f05"
        "48833c2402"  # argc == 2?
        "7409"
        "b822000000"  # pause()
        "0f05"
        "ebf7"
        "b83c000000"  # exit(
        "31ff"  # 0)
        "0f05"
    )
    text = b"2000000\n"
    base, head = 0x400000, 64 + 56
    elf = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    elf += b"".join(
        value.to_bytes(size, "little")
        for value, size in [
            *((2, 2), (62, 2), (1, 4), (base + head, 8), (64, 8), (0, 8), (0, 4)),
            *((64, 2), (56, 2), (1, 2), (0, 2), (0, 2), (0, 2)),
            *((1, 4), (5, 4), (0, 8), (base, 8), (base, 8)),
            *((head + len(code) + len(text), 8), (head + len(code) + len(text), 8), (0x1000, 8)),
        ]
    )
    return elf + code + text


SLEEPER = _sleeper()
