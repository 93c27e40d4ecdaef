"""`pyro run`: what a command gets, what comes out, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.installation import Installation, left_as_found
from tests.harness.vmm import VMM

RUN_KEYS = {
    "vm_id",
    "environment",
    "environment_version",
    "command",
    "execution_mode",
    "isolation",
    "exit_code",
    "timed_out",
    "duration_ms",
    "stdout",
    "stderr",
    "stdout_truncated",
    "stderr_truncated",
    "timings_ms",
    "cleanup",
}


@pytest.fixture(params=["restored", "booted"] if VMM.restored else ["booted"])
def pyro(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Whatever holds for a command holds in both kinds of machines."""
    shared = request.getfixturevalue({"restored": "shared_pyro", "booted": "cold_pyro"}[request.param])
    yield from left_as_found(shared, request)


def test_git_answers_from_a_real_guest(pyro: Installation) -> None:
    done = pyro.cli("run", "debian:12", "--", "git", "--version")

    assert done.returncode == 0
    assert done.stdout.startswith(b"git version 2.")
    lines = done.stderr.decode().splitlines()
    assert [line.split(" vm_id")[0] for line in lines[:3]] == [
        "[run] phase=create environment=debian:12",
        "[run] phase=start",
        "[run] phase=execute",
    ]
    how = f"execution_mode={VMM.execution_mode} isolation={VMM.isolation}"
    assert lines[3].startswith(f"[run] environment=debian:12 {how} exit_code=0")


def test_the_guest_is_another_kernel(pyro: Installation) -> None:
    facts = pyro.json("run", "--json", "debian:12", "--", "cat /proc/sys/kernel/random/boot_id; hostname")

    boot_id, hostname = facts["stdout"].split()
    assert boot_id != Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert hostname == facts["vm_id"]


def test_a_login_shell_starts_no_other_program(pyro: Installation) -> None:
    tattle = "for tool in id mesg; do printf '#!/bin/sh\\necho $0\\n' > $(command -v $tool); done"
    told = pyro.json("run", "--json", "debian:12", "--", f"{tattle}; id; sh -lc 'echo login'")["stdout"]
    assert told == "/usr/bin/id\nlogin\n"


def test_a_login_shell_finds_the_programs_of_its_user(pyro: Installation) -> None:
    path = "sh -lc 'echo $PATH'; setpriv --reuid=1000 --clear-groups sh -lc 'echo $PATH'"
    of_root, of_others = pyro.json("run", "--json", "debian:12", "--", path)["stdout"].split()
    assert of_root.split(":")[:4] == ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
    assert of_others == "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"


def test_the_agents_timers_may_be_late_and_a_commands_not(pyro: Installation) -> None:
    slack = "cat /proc/self/timerslack_ns; for task in /proc/1/task/*; do cat /proc/${task##*/}/timerslack_ns; done"
    own, *of_agent = pyro.json("run", "--json", "debian:12", "--", slack)["stdout"].split()
    assert own == "50000"
    assert set(of_agent) == {"1000000"}


def test_json_carries_every_promised_key(pyro: Installation, request: pytest.FixtureRequest) -> None:
    payload = pyro.json("run", "debian:12", "--json", "--", "sh", "-c", "echo out; echo err >&2")

    assert payload.keys() >= RUN_KEYS
    assert (payload["stdout"], payload["stderr"], payload["exit_code"]) == ("out\n", "err\n", 0)
    assert payload["cleanup"] == {"deleted": True, "reason": "post_exec_cleanup", "vm_id": payload["vm_id"]}
    start = {"restored": {"restore"}, "booted": {"vmm", "mount"}}[request.node.callspec.params["pyro"]]
    both = {"plan", "directory", "scratch", "agent", "identity", "exec", "destroy"}
    assert payload["timings_ms"].keys() == both | start


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["exit 3"], 3),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["no-such-command"], 127),
        (["/no/such/file", "x"], 127),
        (["/etc/passwd", "x"], 126),
        (["/etc", "x"], 126),
    ],
)
def test_the_exit_status_is_the_commands_own(pyro: Installation, command: list[str], status: int) -> None:
    done = pyro.cli("run", "--json", "debian:12", "--", *command)

    assert done.returncode == status
    assert json.loads(done.stdout)["exit_code"] == status


