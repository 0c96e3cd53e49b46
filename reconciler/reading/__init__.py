"""YAML with places → manifests and policy, and their schemas."""
