# Writes one line to stdout.
echo from the command
