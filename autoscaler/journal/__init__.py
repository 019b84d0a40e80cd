"""The journal of what happened: changes, runs of holds, problems, pauses, policies, leaders, and starts."""
