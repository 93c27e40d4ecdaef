"""Hosts that lack something, for real: a pyro is started in namespaces of its own, in which the lack is nobody else's.

`as_ordinary_user(*lacks)` and `as_root(*lacks)` are the beginnings of such a command line, for an `Installation`. The
first works for everybody, also for root, who becomes an ordinary user in there; the second is for root alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

_UID = os.geteuid() or 4242
_GID = os.getegid() or 4242


@dataclass(frozen=True)
class Lack:
    """`before` is a script for root of the new namespaces, `within` one for whoever is then to be confined."""

    before: str = ""
    within: str = ""


# Nothing of KVM; what every program needs is there.
_PRIVATE_DEV = """
mount --rbind /dev /mnt
mount -t tmpfs tmpfs /dev
for node in null zero full random urandom tty; do
    touch /dev/$node
    mount --bind /mnt/$node /dev/$node
done
ln -s /proc/self/fd /dev/fd
"""

NO_KVM = Lack(_PRIVATE_DEV)
KVM_OF_OTHERS = Lack(f"{_PRIVATE_DEV}\n: > /dev/kvm\nchmod 0 /dev/kvm")
USELESS_KVM = Lack(f"{_PRIVATE_DEV}\n: > /dev/kvm\nmount --bind /mnt/null /dev/kvm")
"""It can be opened, and answers nothing that KVM would."""

NO_USER_NAMESPACES = Lack(within="echo 0 > /proc/sys/user/max_user_namespaces")
NO_SUBORDINATE_IDS = Lack("mount --bind /dev/null /etc/subuid\nmount --bind /dev/null /etc/subgid")


def without(*programs: str) -> Lack:
    """A host on which the files `programs` are not installed."""
    lines = ["mount -t tmpfs tmpfs /mnt"]
    for number, directory in enumerate(sorted({os.path.dirname(program) for program in programs})):  # noqa: PTH120
        upper, work = f"/mnt/upper{number}", f"/mnt/work{number}"
        lines.append(f"mkdir {upper} {work}")
        options = f"lowerdir={directory},upperdir={upper},workdir={work}"
        lines.append(f"mount -t overlay overlay -o {options} {directory}")
    return Lack("\n".join((*lines, f"rm {' '.join(programs)}")))


def as_ordinary_user(*lacks: Lack) -> list[str]:
    """Without root's rights, whoever starts it; the files that are the starter's are that user's."""
    confine = _script(*(lack.within for lack in lacks), 'exec setpriv --inh-caps=-all --ambient-caps=-all "$@"')
    identity = ("--user", f"--map-user={_UID}", f"--map-group={_GID}", "--keep-caps")
    become = " ".join(("exec unshare", *identity, "sh -c", f"'{confine}'", 'host "$@"'))
    before = _script(*(lack.before for lack in lacks), become)
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", before, "host"]


def as_root(*lacks: Lack) -> list[str]:
    """As root, in a mount namespace; user namespaces are the whole host's there."""
    assert not any(lack.within for lack in lacks)
    return ["unshare", "--mount", "sh", "-c", _script(*(lack.before for lack in lacks), 'exec "$@"'), "host"]


def as_root_of_a_small_container() -> list[str]:
    """As root of a user namespace that has no other id."""
    return ["unshare", "--user", "--map-root-user"]


def _script(*parts: str) -> str:
    return "\n".join(("set -e", *filter(None, parts)))
