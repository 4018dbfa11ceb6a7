"""Parts of a backup: the tar file with its manifest, the tables going out of a database and into an empty one.

`storage/backup.py` puts them together; nothing else imports from here.
"""
