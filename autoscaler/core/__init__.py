"""The autoscaler's basic values. Nothing here knows Swarm, Prometheus or a policy."""
