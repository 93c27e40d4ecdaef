"""Disk images on the host: copies of them, and blank ones to copy. No image is ever mounted or parsed here.

Above: `machines/`. Beside, and blind to it: `vmm/`, `agent/`, `environments/`. Below: `host/`, `model/`, `errors`.
"""
