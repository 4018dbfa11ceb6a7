"""What incidents need of the application: how its parts are, and where their pages are answered.

Health of this machine enters; states of the status page's components and the room, built, leave.
"""
