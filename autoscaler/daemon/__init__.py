"""The long-running process: schedule, signals, reload, drain."""
