"""What finished evaluations say, beside each other and beside the paper's figures."""
