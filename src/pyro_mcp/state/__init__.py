"""What must survive the daemon: one SQLite file per state directory, written by the daemon alone.

Above: `machines/` and `engine/`. Below: `model/`, `errors`. The only user of `sqlite3`. The schema is the files in
`migrations/`, which are only ever added to.
"""
