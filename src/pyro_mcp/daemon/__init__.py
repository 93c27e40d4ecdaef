"""The daemon: one per state directory, started on demand, the only writer of its state.

Above: `sdk/` and everything that speaks to its unix socket; nobody imports it. Below: `engine/`. It holds what must
outlive a command line: running VMs, their time to live, their guests' connections.
"""
