"""A new token, and how workers start with it."""

from sleap_rtc.cli.output import say
from sleap_rtc.config.servers import server_words


def show_token(server: str, token: str) -> None:
    """Show a token, which nobody sees again, and the two ways to use it."""
    words = server_words(server)
    say("It is shown this once:")
    say()
    say(f"  {token}")
    say()
    say("Start a worker with it, on the machine with the GPU:")
    say()
    say(f"  sleap-rtc worker{words} --api-key {token}")
    say()
    say("or, so that nobody reads it in the list of processes:")
    say()
    if words:
        say(f"  export SLEAP_RTC_SERVER={server}")
    say(f"  export SLEAP_RTC_API_KEY={token}")
    say("  sleap-rtc worker")
