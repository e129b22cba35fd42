"""``sleap-rtc dashboard``: the service's page on this machine, with this machine's login and room secrets."""
