"""The dashboard: a page of static ES modules, served by the service and, on loopback, by ``sleap-rtc dashboard``."""
