"""Who writes and reads beside what a test does, and keeps account of what was acknowledged."""
