"""What a user launches: command line, report, comparison, and the scenarios that come with the project."""
