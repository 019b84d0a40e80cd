"""The HTTP side: metrics, health and the API, which read the journal; and pauses, which are written to Swarm."""
