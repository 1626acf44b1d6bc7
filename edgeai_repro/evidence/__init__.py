"""What was measured: rows, statistics, records and the evidence folder."""
