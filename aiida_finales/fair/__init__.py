"""What makes the data findable and reusable elsewhere: meaning as JSON-LD, questions by meaning, packages."""
