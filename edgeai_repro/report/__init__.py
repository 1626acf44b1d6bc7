"""The report: one set of data, `document`, that terminal and files show. No torch."""
