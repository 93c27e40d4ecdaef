"""Environments: the catalog of them, how each is built on this host, and the store that keeps them by digest.

    store      what others call: list, resolve, pull, lease, initramfs, prune
    catalog    what there is · recipe (pure: packages and tools' arguments) · build, kernel (steps) · initramfs, modinfo
    manifest   what is on disk, and whether it still is what it was · layout (where; and what a killed build left)

Above: `engine/`. Beside, and blind to it: `vmm/`, `disk/`, `agent/`, `state/`. Below: `host/`, `model/`, `errors`.
"""
