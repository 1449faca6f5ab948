"""What runs a model: engines with one protocol, and the chain that decides between them."""
