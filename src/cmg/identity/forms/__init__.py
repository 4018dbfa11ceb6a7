"""How keys and workspaces look from outside: JSON that comes in is read and checked, what goes out is written.

Enters: what people send. Leaves: values of `identity.models`, or an `InvalidRequest` that names the field.
"""
