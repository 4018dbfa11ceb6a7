"""People answer from outside: by a signed link in a message, Slack's button, PagerDuty, or a key pressed in a call.

What others call is checked by its signature before anything is done; each acts on one group, in one way.
"""
