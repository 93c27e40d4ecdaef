"""Everything that guests promise holds for an ordinary user too: the guest tests again, as a fresh one of those.

The user has nothing but an empty home and a range of subordinate ids: no cache, no environment, no group. The tests
run under the distribution's own Python, as the one of this checkout may lie where only root may go.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.environments.puller import ordinary_user
from tests.harness.installation import until
from tests.lab.luggage import copy_packages, copy_project

USER = "pyro-rootless"
MINUTES = 30
# Random work on a workspace needs a package that was compiled for another Python, and is the same for every user.
NOT_HERE = ("-m", "not fault", "--ignore=tests/guest/test_workspace_model.py")


@pytest.mark.rootless
@pytest.mark.timeout(MINUTES * 60)
def test_the_guest_tests_pass_as_a_fresh_ordinary_user() -> None:
    assert os.geteuid() == 0, "only root can make another user"
    with ordinary_user(USER) as home:
        project, packages = home / "project", home / "packages"
        copy_project(project)
        copy_packages(packages)
        give(home, USER)
        done = subprocess.run(
            [
                *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--reset-env"),
                *("env", f"PYTHONPATH={project / 'src'}:{packages}", "PATH=/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"),
                *("/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", *NOT_HERE, "tests/guest"),
            ],
            cwd=project,
            check=False,
        )
        assert done.returncode == 0
        assert until(lambda: True if not processes_of(USER) else None), processes_of(USER)


def processes_of(user: str) -> list[str]:
    listed = subprocess.run(["ps", "-u", user, "-o", "pid=,stat=,args="], capture_output=True, text=True, check=False)
    return listed.stdout.splitlines()


def give(directory: Path, user: str) -> None:
    for path in (directory, *directory.rglob("*")):
        shutil.chown(path, user, user)
