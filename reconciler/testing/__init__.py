"""A registry in memory, for tests of your own."""
