"""A running VM as one thing: named steps that start it, the jail around its VMM, what happens when it ends.

Above: `engine/`, which decides what runs and for how long. Below, and joined only here: `vmm/`, `agent/`, `disk/`,
`environments/`, later `net/`.
"""
