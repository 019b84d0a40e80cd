"""The words of the autoscaler as values: nothing here knows Swarm, Prometheus, or a policy."""
