-- One row per microVM ever asked for; finished ones stay for a while so that late questions get a true answer.
CREATE TABLE machines (
    slot                INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: the VMM's unprivileged uid is made of it
    vm_id               TEXT NOT NULL UNIQUE,
    state               TEXT NOT NULL CHECK (state IN ('created', 'starting', 'running', 'stopped', 'deleting', 'deleted')),
    ephemeral           INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
    environment         TEXT NOT NULL,
    environment_version TEXT NOT NULL,
    environment_digest  TEXT NOT NULL,
    vcpu_count          INTEGER NOT NULL,
    mem_mib             INTEGER NOT NULL,
    ttl_seconds         INTEGER NOT NULL,
    network             INTEGER NOT NULL CHECK (network IN (0, 1)),
    driver              TEXT NOT NULL,
    isolation           TEXT NOT NULL,
    execution_mode      TEXT NOT NULL,
    created_at          REAL NOT NULL,                      -- seconds since the epoch
    expires_at          REAL NOT NULL,
    ended_at            REAL,
    end_reason          TEXT,                               -- why it stopped or was deleted
    timings_ms          TEXT NOT NULL DEFAULT '{}',         -- JSON: boot step -> milliseconds
    pid                 INTEGER,                            -- of the process whose death is the machine's death
    pid_start_ticks     INTEGER,
    pid_boot_id         TEXT
);

CREATE INDEX machines_by_state ON machines (state, expires_at);
