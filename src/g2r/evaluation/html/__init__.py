"""The report as one page: files of a report in, self-contained HTML out."""
