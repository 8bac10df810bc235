"""The tasks of each user: one table, two API versions, files in and out."""
