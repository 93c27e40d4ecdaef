"""VMM drivers. A driver knows virtual machines only: plan, boot, pause, resume, save, restore, stop.

Above: `machines/`, which joins drivers with disks, networks and the guest agent. Below: `host/`, `model/`. Siblings
(`agent`, `disk`, `net`, `environments`, `state`) are unknown here: a driver returns a `GuestEndpoint`, it never talks
to the guest.
"""
