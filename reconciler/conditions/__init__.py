"""Conditions in the Common Expression Language, evaluated in a process of their own."""
