"""Where a run goes besides its folder."""
