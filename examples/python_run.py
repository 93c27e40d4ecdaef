"""Runs one command in a fresh microVM and shows what it printed."""

from pyro_mcp import Pyro, PyroError


def main() -> None:
    try:
        result = Pyro().run_in_vm(environment="debian:12", command=["git", "--version"])
    except PyroError as error:
        raise SystemExit(f"{error.code}: {error.message}\n{error.hint}") from None
    print(result["stdout"], end="")
    print(f"exit_code={result['exit_code']} isolation={result['isolation']} deleted={result['cleanup']['deleted']}")


if __name__ == "__main__":
    main()
