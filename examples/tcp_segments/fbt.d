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

/* In FreeBSD 15.1 the function's arguments have another order than in 12.1. Which release changed it is a guess. */
inline int since_14 = `osreldate >= 1400000;
inline struct tcphdr *header = (struct tcphdr *)(since_14 ? arg2 : arg1);
inline struct tcpcb *connection = (struct tcpcb *)(since_14 ? arg0 : arg3);
inline int length = (int)(since_14 ? arg4 : arg5);

fbt::tcp_do_segment:entry
/ours[ntohs(header->th_dport)]/
{
	printf("%d %s %d %d %u %u %d %d %s", timestamp, "receive",
	    ntohs(header->th_sport), ntohs(header->th_dport),
	    (unsigned int)header->th_seq, (unsigned int)header->th_ack,
	    length, header->th_flags, tcp_state_string[connection->t_state]);
}

syscall:::entry
/mine/
{
	@syscalls[probefunc] = count();
}
