"""What the processes of a test run issue: Python imports `sitecustomize` from here by itself."""
