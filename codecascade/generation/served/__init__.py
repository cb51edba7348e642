"""A model of ours that another program serves: vLLM, started here, or a server that is there already."""
