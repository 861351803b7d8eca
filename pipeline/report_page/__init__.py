"""The content of the report's page; naflow.page shows it."""
