"""What a message says and what a button means. Pure: no chat system, no network, no clock."""
