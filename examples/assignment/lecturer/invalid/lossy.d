/* lossy.dtrace is a recording of this script: the record of a segment with an impossible length, and a record that was
   lost. */
BEGIN
{
	printf("timestamp=%d source=%u destination=%u seq=%u ack=%u length=%u flags=%u state=%s\n", timestamp,
	    (uint16_t)1, (uint16_t)2, (uint32_t)3, (uint32_t)4, (uint32_t)4294967295, (uint8_t)3, "state-closed");
}

BEGIN
{
	trace(*(int *)8);
}

BEGIN
{
	exit(0);
}
