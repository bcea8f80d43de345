"""One file a subcommand of `freshrank`; each parses options, assembles its parts and reports."""
