"""What the upstreams offer, as the control plane tells it: their state, routes with candidates, models with prices."""
