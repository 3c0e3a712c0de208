"""Starts the application that ships with birthkey; write your own in its place."""

import application

application.main()
