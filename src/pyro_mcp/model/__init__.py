"""Frozen values that cross package boundaries, and the parsing of user input into them. No I/O.

Everything above imports this package; it imports only `errors`.
"""
