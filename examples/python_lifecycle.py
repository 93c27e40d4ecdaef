"""Takes a VM through its life: created, started, asked, used. The command's output is shown while it is made."""

import sys

from pyro_mcp import Pyro


def show(_stream: str, data: bytes) -> None:
    sys.stdout.write(data.decode(errors="replace"))


def main() -> None:
    pyro = Pyro()
    vm_id = pyro.create_vm(environment="debian:12", mem_mib=512, ttl_seconds=120)["vm_id"]
    try:
        pyro.start_vm(vm_id)
        print(f"state={pyro.status_vm(vm_id)['state']}")
        result = pyro.exec_vm(vm_id, command="for n in 1 2 3; do echo $n; done", on_output=show)
    except BaseException:
        pyro.delete_vm(vm_id)
        raise
    # exec_vm has deleted the VM.
    print(f"exit_code={result['exit_code']} deleted={result['cleanup']['deleted']}")


if __name__ == "__main__":
    main()
