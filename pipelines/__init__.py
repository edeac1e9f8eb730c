"""Assembly and machines: stages, store, engines, report and the command line."""
