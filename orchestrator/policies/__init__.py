"""What is decided, as pure functions of rows and a moment: no database, no clock of their own."""
