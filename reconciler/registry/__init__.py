"""An MLflow Model Registry, who may write to it, and the lock of one machine."""
