"""What can go wrong in a run of days: spikes of the loss, ranks that hang, signals."""
