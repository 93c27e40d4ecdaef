-- Persistent workspaces. Each has one machine at a time, which a reset replaces.
CREATE TABLE workspaces (
    slot                INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace_id        TEXT NOT NULL UNIQUE,
    state               TEXT NOT NULL CHECK (state IN ('creating', 'ready', 'deleting', 'deleted')),
    vm_id               TEXT,                               -- its present machine
    name                TEXT,
    labels              TEXT NOT NULL,                      -- JSON: key -> value
    environment         TEXT NOT NULL,
    environment_version TEXT NOT NULL,
    vcpu_count          INTEGER NOT NULL,
    mem_mib             INTEGER NOT NULL,
    ttl_seconds         INTEGER NOT NULL,                   -- 0: it never expires
    seed                TEXT NOT NULL,                      -- JSON: what the baseline was made from
    created_at          REAL NOT NULL,                      -- seconds since the epoch
    expires_at          REAL,
    last_activity_at    REAL NOT NULL,
    reset_count         INTEGER NOT NULL DEFAULT 0,
    last_reset_at       REAL,
    ended_at            REAL,
    end_reason          TEXT
);

CREATE TABLE snapshots (
    workspace_id  TEXT NOT NULL REFERENCES workspaces (workspace_id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    created_at    REAL NOT NULL,
    entry_count   INTEGER NOT NULL,
    bytes_written INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, name)
) WITHOUT ROWID;

-- Every command a workspace was given since its last reset: written when it begins, completed when it ends.
CREATE TABLE workspace_commands (
    workspace_id TEXT NOT NULL REFERENCES workspaces (workspace_id) ON DELETE CASCADE,
    sequence     INTEGER NOT NULL,                          -- counts from 1 since the last reset
    command      TEXT NOT NULL,
    cwd          TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('running', 'ended', 'interrupted')),
    exit_code    INTEGER,
    duration_ms  INTEGER,
    stdout       TEXT NOT NULL DEFAULT '',                  -- bounded
    stderr       TEXT NOT NULL DEFAULT '',
    started_at   REAL NOT NULL,
    ended_at     REAL,
    PRIMARY KEY (workspace_id, sequence)
) WITHOUT ROWID;

-- The workspace whose machine it is; NULL for machines that are asked for as such.
ALTER TABLE machines ADD COLUMN workspace_id TEXT;
