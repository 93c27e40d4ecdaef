"""The census itself is tested: a leak of each kind is planted, each must be found."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from tests.harness.census import take


def test_a_process_that_holds_a_file_open_is_found(tmp_path: Path) -> None:
    before = take(tmp_path)
    with (tmp_path / "log").open("w") as log:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
    try:
        leaks = take(tmp_path).leaks_since(before)
    finally:
        child.communicate()
    assert {"processes", "network_namespaces", "files"} == leaks.keys()


def test_a_process_that_names_the_directory_is_found(tmp_path: Path) -> None:
    before = take(tmp_path)
    pipe, script = subprocess.PIPE, "print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=pipe, stdout=pipe)
    try:
        # Within exec(2) there is a moment in which a process has no command line.
        assert child.stdout is not None
        child.stdout.readline()
        assert "processes" in take(tmp_path).leaks_since(before)
    finally:
        child.communicate(b"\n")


def test_a_process_that_runs_for_a_machine_on_the_host_is_found(tmp_path: Path) -> None:
    before = take(tmp_path)
    marked = {"PYRO_MACHINE_DIRECTORY": f"{tmp_path}/machines/vm-000000000000"}
    child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=marked)
    try:
        assert "processes" in take(tmp_path).leaks_since(before)
    finally:
        child.communicate()


def test_a_socket_is_found(tmp_path: Path) -> None:
    before = take(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "left.sock"))
        listener.listen()
        assert take(tmp_path).leaks_since(before).keys() == {"sockets", "files"}


def test_a_mount_is_found(tmp_path: Path) -> None:
    before = take(tmp_path)
    (tmp_path / "machines").mkdir()
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; from tests.harness.census import take;"
        "print(sorted(take(Path(sys.argv[1])).mounts))"
    )
    shown = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
            'mount -t tmpfs none "$1/machines" && exec "$0" -c "$3" "$1" "$2"',
            *(sys.executable, str(tmp_path), str(Path(__file__).parents[3]), script),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{tmp_path}/machines" in shown.stdout
    assert not before.mounts


def test_files_that_last_are_not_leaks_and_others_are(tmp_path: Path) -> None:
    before = take(tmp_path)
    (tmp_path / "state.sqlite3-wal").touch()
    (tmp_path / "daemon.log").touch()
    assert not take(tmp_path).leaks_since(before)
    (tmp_path / "machines").mkdir()
    (tmp_path / "machines/vm-000000000000").mkdir()
    assert take(tmp_path).leaks_since(before) == {"files": ["machines/vm-000000000000"]}
