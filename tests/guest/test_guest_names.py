"""A machine's names and its resolver: what a guest makes of their files stays, and keeps no machine from starting."""

from __future__ import annotations

import os
import signal

from tests.guest.test_endings import vmm_pids
from tests.guest.test_workspace_life import said, workspace
from tests.harness.installation import Installation, until

# Blocks are taken, not written: the disk is full in the guest alone.
FILL = """
for size in 1073741824 16777216 1048576 4096; do
    while fallocate -l $size "/root/fill-$size-$((n += 1))" 2>/dev/null; do :; done
done
! head -c 1048576 /dev/zero > /root/one-more
sync
"""
LOOK = "cat /etc/hosts /etc/resolv.conf; echo; cat /etc/hostname; stat -c %a /etc/hosts"


def restart(pyro: Installation, workspace_id: str) -> None:
    pyro.sdk().stop_workspace(workspace_id)
    pyro.sdk().start_workspace(workspace_id)


def cut_off(pyro: Installation, workspace_id: str) -> None:
    (vmm,) = vmm_pids(pyro)
    os.kill(vmm, signal.SIGKILL)
    status = pyro.sdk().status_workspace
    assert until(lambda: True if status(workspace_id)["state"] == "stopped" else None)


def test_a_machine_knows_its_names_and_whom_to_ask(pyro: Installation) -> None:
    with workspace(pyro, network_policy="egress") as workspace_id:
        names = said(pyro, workspace_id, "hostname; cat /etc/hostname; getent hosts $(hostname) | awk '{print $1, $2}'")
        name = names.split()[0]
        assert names == f"{name}\n{name}\n127.0.1.1 {name}\n"
        assert said(pyro, workspace_id, "cat /etc/resolv.conf") == "nameserver 100.127.254.3\n"
        before = said(pyro, workspace_id, LOOK)
        assert before.count("127.0.1.1") == 1
        restart(pyro, workspace_id)
        assert said(pyro, workspace_id, LOOK) == before

        pyro.sdk().reset_workspace(workspace_id)
        assert said(pyro, workspace_id, "getent hosts $(hostname) | wc -l; wc -l < /etc/resolv.conf") == "1\n1\n"


def test_what_was_edited_is_there_again_after_a_stop_and_after_a_loss(own_pyro: Installation) -> None:
    with workspace(own_pyro, network_policy="egress") as workspace_id:
        said(own_pyro, workspace_id, "echo '10.1.2.3 db' >> /etc/hosts; echo 'nameserver 9.9.9.9' > /etc/resolv.conf")
        said(own_pyro, workspace_id, "rm /etc/hostname; echo mine > /etc/hostname; sync")
        before = said(own_pyro, workspace_id, LOOK)
        assert "\n10.1.2.3 db\n" in before
        restart(own_pyro, workspace_id)
        assert said(own_pyro, workspace_id, LOOK) == before

        cut_off(own_pyro, workspace_id)
        own_pyro.sdk().start_workspace(workspace_id)
        assert said(own_pyro, workspace_id, LOOK) == before


def test_a_machine_that_is_cut_off_as_soon_as_it_has_started_is_whole(own_pyro: Installation) -> None:
    with workspace(own_pyro, network_policy="egress") as workspace_id:
        before = said(own_pyro, workspace_id, LOOK)
        for _ in range(2):
            cut_off(own_pyro, workspace_id)
            own_pyro.sdk().start_workspace(workspace_id)
        assert said(own_pyro, workspace_id, f"touch /etc/written && {LOOK}") == before
        restart(own_pyro, workspace_id)
        cut_off(own_pyro, workspace_id)
        own_pyro.sdk().start_workspace(workspace_id)
        assert (
            said(own_pyro, workspace_id, f"ls /etc/written && touch /etc/again && {LOOK}") == f"/etc/written\n{before}"
        )


def test_a_machine_whose_disk_is_full_starts_again(pyro: Installation) -> None:
    with workspace(pyro, network_policy="egress") as workspace_id:
        before = said(pyro, workspace_id, LOOK)
        said(pyro, workspace_id, FILL)
        restart(pyro, workspace_id)
        assert said(pyro, workspace_id, LOOK) == before
        # With nothing of them on its disk there is something to write, and no place for it.
        said(pyro, workspace_id, "rm /etc/resolv.conf; ! head -c 65536 /dev/zero > /root/last; sync")
        restart(pyro, workspace_id)
        assert said(pyro, workspace_id, "echo well; rm /root/fill-*") == "well\n"
        restart(pyro, workspace_id)
        assert said(pyro, workspace_id, LOOK) == before


def test_files_that_may_not_be_changed_stay_and_the_machine_starts(pyro: Installation) -> None:
    with workspace(pyro, network_policy="egress") as workspace_id:
        # A plain file, whatever was there before; nobody to ask, so that there is something to write.
        said(pyro, workspace_id, "cp /etc/hosts /tmp/h; rm /etc/hosts; cp /tmp/h /etc/hosts; : > /etc/resolv.conf")
        said(pyro, workspace_id, "chattr +i /etc/hosts /etc/resolv.conf; ! echo x >> /etc/hosts")
        before = said(pyro, workspace_id, LOOK)
        restart(pyro, workspace_id)
        assert said(pyro, workspace_id, LOOK) == before
        said(pyro, workspace_id, "chattr -i /etc/resolv.conf")
        restart(pyro, workspace_id)
        assert said(pyro, workspace_id, "cat /etc/resolv.conf") == "nameserver 100.127.254.3\n"


def test_commands_have_the_usual_number_of_descriptors_and_the_agent_more(pyro: Installation) -> None:
    with workspace(pyro) as workspace_id:
        assert said(pyro, workspace_id, "ulimit -Sn; ulimit -Hn") == "1024\n524288\n"
        limits = said(pyro, workspace_id, "grep 'open files' /proc/1/limits").split()
        assert int(limits[3]) > 500_000
