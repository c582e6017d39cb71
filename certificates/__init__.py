"""What is claimed, and the file that says it: exact numbers, targets, domains, attention, claims, certificates."""
