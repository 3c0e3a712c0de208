"""What builds, checks and measures this project; nothing of it runs on a board or a server."""
