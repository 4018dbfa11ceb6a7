"""The catalogue as files for other programs: Prometheus and Alertmanager. Data enters, paths and texts leave."""
