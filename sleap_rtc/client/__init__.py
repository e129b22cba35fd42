"""The client's role, and with it the public Python API."""
