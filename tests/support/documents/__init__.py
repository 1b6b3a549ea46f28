"""Pages and pictures of the documents that are made by code."""
