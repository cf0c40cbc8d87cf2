"""What the packer reads, one kind of source a file, and how one is recognised."""
