"""What the page of the report shows; how it shows that is naflow.page's."""
