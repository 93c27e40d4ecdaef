-- Whether its caller permits that it runs on the host itself where no VMM does.
ALTER TABLE machines ADD COLUMN allow_host_compat INTEGER NOT NULL DEFAULT 0 CHECK (allow_host_compat IN (0, 1));
