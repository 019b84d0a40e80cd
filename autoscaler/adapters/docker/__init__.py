"""Docker's engine behind the port of an orchestrator."""
