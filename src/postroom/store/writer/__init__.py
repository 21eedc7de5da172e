"""The two forms of the writer, inline and keeper."""
