"""What a test or a trial needs: nodes, our own wire client, and the folders clients, disks and loads."""
