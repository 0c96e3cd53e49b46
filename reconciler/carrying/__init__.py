"""What versions are made of, from one registry to another: read by a process of its own, and written here."""
