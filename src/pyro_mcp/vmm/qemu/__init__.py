"""QEMU's `microvm` machine under software emulation: slower than hardware, but it runs anywhere."""
