"""Retraining: what is asked for, when it may be, and of whom; adapters.py has the systems by name."""
