"""The host half of the guest protocol (protocol/README.md): streams to a guest, and what is said on them.

Above: `machines/`. Below: `host/`, `model/`, `errors`. Siblings are unknown here: somebody else says at which socket a
guest is reached. Everything that arrives is hostile: measured before it is kept, checked before it is believed.
"""
