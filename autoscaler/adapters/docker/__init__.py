"""The Docker Engine as an orchestrator."""
