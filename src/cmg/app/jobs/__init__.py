"""The jobs' place in the processes: who does something with them is noted in the audit trail."""
