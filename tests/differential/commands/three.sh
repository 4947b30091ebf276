# Three writes of 3, 6 and 11 bytes, to nowhere, so that they cannot come between the lines of
# the tracer.
exec > /dev/null
echo aa
echo bbbbb
echo cccccccccc
