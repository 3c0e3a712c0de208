"""The server: one pipeline for every frame, and the listeners that feed it."""
