"""How the shipped models are made: architectures, data, training, evaluation and export."""
