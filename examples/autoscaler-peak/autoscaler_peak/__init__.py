"""A strategy and a metric source for swarm-autoscaler, as an example."""
