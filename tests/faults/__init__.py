"""Faults and bad input, for real: killed processes, hostile senders and receivers, full disks, wrong clocks."""
