"""Everything that talks to the services from outside: SDK, chat bot, fault drill."""
