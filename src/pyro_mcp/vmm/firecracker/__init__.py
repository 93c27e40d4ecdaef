"""Firecracker: microVMs on KVM, the strongest isolation pyro has, on hosts where KVM really runs guests."""
