-- Every command a machine was given: written when it begins, completed when it ends. One that a lost daemon left
-- without an end was interrupted; it is never run again.
CREATE TABLE commands (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    vm_id      TEXT NOT NULL REFERENCES machines (vm_id) ON DELETE CASCADE,
    command    TEXT NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('running', 'ended', 'interrupted')),
    exit_code  INTEGER,
    started_at REAL NOT NULL,                               -- seconds since the epoch
    ended_at   REAL
);

CREATE INDEX commands_by_vm ON commands (vm_id, sequence);
