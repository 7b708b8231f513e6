"""The labels: digits from 0 on."""

NUM_LABELS = 10
