"""Data and scripts that show the main job."""
