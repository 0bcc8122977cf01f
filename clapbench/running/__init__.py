"""From a configuration to a cell."""
