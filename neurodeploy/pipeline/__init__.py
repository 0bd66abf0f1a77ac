"""The whole way for one model or for the demo, as the command line and the library call it."""
