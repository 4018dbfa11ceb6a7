"""The schema's history: `NNNN_name.sql`, each applied once, in one transaction, and never changed afterwards."""
