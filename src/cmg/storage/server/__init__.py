"""Parts of the embedded PostgreSQL: whose account it runs under, its files, who uses it, and its processes.

`storage/embedded.py` puts them together; nothing else imports from here. All of it is blocking and quick, and runs
in a thread.
"""
