-- What a machine's network lets through beyond what is public: JSON, a list of CIDR or CIDR:PORT.
ALTER TABLE machines ADD COLUMN allowed TEXT NOT NULL DEFAULT '[]';

-- What a workspace's machines may reach.
ALTER TABLE workspaces ADD COLUMN network_policy TEXT NOT NULL DEFAULT 'off';
ALTER TABLE workspaces ADD COLUMN allowed TEXT NOT NULL DEFAULT '[]';

-- The services of a workspace since its last reset.
CREATE TABLE services (
    workspace_id TEXT NOT NULL REFERENCES workspaces (workspace_id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('starting', 'running', 'stopped', 'exited', 'failed')),
    command      TEXT NOT NULL,
    cwd          TEXT NOT NULL,
    readiness    TEXT,                                      -- JSON; NULL where none was asked for
    ports        TEXT NOT NULL,                             -- JSON: [guest port, host port] each
    pid          INTEGER,                                   -- inside the guest
    started_at   REAL NOT NULL,                             -- seconds since the epoch
    ready_at     REAL,
    ended_at     REAL,
    exit_code    INTEGER,
    stop_reason  TEXT,
    PRIMARY KEY (workspace_id, name)
) WITHOUT ROWID;
