"""Manifests as text that people keep: written anew, and changed in place."""
