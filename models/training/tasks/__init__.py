"""One module a kind of model: its data, net, loss, export and measures."""
