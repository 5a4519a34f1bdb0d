"""Receivers of alerts; registry.py has them by the name that `type` has in the config."""
