"""How Aftershock is run: images, and everything on one machine."""
