"""Settings, and the only reader of the process environment."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from pyro_mcp.errors import UsageError

BUNDLE_PLATFORM = "linux-x86_64"

# Bounds of what a caller may ask for (public contract, "limits" and "VM ids / TTL").
VCPU_RANGE = (1, 8)
MEM_MIB_RANGE = (256, 32_768)
TTL_RANGE = (60, 86_400)
TIMEOUT_RANGE = (1, 86_400)
WORKSPACE_TTL_RANGE = (60, 31_536_000)
TERMINAL_RANGE = (1, 1000)
"""Columns, and rows, of a shell's terminal."""
SHELL_CHARS_RANGE = (1, 1 << 20)
IDLE_MS_RANGE = (0, 10_000)
READY_SECONDS_RANGE = (1, 3600)
READY_INTERVAL_MS_RANGE = (10, 60_000)
TAIL_LINES_RANGE = (1, 100_000)
PORT_RANGE = (1, 65_535)
OUTPUT_BYTES = 1 << 20
"""Bytes of each output stream kept in a payload; streaming has no such bound."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where pyro keeps things and how it behaves. `Settings.from_environment()` documents each variable."""

    state_dir: Path
    environment_cache_dir: Path
    bundle_dir: Path
    vmm: str = "auto"
    require_isolation: str | None = None
    boot_timeout_seconds: float = 120.0
    daemon_idle_seconds: float = 300.0
    templates: str = "auto"

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment.

        PYRO_STATE_DIR                 default `~/.local/state/pyro-mcp` (XDG_STATE_HOME is honoured)
        PYRO_ENVIRONMENT_CACHE_DIR     default `~/.cache/pyro-mcp/environments` (XDG_CACHE_HOME is honoured)
        PYRO_RUNTIME_BUNDLE_DIR        default: the bundle inside the package
        PYRO_VMM                       `auto` (default), `firecracker` or `qemu`
        PYRO_REQUIRE_ISOLATION         `kvm`: refuse software emulation; unset or empty: any
        PYRO_BOOT_TIMEOUT_SECONDS      how long a guest may take from start to its agent's answer; default 120
        PYRO_DAEMON_IDLE_SECONDS       how long the daemon stays when nothing runs; default 300
        PYRO_TEMPLATES                 which machines are restored instead of booted: `auto` (default: those that QEMU
                                       emulates), `on` (all) or `off` (none)

        Raises UsageError for a value that cannot be meant.
        """
        home = Path.home()
        state = os.environ.get("PYRO_STATE_DIR") or _xdg("XDG_STATE_HOME", home / ".local/state") / "pyro-mcp"
        cache = os.environ.get("PYRO_ENVIRONMENT_CACHE_DIR") or (
            _xdg("XDG_CACHE_HOME", home / ".cache") / "pyro-mcp" / "environments"
        )
        bundle = os.environ.get("PYRO_RUNTIME_BUNDLE_DIR") or Path(__file__).parent / "runtime_bundle"
        return cls(
            state_dir=Path(state).absolute(),
            environment_cache_dir=Path(cache).absolute(),
            bundle_dir=Path(bundle).absolute(),
            vmm=os.environ.get("PYRO_VMM") or "auto",
            require_isolation=os.environ.get("PYRO_REQUIRE_ISOLATION") or None,
            boot_timeout_seconds=_seconds("PYRO_BOOT_TIMEOUT_SECONDS", 120.0),
            daemon_idle_seconds=_seconds("PYRO_DAEMON_IDLE_SECONDS", 300.0),
            templates=_one_of("PYRO_TEMPLATES", ("auto", "on", "off")),
        )

    @property
    def daemon_socket(self) -> Path:
        return self.state_dir / "daemon.sock"

    @property
    def daemon_log(self) -> Path:
        return self.state_dir / "daemon.log"

    @property
    def guest_binary(self) -> Path:
        return self.bundle_dir / BUNDLE_PLATFORM / "bin" / "pyro-guest"

    @property
    def firecracker_binary(self) -> Path:
        return self.bundle_dir / BUNDLE_PLATFORM / "bin" / "firecracker"

    @property
    def fingerprint(self) -> str:
        """Settings that a running daemon cannot take over from a request: a client with others needs another daemon."""
        fixed = (self.environment_cache_dir, self.bundle_dir, self.boot_timeout_seconds, self.templates)
        # Told apart, not protected: whoever can lie about it owns the daemon. OpenSSL takes milliseconds to load.
        return f"{zlib.crc32(chr(0).join(map(str, fixed)).encode()):08x}"


# What the daemon takes over from whoever happens to start it: who we are and where things are found, how to reach the
# outside, and how Python was set up. Its PATH is its own, or one client's odd one would be everybody's.
_HANDED_DOWN = ("HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
_HANDED_DOWN_PREFIXES = ("LC_", "PYTHON", "SSL_CERT_", "http_", "https_", "no_proxy", "HTTP_", "HTTPS_", "NO_PROXY")
_DAEMON_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def daemon_environment(settings: Settings) -> dict[str, str]:
    """The environment of a daemon that reads exactly these settings."""
    handed_down = {
        name: value
        for name, value in os.environ.items()
        if name in _HANDED_DOWN or name.startswith(_HANDED_DOWN_PREFIXES)
    }
    return {
        **handed_down,
        "PATH": _DAEMON_PATH,
        "PYRO_STATE_DIR": str(settings.state_dir),
        "PYRO_ENVIRONMENT_CACHE_DIR": str(settings.environment_cache_dir),
        "PYRO_RUNTIME_BUNDLE_DIR": str(settings.bundle_dir),
        "PYRO_VMM": settings.vmm,
        "PYRO_REQUIRE_ISOLATION": settings.require_isolation or "",
        "PYRO_BOOT_TIMEOUT_SECONDS": str(settings.boot_timeout_seconds),
        "PYRO_DAEMON_IDLE_SECONDS": str(settings.daemon_idle_seconds),
        "PYRO_TEMPLATES": settings.templates,
    }


def _xdg(name: str, default: Path) -> Path:
    """A base directory as the XDG specification has it: relative values are ignored."""
    value = os.environ.get(name, "")
    return Path(value) if value.startswith("/") else default


def _one_of(name: str, values: tuple[str, ...]) -> str:
    """The first of `values` where nothing is set."""
    text = os.environ.get(name) or values[0]
    if text not in values:
        raise UsageError(f"{name} is {text!r}, it must be one of: {', '.join(values)}", hint=f"unset {name}")
    return text


def _seconds(name: str, default: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86_400:
        raise UsageError(
            f"{name} is {text!r}, not a number of seconds between 0 and 86400",
            hint=f"unset {name} or give it a number",
        )
    return value
