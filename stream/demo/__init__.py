"""The whole loop on real data, on one machine: real processes, measured through the topics alone."""
