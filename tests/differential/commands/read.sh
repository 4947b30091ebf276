# Becomes a command that opens a file and writes to nowhere.
exec > /dev/null
exec cat commands/text.txt
