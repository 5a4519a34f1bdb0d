"""The commands of `driftd` by subject; monitor/cli.py gathers them. Heavy modules are imported inside the commands."""
