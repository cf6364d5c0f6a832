"""The console in a real browser. Playwright needs a process without eventlet, so the walk runs in one of its own."""
