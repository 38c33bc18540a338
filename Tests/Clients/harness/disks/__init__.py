"""Disks that lose what was not synced, hiccup or are small, and nodes whose data is on one."""
