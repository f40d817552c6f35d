"""Jobs: audiences uploaded as files and processed in the background."""
