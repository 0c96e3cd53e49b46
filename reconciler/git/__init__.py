"""One way to run git; manifests, history, the lock and approvals out of it."""
