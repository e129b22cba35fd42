"""The pages that people see: logging in, choosing a password, letting a device in."""
