"""Several autoscalers and operators share: who leads, and who paused changes."""
