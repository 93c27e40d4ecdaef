"""Works at a terminal in a workspace, as a person would: what one line sets, the next one finds."""

import re

from pyro_mcp import Pyro

END = re.compile(r"^end-\d+$", re.MULTILINE)


def run(pyro: Pyro, workspace_id: str, shell_id: str, cursor: int, line: str) -> tuple[str, int]:
    """What the terminal showed for a line, and where it goes on.

    A terminal does not say that a command has ended, so the shell is asked to.
    """
    pyro.write_shell(workspace_id, shell_id, input=f"{line}; echo end-$?")
    shown = ""
    while END.search(shown) is None:
        read = pyro.read_shell(workspace_id, shell_id, cursor=cursor, plain=True, wait_for_idle_ms=200)
        if read["state"] == "exited":
            raise SystemExit(f"the shell ended with {read['exit_code']}: {read['output']}")
        shown += read["output"]
        cursor = read["next_cursor"]
    return shown, cursor


def main() -> None:
    pyro = Pyro()
    workspace_id = pyro.create_workspace(environment="debian:12")["workspace_id"]
    try:
        shell_id = pyro.open_shell(workspace_id, cols=80, rows=24)["shell_id"]
        _, cursor = run(pyro, workspace_id, shell_id, 0, "cd /tmp && answer=42")
        shown, _ = run(pyro, workspace_id, shell_id, cursor, 'echo "$PWD says $answer"')
        print(shown)
        pyro.close_shell(workspace_id, shell_id)
    finally:
        pyro.delete_workspace(workspace_id)


if __name__ == "__main__":
    main()
