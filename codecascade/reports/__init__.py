"""Reports for readers: pages and pictures of runs, evaluations, comparisons and sweeps."""
