"""The only way from the sandbox to a network: to what the policy allows, and each with a line."""
