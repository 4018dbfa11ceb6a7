"""Rule files, evaluated live on the samples of this machine: what fires goes the way of every alert."""
