"""Policy files: from YAML to a set of policies, or to all problems with their places."""
