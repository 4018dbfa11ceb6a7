"""Rules that workspaces own: checked when they are written, evaluated on their own series alone, told to them alone.

Documents of the kind `alert-rules` enter; reports leave, into the alerts of the workspace that wrote the rule.
"""
