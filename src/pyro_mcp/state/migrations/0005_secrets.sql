-- The names of what a workspace was given to keep to itself, and where each came from; their values are in no table.
ALTER TABLE workspaces ADD COLUMN secrets TEXT NOT NULL DEFAULT '[]';
