"""What pages are made of: the frame, tables, forms, dialogs, charts and cells."""
