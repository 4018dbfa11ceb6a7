"""What each workspace has used, as numbers that rules can be written about: counted with the usage rows themselves."""
