"""The HTTP side: metrics, health, and the API. It reads the journal and calls no backend."""
