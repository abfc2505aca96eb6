"""Files as sources: lines, tables, followed logs and watched folders."""
