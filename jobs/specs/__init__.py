"""What a job is: text, to checked and frozen values, with errors that name line and field."""
