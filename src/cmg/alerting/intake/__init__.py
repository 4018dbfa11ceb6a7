"""What others send becomes reports of alerts: Alertmanager's webhook, Grafana's, and our own shape."""
