"""Generic work on the host's operating system: processes, files, archives, namespaces, probes.

The floor of the house beside `model/` and `errors`; nothing here knows what a microVM is. The only user of
`subprocess`.
"""
