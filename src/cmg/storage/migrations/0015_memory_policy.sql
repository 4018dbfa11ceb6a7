-- How a workspace's memory is kept, where it differs from the service's settings: an object with the names of `memory.*`.
ALTER TABLE workspaces ADD COLUMN memory jsonb NOT NULL DEFAULT '{}';
