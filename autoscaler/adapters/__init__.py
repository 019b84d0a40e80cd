"""What connects the ports to the world: Docker Swarm and Prometheus. Nothing above imports the clients' libraries."""
