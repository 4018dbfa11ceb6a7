"""From a rule to somebody who knows: what happens to an alert, who is told of it, on which channel, until when.

Alerts enter from Alertmanager, Grafana, programs and our own evaluator; notifications leave through `channels`. Every
decision in between is a pure function of a `World` and a time, and is kept with its reason.
"""
