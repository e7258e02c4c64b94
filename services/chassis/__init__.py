"""What every service stands on: settings, server, channel, tokens, errors, telemetry."""
