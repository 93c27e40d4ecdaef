"""A guest's network: a namespace of its own, the rules in it, and its way out. Nothing of the host is touched.

Above it stand `machines`; its siblings `vmm`, `disk`, `agent`, `environments` and `state` do not know it; below it
`host` and `model`.
"""
