"""Hosts on which guests can have no network: it is refused in one line that says what is missing, and nothing stays."""

from __future__ import annotations

import pytest

from tests.guest.test_hosts import USERS, Become
from tests.harness.hosts import NO_KVM, NO_USER_NAMESPACES, without
from tests.harness.installation import Installation, installation

pytestmark = pytest.mark.usefixtures("shared_pyro")  # the environment is there

LACKS = {
    "slirp4netns": (without("/usr/bin/slirp4netns"), "slirp4netns-missing", "apt-get install slirp4netns"),
    "nft": (without("/usr/sbin/nft"), "nft-missing", "apt-get install nftables"),
    "nsenter": (without("/usr/bin/nsenter"), "nsenter-missing", "apt-get install util-linux"),
    # Of the devices only those that every program needs.
    "tun": (NO_KVM, "tun-unavailable", "modprobe tun"),
}


def refused(pyro: Installation, *arguments: str) -> tuple[str, str]:
    """The error's code, and what people read, of a command that must be refused and leave nothing."""
    clean = pyro.census()
    done = pyro.cli(*arguments)
    assert (done.returncode, done.stdout) == (1, b""), done
    as_json = pyro.cli(arguments[0], "--json", *arguments[1:])
    assert as_json.returncode == 1
    assert not pyro.census().leaks_since(clean)
    code = as_json.stdout.decode().partition('"code": "')[2].partition('"')[0]
    return code, done.stderr.decode()


@pytest.mark.parametrize("become", USERS)
@pytest.mark.parametrize("lack", LACKS)
def test_what_is_missing_is_named_with_its_remedy(become: Become, lack: str) -> None:
    missing, code, remedy = LACKS[lack]
    with installation(*become(missing), PYRO_VMM="qemu") as pyro:
        found, text = refused(pyro, "run", "--network", "debian:12", "--", "true")
        assert found == code
        assert remedy in text
        # Who asks for no network needs nothing of it.
        assert pyro.cli("run", "debian:12", "--", "true").returncode == 0


@pytest.mark.parametrize("become", USERS[:1])
def test_without_user_namespaces_it_is_closed(become: Become) -> None:
    with installation(*become(NO_USER_NAMESPACES), PYRO_VMM="qemu") as pyro:
        code, text = refused(pyro, "run", "--network", "debian:12", "--", "true")
        assert code == "userns-disabled"
        assert "sysctl" in text
