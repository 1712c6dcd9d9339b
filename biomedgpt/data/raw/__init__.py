"""Reading raw releases and tables: rows of every kind of task, with file and row in errors."""
