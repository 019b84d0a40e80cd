"""Swarm as values: services, nodes, room, and the history that rides on a service."""
