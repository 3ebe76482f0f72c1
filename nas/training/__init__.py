"""Training networks: the recipe and the one loop that the proxy and final training share."""
