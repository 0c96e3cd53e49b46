"""The edges: each speaks to one thing outside, and translates it into the core's words."""
