"""GitHub and GitLab: our comment, and who approved."""
