# Writes one line to nowhere, so that it cannot come between the lines of the tracer.
exec > /dev/null
echo from the command
