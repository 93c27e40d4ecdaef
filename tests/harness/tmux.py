"""A terminal with a person at it: tmux draws the screen, tests type on it and look at it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.installation import DEADLINE, Installation, until, wait_gone

COLUMNS, ROWS = 100, 30


class Window:
    """One window, in which a shell of this host waits for commands."""

    def __init__(self, tmux: list[str]) -> None:
        self._tmux = tmux

    def type(self, text: str) -> None:
        self._do("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Keys by the names tmux gives them: C-c, Up, Escape."""
        self._do("send-keys", *keys)

    def paste(self, text: str) -> None:
        """All at once, as with the mouse."""
        subprocess.run([*self._tmux, "load-buffer", "-"], input=text.encode(), check=True, timeout=DEADLINE)
        self._do("paste-buffer", "-r")

    def resize(self, columns: int, rows: int) -> None:
        self._do("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        """What can be seen; lines that go on in the next one are one."""
        return self._do("capture-pane", "-p", "-J")

    def see(self, pattern: str) -> str:
        """The screen, as soon as `pattern` is found on it."""
        seen = until(lambda: screen if re.search(pattern, screen := self.screen(), re.MULTILINE) else None)
        assert seen is not None, f"{pattern} is not on the screen:\n{self.screen()}"
        return seen

    def modes(self) -> str:
        """Of the terminal, all of them."""
        asked = ["stty", "-a", "-F", self._do("display-message", "-p", "#{pane_tty}").strip()]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=DEADLINE).stdout

    def flags(self) -> dict[str, str]:
        """What programs have asked of the terminal: the other screen, the mouse, a hidden cursor."""
        names = ("alternate_on", "mouse_any_flag", "cursor_flag", "keypad_flag", "keypad_cursor_flag", "insert_flag")
        said = self._do("display-message", "-p", " ".join(f"#{{{name}}}" for name in names))
        return dict(zip(names, said.split(), strict=True))

    def program(self) -> int:
        """The pid of what the shell has started, once there is something."""
        shell = int(self._do("display-message", "-p", "#{pane_pid}"))
        children = Path(f"/proc/{shell}/task/{shell}/children")
        found = until(lambda: children.read_text().split() or None)
        assert found is not None
        return int(found[0])

    def server(self) -> int:
        """The pid of tmux itself."""
        return int(self._do("display-message", "-p", "#{pid}"))

    def close(self) -> None:
        self._do("kill-window")

    def _do(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=True, timeout=DEADLINE)
        return done.stdout


@contextmanager
def window(pyro: Installation) -> Iterator[Window]:
    """A new terminal, in which `pyro` is that of the installation."""
    directory = tempfile.mkdtemp(prefix="pyro-tmux-")  # its own: a socket's path must be short
    tmux = ["tmux", "-f", "/dev/null", "-S", f"{directory}/socket"]
    environment = {**pyro.environment, "LANG": "C.UTF-8"}
    environment.pop("TMUX", None)
    size = ("-x", str(COLUMNS), "-y", str(ROWS))
    # The first window keeps the server, whatever becomes of the second.
    start = [*tmux, "new-session", "-d", *size, "sleep", "infinity", ";", "new-window", "sh"]
    subprocess.run(start, env=environment, check=True, timeout=DEADLINE)
    made = Window(tmux)
    server = made.server()
    try:
        made.see(r"^[$#] ?$")
        yield made
    finally:
        subprocess.run([*tmux, "kill-server"], check=True, timeout=DEADLINE)
        wait_gone(server)
        shutil.rmtree(directory)


def carried(program: str, target: Path) -> list[str]:
    """A program of this host with all its libraries in `target`; how it is run from there, on any Linux."""
    source = shutil.which(program)
    assert source is not None, f"{program} is not installed"
    listed = subprocess.run(["ldd", source], capture_output=True, text=True, check=True, timeout=DEADLINE).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    target.mkdir()
    for file in (source, *libraries):
        shutil.copy(Path(file).resolve(), target / Path(file).name)
    (loader,) = (Path(file).name for file in libraries if Path(file).name.startswith("ld-"))
    return [f"./{loader}", "--library-path", ".", f"./{Path(source).name}"]
