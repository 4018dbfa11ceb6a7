"""The hot tier: lines of the last days in PostgreSQL. Spools enter; what leaves are pages of lines, newest first."""