def test_words_after_the_separator_are_an_argv_and_one_word_is_a_shell_line(pyro: Installation) -> None:
    words = ["printf", "[%s]", "a b", "$HOME", "--", "--json", "", "'"]

    assert pyro.cli("run", "debian:12", "--", *words).stdout == b"[a b][$HOME][--][--json][]['" + b"]"
    assert pyro.cli("run", "debian:12", "--", "echo $HOME | tr / _").stdout == b"_root\n"


def test_a_command_finds_itself_as_root_in_workspace(pyro: Installation) -> None:
    script = (
        'echo "$HOME $LANG $(pwd) $(umask) $(id -u)"; [ -t 0 ] || echo no-tty; cat | wc -c; echo "term=${TERM-unset}"; '
        "echo $PATH; cat /etc/machine-id | wc -c; date +%Y"
    )
    lines = pyro.cli("run", "debian:12", "--", "sh", "-c", script).stdout.decode().splitlines()

    assert lines[:4] == ["/root C.UTF-8 /workspace 0022 0", "no-tty", "0", "term=unset"]
    assert "/usr/bin" in lines[4].split(":")
    assert lines[5] == "33"
    assert int(lines[6]) >= 2026


def test_output_that_is_not_utf8_is_bytes_on_streams_and_replaced_in_payloads(pyro: Installation) -> None:
    command = ["--", "printf", r"\377\000ok\n"]

    assert pyro.cli("run", "debian:12", *command).stdout == b"\xff\x00ok\n"
    assert pyro.json("run", "--json", "debian:12", *command)["stdout"] == "\ufffd\x00ok\n"


def test_a_flood_of_output_arrives_whole_on_the_stream_and_bounded_in_the_payload(pyro: Installation) -> None:
    size = 20_000_000
    command = ["--timeout-seconds", "120", "--", "sh", "-c", f"yes 0123456 | head -c {size}; echo end >&2"]

    assert pyro.cli("run", "debian:12", *command).stdout == b"0123456\n" * (size // 8)
    payload = pyro.json("run", "--json", "debian:12", *command)
    assert len(payload["stdout"]) == 1 << 20
    assert (payload["stdout_truncated"], payload["stderr_truncated"]) == (True, False)


def test_a_timeout_kills_the_whole_tree_and_keeps_the_output_so_far(pyro: Installation) -> None:
    script = "setsid sleep 1000 & echo started; trap '' TERM; sleep 1000; echo never"
    payload = json.loads(
        pyro.cli("run", "--json", "--timeout-seconds", "2", "debian:12", "--", "sh", "-c", script).stdout
    )

    assert (payload["exit_code"], payload["timed_out"], payload["stdout"]) == (124, True, "started\n")
    assert payload["duration_ms"] < 20_000


def test_a_command_is_over_when_its_process_ends_though_another_holds_its_pipes(pyro: Installation) -> None:
    payload = pyro.json("run", "--json", "debian:12", "--", "sh", "-c", "sleep 1000 & echo done")

    assert payload["stdout"] == "done\n"
    assert payload["duration_ms"] < 20_000


def test_options_stand_before_and_after_the_environment(pyro: Installation) -> None:
    before = pyro.json("run", "--mem-mib", "512", "--json", "debian:12", "--", "echo", "x")
    after = pyro.json("run", "debian:12", "--json", "--mem-mib", "512", "--", "echo", "x")

    assert before["stdout"] == after["stdout"] == "x\n"


def test_vcpus_and_memory_are_what_was_asked_for(pyro: Installation) -> None:
    script = "nproc; awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo"
    facts = pyro.json("run", "--json", "--vcpu-count", "2", "--mem-mib", "512", "debian:12", "--", "sh", "-c", script)

    cpus, memory = map(int, facts["stdout"].split())
    assert cpus == 2
    assert 400 < memory <= 512


def test_the_rootfs_is_writable_and_nothing_of_it_lasts(pyro: Installation) -> None:
    script = "test ! -e /usr/local/mark && touch /usr/local/mark /workspace/mark && ls /usr/local/mark"

    assert [pyro.cli("run", "debian:12", "--", "sh", "-c", script).returncode for _ in range(2)] == [0, 0]


def test_the_guest_has_no_network_but_its_own_loopback(pyro: Installation) -> None:
    script = "ls /sys/class/net; wc -l < /proc/net/route; ip -o -4 addr show lo | grep -c 127.0.0.1"
    facts = pyro.json("run", "--json", "debian:12", "--", "sh", "-c", script)

    # The routing table holds its headline alone.
    assert facts["stdout"].split() == ["lo", "1", "1"]
