"""The state that several autoscalers and operators share: the lease, and the pauses."""
