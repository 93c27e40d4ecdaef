"""Commands on the host itself: only where no VMM runs and only for who asks, and nothing of them stays either."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyro_mcp.errors import PyroError
from tests.guest.test_adoption import kill_daemon
from tests.guest.test_endings import executable
from tests.harness import census
from tests.harness.hosts import NO_KVM, Lack, as_ordinary_user, as_root, without
from tests.harness.installation import DEADLINE, Installation, installation, until

NO_BWRAP = without("/usr/bin/bwrap")
# An ordinary user makes such hosts in user namespaces, and from one of those nobody sees into another: what a killed
# daemon left there stays hidden from the next. Where that user may not open /dev/kvm no namespace is needed.
NO_NAMESPACE = os.geteuid() != 0 and not os.access("/dev/kvm", os.R_OK | os.W_OK)
VMM = "firecracker" if NO_NAMESPACE else "qemu"
NO_KVM_HERE = "this user may not open /dev/kvm" if os.path.exists("/dev/kvm") else "there is no /dev/kvm"  # noqa: PTH110
REASON = f"{VMM} cannot run guests here: {NO_KVM_HERE if NO_NAMESPACE else 'bwrap is not installed'}"


def host_without(*lacks: Lack) -> list[str]:
    return as_root(*lacks) if os.geteuid() == 0 else as_ordinary_user(*lacks)


@pytest.fixture(scope="module")
def shared_pyro() -> Iterator[Installation]:
    """An installation on a host where no VMM runs."""
    with installation(*([] if NO_NAMESPACE else host_without(NO_BWRAP)), PYRO_VMM=VMM) as pyro:
        serve(pyro)
        yield pyro


def serve(pyro: Installation) -> None:
    """Have a daemon that lives on that host: one that the SDK started would live on ours."""
    assert pyro.cli("env", "list").returncode == 0


def run(pyro: Installation, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return pyro.cli("run", "--allow-host-compat", *arguments)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


class Tree:
    """A command whose processes leave its session, its parents and its environment, and do not mind signals."""

    def __init__(self, directory: Path) -> None:
        self._pids = directory / "pids"
        self._pids.mkdir()
        (directory / "loop.sh").write_text(
            f"trap '' TERM HUP INT PIPE\necho $$ > {self._pids}/$$\nwhile :; do sleep 0.05; done\n"
        )
        self._loop = f"sh {directory}/loop.sh"
        self._script = directory / "tree.sh"

    def command(self, end: str, *, forgetful: bool = True) -> str:
        """Prints `begun` once all of them run, then does `end`. One of them clears its environment if `forgetful`."""
        starts = [
            f"{self._loop} &",
            f"setsid {self._loop} &",
            f"(setsid sh -c '(setsid {self._loop} &)' &)",
            *([f"(env -i /usr/bin/setsid /bin/{self._loop} &)"] if forgetful else ()),
        ]
        wait = f'until [ "$(ls {self._pids} | wc -l)" = {len(starts)} ]; do sleep 0.02; done'
        self._script.write_text("\n".join([*starts, wait, "echo begun", end, ""]))
        return f"sh {self._script}"

    def living(self) -> list[int]:
        pids = [int(entry.name) for entry in self._pids.iterdir()]
        assert pids, "none of them ever ran"
        return [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def begun(pyro: Installation, command: str) -> subprocess.Popen[bytes]:
    """A `pyro run` whose command has printed `begun`."""
    client = pyro.start_cli("run", "--allow-host-compat", "--timeout-seconds", "600", "debian:12", "--", command)
    assert client.stdout is not None
    assert client.stdout.readline() == b"begun\n"
    return client


def agent(pyro: Installation) -> int:
    (found,) = (pid for pid in census.processes_of(pyro.state_dir) if Path(executable(pid)).name == "pyro-guest")
    return found


def test_without_the_flag_it_fails_closed(pyro: Installation) -> None:
    done = pyro.cli("run", "debian:12", "--", "echo here")

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"host_compat" not in done.stderr


def test_with_the_flag_it_runs_and_says_so(pyro: Installation) -> None:
    done = run(pyro, "debian:12", "--", "echo here")

    assert (done.returncode, done.stdout) == (0, b"here\n")
    lines = done.stderr.decode().splitlines()
    assert [line for line in lines if "without isolation" in line and REASON in line] == [
        f"[run] WARNING: this command runs on this host, without isolation: {REASON}"
    ]
    assert "execution_mode=host_compat isolation=none exit_code=0" in lines[-1]


def test_the_payload_says_so_too(pyro: Installation) -> None:
    done = run(pyro, "--json", "debian:12", "--", "echo here; id -u; pwd; umask")
    result = json.loads(done.stdout)

    assert (result["execution_mode"], result["isolation"]) == ("host_compat", "none")
    assert (result["environment"], result["exit_code"], result["timed_out"]) == ("debian:12", 0, False)
    assert result["cleanup"] == {"deleted": True, "reason": "post_exec_cleanup", "vm_id": result["vm_id"]}
    uid = "0" if os.geteuid() == 0 else str(os.geteuid())
    workspace = pyro.state_dir / "machines" / result["vm_id"] / "workspace"
    assert result["stdout"].splitlines() == ["here", uid, str(workspace), "0022"]
    assert not workspace.parent.exists()
    assert done.stderr.decode().count(REASON) == 1


def test_no_environment_is_pulled(tmp_path: Path) -> None:
    with installation(*host_without(NO_BWRAP), PYRO_VMM="qemu", PYRO_ENVIRONMENT_CACHE_DIR=str(tmp_path)) as pyro:
        assert run(pyro, "debian:12", "--", "true").returncode == 0
        assert not [path for path in tmp_path.rglob("*") if path.stat().st_size > 1 << 16]


def test_an_environment_must_exist(pyro: Installation) -> None:
    done = run(pyro, "--json", "debian:13", "--", "true")
    assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "environment-not-found")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["exit 3"], 3),
        (["kill -SEGV $$"], 139),
        (["/etc/passwd", ""], 126),
        (["no-such-program", ""], 127),
        (["sleep 1000"], 124),
    ],
)
def test_the_exit_status_is_the_commands(pyro: Installation, command: list[str], status: int) -> None:
    assert run(pyro, "--timeout-seconds", "2", "debian:12", "--", *command).returncode == status


def test_output_is_streamed(pyro: Installation, tmp_path: Path) -> None:
    heard, received = tmp_path / "heard", []

    def on_output(stream: str, data: bytes) -> None:
        received.append((stream, data))
        heard.touch()

    result = pyro.sdk().run_in_vm(
        environment="debian:12",
        command=f"echo first; until [ -e {heard} ]; do sleep 0.02; done; printf '\\377' >&2",
        allow_host_compat=True,
        on_output=on_output,
    )
    assert result["exit_code"] == 0
    assert received == [("stdout", b"first\n"), ("stderr", b"\xff")]
    assert result["stderr"] == "\N{REPLACEMENT CHARACTER}"


def test_commands_do_not_see_the_daemons_environment(pyro: Installation) -> None:
    shown = run(pyro, "debian:12", "--", "env", "-u", "none").stdout.decode()
    names = {line.partition("=")[0] for line in shown.splitlines()}
    assert names == {"HOME", "LANG", "LOGNAME", "PATH", "USER", "PYRO_MACHINE_DIRECTORY"}


@pytest.mark.parametrize("how", ["option", "variable"])
def test_required_isolation_is_never_traded_for_the_host(how: str) -> None:
    option = ["--require-isolation", "kvm"] if how == "option" else []
    variable = {} if how == "option" else {"PYRO_REQUIRE_ISOLATION": "kvm"}
    for vmm in ("auto", "qemu"):
        with installation(*host_without(NO_BWRAP, NO_KVM), PYRO_VMM=vmm, **variable) as pyro:
            done = run(pyro, *option, "--json", "debian:12", "--", "true")
            assert (done.returncode, json.loads(done.stdout)["code"]) == (1, "isolation-unavailable")


def test_a_firecracker_without_kvm_is_no_vmm_either() -> None:
    with installation(*host_without(NO_KVM), PYRO_VMM="firecracker") as pyro:
        refused = pyro.cli("run", "--json", "debian:12", "--", "true")
        assert json.loads(refused.stdout)["code"] == "vmm-unavailable"
        done = run(pyro, "--json", "debian:12", "--", "true")
        assert json.loads(done.stdout)["isolation"] == "none"
        assert b"firecracker cannot run guests here: " in done.stderr


def test_a_vmm_that_works_is_used_in_spite_of_the_flag() -> None:
    with installation() as pyro:
        done = run(pyro, "--json", "debian:12", "--", "true")
        assert json.loads(done.stdout)["isolation"] in ("emulated", "kvm")
        assert b"without isolation" not in done.stderr


def test_nothing_of_a_command_outlives_its_run(pyro: Installation, tree: Tree) -> None:
    assert run(pyro, "debian:12", "--", tree.command("exit 5")).returncode == 5
    assert not tree.living()


def test_nothing_of_a_command_outlives_its_time_limit(pyro: Installation, tree: Tree) -> None:
    done = run(pyro, "--timeout-seconds", "4", "debian:12", "--", tree.command("sleep 1000"))
    assert (done.returncode, done.stdout) == (124, b"begun\n")
    assert not tree.living()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_nothing_of_a_command_outlives_its_client(
    pyro: Installation, tree: Tree, number: signal.Signals, status: int
) -> None:
    with begun(pyro, tree.command("sleep 1000")) as client:
        client.send_signal(number)
        assert client.wait(DEADLINE) == status
    assert not tree.living()


def test_nothing_of_a_command_outlives_its_killed_client(pyro: Installation, tree: Tree) -> None:
    with begun(pyro, tree.command("sleep 1000")) as client:
        client.kill()
    assert until(lambda: None if tree.living() else True)


def test_a_killed_agent_is_an_error_and_its_commands_end(pyro: Installation, tree: Tree) -> None:
    with begun(pyro, tree.command("sleep 1000", forgetful=False)) as client:
        os.kill(agent(pyro), signal.SIGKILL)
        assert client.wait(DEADLINE) == 1
        assert client.stderr is not None
        assert b"[error] the machine ended" in client.stderr.read()
    assert not tree.living()


@pytest.mark.parametrize("with_agent", [False, True])
def test_after_the_daemon_was_killed_the_next_leaves_nothing(pyro: Installation, tree: Tree, with_agent: bool) -> None:
    before = pyro.census()
    with begun(pyro, tree.command("sleep 1000", forgetful=not with_agent)) as client:
        before_kill = agent(pyro)
        kill_daemon(pyro)
        if with_agent:
            os.kill(before_kill, signal.SIGKILL)
        assert client.wait(DEADLINE) == 1
    serve(pyro)
    assert not tree.living()
    assert not pyro.census().leaks_since(before)


def test_a_vm_by_id_is_a_record_with_an_agent(pyro: Installation, tree: Tree) -> None:
    sdk = pyro.sdk()
    vm = sdk.create_vm(environment="debian:12", allow_host_compat=True)
    vm_id = vm["vm_id"]
    assert (vm["allow_host_compat"], vm["isolation"], vm["execution_mode"]) == (True, "none", "host_compat")
    assert sdk.start_vm(vm_id)["state"] == "running"
    assert sdk.stop_vm(vm_id)["state"] == "stopped"
    sdk.start_vm(vm_id)
    first = agent(pyro)

    kill_daemon(pyro)
    serve(pyro)

    assert (sdk.status_vm(vm_id)["state"], agent(pyro)) == ("running", first)
    assert sdk.exec_vm(vm_id, command=tree.command("exit 7"))["exit_code"] == 7
    assert not tree.living()
    with pytest.raises(PyroError, match="deleted"):
        sdk.status_vm(vm_id)


def test_a_vm_whose_agent_died_with_the_daemon_is_stopped(pyro: Installation) -> None:
    sdk = pyro.sdk()
    vm_id = sdk.create_vm(environment="debian:12", allow_host_compat=True)["vm_id"]
    sdk.start_vm(vm_id)
    found = agent(pyro)
    kill_daemon(pyro)
    os.kill(found, signal.SIGKILL)
    serve(pyro)

    assert sdk.status_vm(vm_id)["end_reason"] == "daemon_lost"
    sdk.delete_vm(vm_id)


def test_whatever_a_command_leaves_in_its_directory_goes(pyro: Installation) -> None:
    deep = "mkdir -p closed/inside && touch closed/inside/file && chmod 0 closed/inside closed && ln -s /etc out"
    assert run(pyro, "debian:12", "--", deep).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_what_a_command_has_mounted_is_unmounted_and_not_deleted(pyro: Installation, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    mount = f"mkdir 'a b' && mount --bind {tmp_path} 'a b' && mount -t tmpfs none 'a b' && touch 'a b/lost'"
    assert run(pyro, "debian:12", "--", mount).returncode == 0
    assert (tmp_path / "kept").exists()
