/* ended.dtrace is a recording of this script: one clause with values, and one that only ends the session. */
BEGIN
{
	printf("n=%d\n", 1);
}

BEGIN
{
	exit(0);
}
