"""Running something on a version, in a sandbox, and the record of it."""
