"""The connections of the ports to Docker Swarm and Prometheus. Only this package imports the clients' libraries."""
