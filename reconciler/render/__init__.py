"""Plans and outcomes as text."""
