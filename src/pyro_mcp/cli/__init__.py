"""The command line: parse, call the SDK, render. Nothing else.

The module tree is the command tree: `pyro env pull` is `cli/env.py`, `pyro run` is `cli/run.py`. Above: nothing. Below:
`sdk/`. The only user of click and rich.
"""
