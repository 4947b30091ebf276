/*
 * For FreeBSD: traces the function that handles every received segment. In its header, everything but the
 * ports is in the host's byte order.
 *
 * ours[port] holds the local ports of the traced command. The script learns them where the command itself
 * acts, because the network's threads receive the segments.
 */

/* The command and what it starts. On Linux progenyof() alone misses all threads but the first. */
inline int mine = pid == $target || ppid == $target || progenyof($target);

tcp:::state-change
/(args[3]->tcps_state == TCPS_LISTEN || args[3]->tcps_state == TCPS_SYN_SENT) &&
    mine/
{
	ours[args[3]->tcps_lport] = 1;
}

fbt::tcp_do_segment:entry
/ours[ntohs(args[1]->th_dport)]/
{
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "receive",
	    ntohs(args[1]->th_sport), ntohs(args[1]->th_dport),
	    (unsigned int)args[1]->th_seq, (unsigned int)args[1]->th_ack,
	    args[5], args[1]->th_flags, tcp_state_string[args[3]->t_state]);
}

syscall:::entry
/mine/
{
	@syscalls[probefunc] = count();
}
